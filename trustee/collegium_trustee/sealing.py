"""A trustee's sealing keys: a new one each calendar month (UTC), announced by a KEY statement in its log.

    made       at the first look in a month: key, statement and entry in one transaction
    serves     plans whose deadline is not after `until`: the month's end and some days more, so that a plan made on the last of a
               month still works
    deleted    the private half, once `until` has passed and no round that began under it still waits for its PREPARE

Trusted with the seeds of its month. Who holds a private key and has recorded the sealed seeds learns this trustee's masks of that
month. Deleting it ends that: what was recorded then opens nowhere any more.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import NamedTuple

from collegium.errors import NotVerified
from collegium.log.note import encode_base64
from collegium.log.receipt import make_receipt
from collegium.national.seal import SealingKey
from collegium.national.statements import TrusteeKey
from collegium.party.journal import Entry
from collegium_trustee.rounds import DAY, Rounds

__all__ = ["Announced", "Listed", "Sealing", "end_of_month"]


class Announced(NamedTuple):
    """The newest KEY statement that anybody may rest on, and its receipt; both empty while there is none."""

    note: bytes
    receipt: bytes


class Listed(NamedTuple):
    """A sealing key: the entry that announced it, its public half, its end (Unix seconds), whether its private half is kept."""

    entry: int
    public: str
    until: int
    kept: bool


class Sealing:
    """The sealing keys of one trustee. Safe from any thread and process: the transaction decides."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._journal = rounds.journal

    def ensure(self) -> Entry | None:
        """Make this month's key unless there is one under today's statement key. Its KEY, when one was made.

        Raises:
            Failed: the log may not sign now (restored, or not yet confirmed by its witnesses); the next look tries again.
        """
        month = _month(self._journal.clock())
        with self._rounds.party.store.read() as db:
            if self._has(db, month):
                return None
        return self._make(anew=False)

    def rotate(self) -> Entry:
        """Make a new key now, whatever the month: the coordinator takes the newest. The one before goes on opening what is sealed
        to it, for as long as it was announced to. Raises as `ensure` does.
        """
        entry = self._make(anew=True)
        assert entry is not None
        return entry

    def _make(self, *, anew: bool) -> Entry | None:
        key = SealingKey.generate()
        with self._journal.write("sealing-key") as log:
            month = _month(log.now)
            if not anew and self._has(log.db, month):
                return None
            public, until = encode_base64(key.public), end_of_month(log.now) + self._rounds.keeping.overlap * DAY
            body = TrusteeKey(log=log.place, registry=log.registry, time=log.now, sealing=public, until=until)
            entry = log.sign(body)
            log.db.execute("INSERT INTO sealing VALUES (?, ?, ?, ?)", (entry.index, month, public, until))
            log.db.execute("INSERT INTO secrets VALUES (?, ?)", (entry.index, key.raw))
            # Crash here: neither key nor statement is there, and nobody has seen either; the next look makes another.
        # Crash here: the key is announced and its private half is kept. It serves as it is.
        return entry

    def announced(self) -> Announced:
        """The newest KEY that the quorum of this log's witnesses has confirmed."""
        with self._rounds.party.store.read() as db:
            indices = [index for (index,) in db.execute("SELECT idx FROM secrets ORDER BY idx DESC LIMIT 3")]
        for index in indices:
            checkpoint = self._rounds.party.quorum.covering(index + 1, 0.0)
            if checkpoint is not None:
                return Announced(self._journal.entry(index).note, make_receipt(self._journal.tree, index, checkpoint))
        return Announced(b"", b"")

    def listing(self) -> list[Listed]:
        """All keys ever announced, newest first."""
        query = "SELECT s.idx, public, until, secret IS NOT NULL FROM sealing s LEFT JOIN secrets USING (idx) ORDER BY s.idx DESC"
        with self._rounds.party.store.read() as db:
            return [Listed(index, public, until, bool(kept)) for index, public, until, kept in db.execute(query)]

    def serving(self, public: str, deadline: int) -> int:
        """The index of the KEY whose private half opens what is sealed to `public` until `deadline`. Raises NotVerified."""
        with self._rounds.party.store.read() as db:
            row = db.execute("SELECT idx, until FROM sealing JOIN secrets USING (idx) WHERE public = ?", (public,)).fetchone()
        if row is None:
            raise NotVerified("the plan names a sealing key that this trustee does not have", place="plan", reason="bad-plan")
        if deadline > row[1]:
            raise NotVerified("the plan ends after its sealing key", place="plan", reason="bad-plan")
        return int(row[0])

    def private(self, index: int) -> SealingKey | None:
        """The private half; None once it is deleted."""
        with self._rounds.party.store.read() as db:
            row = db.execute("SELECT secret FROM secrets WHERE idx = ?", (index,)).fetchone()
        return SealingKey(row[0]) if row else None

    def retire(self) -> int:
        """Delete the private keys that nobody needs any more. How many."""
        due = (
            "SELECT idx FROM secrets JOIN sealing s USING (idx) WHERE s.until < ? AND NOT EXISTS"
            " (SELECT 1 FROM rounds r WHERE r.sealing = s.idx AND r.prepare IS NULL AND r.over = 0)"
        )
        now = (int(self._journal.clock()),)
        with self._rounds.party.store.read() as db:
            if db.execute(due, now).fetchone() is None:
                return 0
        with self._rounds.party.store.write("retire") as db:
            count = db.execute(f"DELETE FROM secrets WHERE idx IN ({due})", now).rowcount  # noqa: S608 (a constant)
            # Crash here: the keys are still there; the next look deletes them.
        # Crash here: deleted, and still in the write-ahead log, which the next start cuts off.
        self._rounds.wipe()
        return count

    def _has(self, db: sqlite3.Connection, month: str) -> bool:
        row = db.execute("SELECT note FROM sealing JOIN entries USING (idx) WHERE month = ? ORDER BY idx DESC", (month,)).fetchone()
        return row is not None and self._is_ours(row[0])

    def _is_ours(self, note: bytes) -> bool:
        """Signed by today's statement key, and not by one that it replaced."""
        try:
            TrusteeKey.open(note, [self._journal.statements.verifier])
        except NotVerified:
            return False
        return True


def end_of_month(now: float) -> int:
    """The first second after the calendar month of `now`, UTC."""
    at = datetime.fromtimestamp(now, UTC)
    year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp())


def _month(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m")
