"""The rounds of national sums as a person wants to read them: how many took part, how few might have, and how it was verified.

Made from what the audit has read and judged; nothing here judges anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from collegium.audit.rounds import Round
from collegium.audit.run import Audit

__all__ = ["AGAIN", "SumLine", "sum_lines", "sum_sentences"]

DAY = 86_400
AGAIN = {
    "added": "added again from the masked vectors",
    "kept": "masked vectors no longer kept; the check of {trustee} verified instead",
    "": "not added again",
}
"""How the audit has looked at a sum that has a result."""


@dataclass(frozen=True, slots=True)
class SumLine:
    """One round. `group` empty: everybody asked; `participants` None: no list that holds; `factor` is |U|/m, the variance over σ².

    `days`: from its close to the newest thing in the coordinator's log. `state`: planned, closed or result.
    """

    plan: str
    entry: int
    time: int
    request: str
    number: int
    group: tuple[str, ...]
    nodes: int
    charged: int
    submitted: int
    participants: int | None
    least: int
    honest: int
    factor: float | None
    trustees: tuple[str, ...]
    checked_by: str
    state: str
    again: str
    days: int | None

    @property
    def verified(self) -> str:
        """The same in words."""
        return AGAIN[self.again].format(trustee=self.checked_by) if self.state == "result" else "no result"

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"verified": self.verified}


def sum_lines(found: Audit) -> tuple[SumLine, ...]:
    """Every plan of the coordinator's log, in its order."""
    replay = found.coordinator
    if replay is None:
        return ()
    return tuple(_line(found, each, replay.frame.times.now) for each in replay.rounds.by_plan.values())


def _line(found: Audit, round_: Round, now: int) -> SumLine:
    plan, result = round_.plan, round_.result
    close = next(iter(round_.closes.values()), None)
    count = len(round_.participants) if round_.participants is not None else None
    check = round_.checks.get(result[1].check) if result is not None else None
    return SumLine(
        plan=plan.id, entry=round_.index, time=plan.time, request=plan.request, number=plan.number, group=plan.group or (),
        nodes=plan.nodes, charged=round_.charges, submitted=len(round_.first), participants=count, least=plan.least,
        honest=plan.honest, factor=None if count is None else count / plan.honest,
        trustees=tuple(each[0] for each in plan.trustees),
        checked_by=found.case.name(check[1].origin) if check is not None else "",
        state="result" if result is not None else "closed" if close is not None else "planned", again=round_.again,
        days=None if close is None else max(0, now - close[1].time) // DAY,
    )  # fmt: skip


def sum_sentences(lines: Iterable[SumLine]) -> list[str]:
    """What a report says of all rounds together; nothing where there are none."""
    lines = list(lines)
    if not lines:
        return []
    states = Counter(line.state for line in lines)
    said = [f"National sums: {len(lines):,} rounds, {states['result']:,} with a result."]
    done = [line for line in lines if line.state == "result"]
    counts = [line.participants for line in done if line.participants is not None]
    if counts:
        factors = [line.factor for line in done if line.factor is not None]
        said.append(
            f"Participants: {min(counts):,} to {max(counts):,}; the smallest participation that a plan allowed was "
            f"{min(line.least for line in done):,}; noise of {min(factors):.2f} to {max(factors):.2f} times the planned variance."
        )
    added = sum(line.again == "added" for line in done)
    said.append(f"{added:,} added again from the masked vectors and the trustees' signed sums of masks.")
    kept = [line for line in done if line.again == "kept"]
    if kept:
        days = min(line.days for line in kept if line.days is not None)
        who = ", ".join(sorted({line.checked_by for line in kept if line.checked_by}))
        said.append(
            f"{len(kept):,} not added again: their masked vectors are not in this copy any more (the ministry keeps them for some "
            f"months; the youngest of these lists was closed {days} days before the newest entry). The check that a trustee signed "
            f"when they were there was verified instead ({who})."
        )
    if len(done) > added + len(kept):
        said.append(f"{len(done) - added - len(kept):,} neither: see the findings.")
    return said
