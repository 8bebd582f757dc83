"""A9: what a log's entries say of time, against what others signed.

    below   an entry cannot be older than a quorum's cosignature that stands in the log before it
    above   an entry cannot be younger than a quorum's cosignature of a tree that holds it
    order   a log's own times do not run backwards from one budget period into an earlier one

All with `SKEW` seconds of grace. Cosignatures are taken as they read and verified before anybody is named by them.
"""

from __future__ import annotations

from array import array
from typing import Any

from collegium.audit.case import SKEW, Case, Log
from collegium.audit.exhibits import entry_files
from collegium.audit.heads import Heads, Seen
from collegium.errors import CollegiumError
from collegium.log.cosign import check_quorum

__all__ = ["Times"]


class Times:
    """The times of one log, in the order of its entries."""

    def __init__(self, case: Case, log: Log) -> None:
        self._case = case
        self._log = log
        self.now = 0  # the largest time that the owner has stated so far
        self.at = -1  # where
        self._floor = 0  # the largest time of a quorum that the log has embedded so far
        self._under: Seen | None = None
        self._meter = case.findings.meter("A9", log.name)

    def own(self, index: int, fact: Any) -> None:
        """A statement of the log's owner."""
        findings, name = self._case.findings, self._log.name
        self._meter[0] += 1
        under = self._under
        if fact.time < self._floor - SKEW and under is not None and self._confirmed(under):
            text = (
                f"{name} states for entry {index} a time {self._floor - fact.time} seconds before a quorum cosigned the checkpoint "
                f"that stands at its own entry {under.at}, before it"
            )
            findings.fail("A9", name, "below", text, party=name, exhibits=lambda: entry_files(self._log, under.at, index))
        elif fact.time < self.now - SKEW:
            text = f"entry {index} states a time {self.now - fact.time} seconds before that of entry {self.at}"
            findings.warn("A9", name, "backwards", text)
        if fact.time > self.now:
            self.now, self.at = fact.time, index

    def embedded(self, seen: Seen, earliest: int) -> None:
        """A checkpoint of another log stands here, which a quorum cosigned at `earliest` or later (0: no quorum)."""
        if earliest > self._floor:
            self._floor, self._under = earliest, seen

    def close(self, heads: Heads, own: array[int]) -> None:
        """No entry states a time after a quorum had confirmed a tree that holds it."""
        rows = sorted((row for row in heads.confirmed.get(self._log.origin, ()) if row[0] <= len(own)), key=lambda row: -row[0])
        ceiling, over = 0, None
        place = 0
        for index in range(rows[0][0] - 1 if rows else -1, -1, -1):
            while place < len(rows) and rows[place][0] > index:
                if over is None or rows[place][1] < ceiling:
                    ceiling, over = rows[place][1], rows[place][2]
                place += 1
            if over is not None and own[index] > ceiling + SKEW and self._confirmed(over):
                self._post_dated(index, own[index] - ceiling, over)

    def _post_dated(self, index: int, seconds: int, over: Seen) -> None:
        name = self._log.name
        text = (
            f"{name} states for entry {index} a time {seconds} seconds after a quorum had cosigned {over.size} entries of its log"
        )
        self._case.findings.fail(
            "A9", name, "above", text, party=name,
            exhibits=lambda: [*entry_files(self._log, index), *over.exhibits(self._case)],
        )  # fmt: skip

    def _confirmed(self, seen: Seen) -> bool:
        """Whether a quorum has really cosigned it."""
        verifiers, quorum = self._case.witnesses_of(seen.origin)
        try:
            return bool(quorum and check_quorum(seen.note(), verifiers, quorum))
        except CollegiumError:
            return False
