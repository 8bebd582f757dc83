"""A4 of national sums: what a party may say once for a plan, in whichever log it stands.

A second list, a second sum of masks over another list, would show the difference of two sums, which may be one university. So
PREPARE, CLOSE, UNMASK, CHECK and RESULT are said once for each plan; the same words again are the same answer.
"""

from __future__ import annotations

from typing import Any

from collegium.audit.case import Case, Log
from collegium.audit.exhibits import entry_files

__all__ = ["Once"]

_WHAT = {
    "national-prepare": "verdicts on the submissions",
    "national-close": "lists of participants",
    "national-unmask": "sums of masks",
    "national-check": "checks of the sum",
    "national-result": "results",
}


class Once:
    """Every step of a round that has been seen, by kind, party and plan."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._seen: dict[tuple[str, str, str], tuple[Any, Log, int]] = {}

    def see(self, log: Log, index: int, fact: Any) -> None:
        """A step that stands as entry `index` of `log`, signed by whom it names."""
        party, kind = self._case.name(fact.origin), fact.kind
        self._case.findings.ran("A4", party)
        said = _said(fact)
        first, where, at = self._seen.setdefault((kind, party, fact.plan), (said, log, index))
        if first == said:
            return
        text = (
            f"{party} signed two {_WHAT[kind]} for one plan of a national sum (entry {at} of {where.name}, entry {index} of "
            f"{log.name}): the difference of two sums may be one university"
        )
        self._case.findings.fail(
            "A4", party, f"two-{kind}", text, party=party,
            exhibits=lambda: [*entry_files(where, at), *entry_files(log, index)],
        )  # fmt: skip


def _said(fact: Any) -> Any:
    """What must not differ. A check or a result may be signed again at another time, about the same total."""
    if fact.kind in ("national-check", "national-result"):
        return fact.close, fact.unmasks, fact.total
    return fact.id
