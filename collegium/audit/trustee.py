"""One trustee's log, entry by entry: A4 (one answer for each plan), and what it holds of the coordinator's."""

from __future__ import annotations

from typing import Any

from collegium.audit.case import Case, Log
from collegium.audit.frame import Frame
from collegium.audit.heads import Heads
from collegium.audit.once import Once

__all__ = ["TrusteeReplay"]


class TrusteeReplay:
    """What a trustee's log says, replayed. `received` are plans and lists of the coordinator: (entry, fact)."""

    def __init__(self, case: Case, log: Log, heads: Heads, once: Once) -> None:
        self.frame = Frame(case, log, heads)
        self.received: list[tuple[int, Any]] = []
        self._once = once
        self._closes: set[str] = set()

    def see(self, index: int, raw: tuple[Any, ...]) -> None:
        fact = self.frame.see(index, raw)
        if fact is None or fact.kind in ("peer", "national-key"):
            return
        if fact.kind in ("national-plan", "national-close"):
            self.received.append((index, fact))
            if fact.kind == "national-close":
                self._closes.add(fact.id)
                self._once.see(self.frame.log, index, fact)
            return
        self._once.see(self.frame.log, index, fact)
        if fact.kind == "national-unmask" and fact.close not in self._closes:
            text = f"the sum of masks at entry {index} is of a list that stands nowhere before it in this log"
            self.frame.warn("A9", "order", text, missing=True)

    def close(self, heads: Heads) -> None:
        self.frame.times.close(heads, self.frame.own)
