"""The newest checkpoint of this log that others may rest on: cosigned by a quorum of its witnesses.

Nothing that a figure could be read from leaves before its entry lies under such a checkpoint: not a release, not an entry or a
payload that somebody reads from the log. A log to which the registry has assigned no witnesses works without: then its own newest
checkpoint is what others get, and every audit says so.

The newest one is kept in memory and written down once a second at most: a crash loses nothing, because the next start has to ask
the witnesses anyway before it signs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from collegium.errors import CollegiumError
from collegium.log.checkpoint import read_checkpoint
from collegium.log.cosign import CosignerVerifier, check_quorum
from collegium.party.journal import Clock, Journal
from collegium.party.members import Members

__all__ = ["Figures", "Quorum", "Witnesses"]

SAVE_EVERY = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Who cosigns this log and how many of them must. None needed: the registry has assigned none."""

    keys: dict[str, CosignerVerifier]
    need: int


@dataclass(frozen=True, slots=True)
class Figures:
    """How the log stands with its witnesses. `age`: seconds since the quorum last confirmed; None before it ever did. `reachable`:
    witnesses that answered when they were last asked; None in a process that asks none.
    """

    size: int
    confirmed: int
    witnesses: int
    needed: int
    age: int | None
    reachable: int | None

    @property
    def backlog(self) -> int:
        """Entries that are waiting for the quorum."""
        return self.size - self.confirmed if self.needed else 0


class Quorum:
    """Safe from any thread. One process writes it: the serving one, through `took`."""

    def __init__(
        self, journal: Journal, members: Members, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._journal = journal
        self._members = members
        self._clock = clock
        self._monotonic = monotonic
        self._grown = threading.Condition()
        self._newest: tuple[int, int, bytes] | None = self._stored()  # size, time, note
        self._saved = self._newest
        self._saved_at = 0.0
        self._answered: dict[str, bool] = {}  # by witness
        self._good_for: tuple[int, bytes] | None = None  # registry size and note of the last positive check

    def witnesses(self) -> Witnesses:
        keys, need = self._members.registry.witnesses_of(self._journal.origin)
        return Witnesses(keys, need)

    def published(self) -> bytes | None:
        """The checkpoint up to which anybody may read this log; None while there is none."""
        if self.witnesses().need:
            newest = self._newest or self._stored()
            return newest[2] if newest else None
        head = self._journal.head()
        return head.note if head.size else None

    def covering(self, size: int, timeout: float) -> bytes | None:
        """A checkpoint of at least `size` entries for receipts, waiting at most `timeout` seconds for the quorum; None without."""
        if not self.witnesses().need:
            return self._journal.head().note
        with self._grown:
            self._grown.wait_for(lambda: self._newest is not None and self._newest[0] >= size, timeout)
            newest = self._newest
        return newest[2] if newest is not None and newest[0] >= size and self._is_good(newest[2]) else None

    def confirmed_size(self) -> int:
        """Entries under the newest checkpoint that today's witnesses have confirmed."""
        newest = self._newest
        return newest[0] if newest is not None and self._is_good(newest[2]) else 0

    def age(self) -> int | None:
        newest = self._newest
        return max(0, int(self._clock()) - newest[1]) if newest is not None else None

    def heard(self, witness: str, *, answered: bool) -> None:
        """Whether a witness answered when it was asked just now, whatever it said."""
        self._answered[witness] = answered

    def took(self, note: bytes) -> None:
        """A checkpoint of ours, its cosignatures verified and enough."""
        size = read_checkpoint(note).size
        with self._grown:
            if self._newest is None or size >= self._newest[0]:
                self._newest = (size, int(self._clock()), note)
            self._grown.notify_all()

    def save(self, *, now: bool = False) -> None:
        """Write the newest one down when the last time is long enough ago."""
        newest, at = self._newest, self._monotonic()
        if newest is None or newest == self._saved or (not now and at - self._saved_at < SAVE_EVERY):
            return
        with self._journal.store.write("quorum") as db:
            db.execute("INSERT OR REPLACE INTO quorum VALUES (1, ?, ?, ?)", newest)
            # Crash here, or with a newer one in memory: the next start asks the witnesses again.
        self._saved, self._saved_at = newest, at

    def figures(self) -> Figures:
        witnesses, head = self.witnesses(), self._journal.head()
        confirmed = self.confirmed_size() if witnesses.need else head.size
        age = self.age() if witnesses.need else None
        heard = dict(self._answered)
        reachable = sum(heard.get(name, False) for name in witnesses.keys) if heard else None
        return Figures(head.size, confirmed, len(witnesses.keys), witnesses.need, age, reachable)

    def _is_good(self, note: bytes) -> bool:
        """Whether those who are witnesses now have confirmed it, enough of them."""
        registry = self._members.registry
        if self._good_for == (registry.size, note):
            return True
        keys, need = registry.witnesses_of(self._journal.origin)
        try:
            check_quorum(note, keys, need)
        except CollegiumError:
            return False
        self._good_for = (registry.size, note)
        return True

    def _stored(self) -> tuple[int, int, bytes] | None:
        with self._journal.store.read() as db:
            row = db.execute("SELECT size, time, note FROM quorum").fetchone()
        return tuple(row) if row else None
