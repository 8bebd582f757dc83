"""The part of this log that others may read: what lies under its newest confirmed checkpoint, and nothing beyond.

An entry that the witnesses have not confirmed may be a release that must not leave yet, and its payload holds figures. So every way
of reading the log, a call or an export to files, goes through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collegium.errors import Invalid, public_text
from collegium.log.checkpoint import read_checkpoint
from collegium.party.home import Party

__all__ = ["Published"]

PAGE_BYTES = 4 << 20  # of entries in one message
PAGE_ENTRIES = 4096


class Published:
    """Reads of one party's log. It is a `LogSource` for `collegium.log.export`.

    `checkpoint` is read once: what is exported or answered with one object lies under one checkpoint.
    """

    def __init__(self, party: Party) -> None:
        self._party = party
        self._note = party.quorum.published()
        self.size = read_checkpoint(self._note).size if self._note else 0

    def checkpoint(self) -> bytes | None:
        return self._note

    def entries(self, first: int, count: int) -> Sequence[bytes]:
        """Exactly `count` entries from index `first` on."""
        self._within(first + count)
        with self._party.store.read() as db:
            rows = db.execute("SELECT note FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx", (first, first + count))
            return [note for (note,) in rows]

    def page(self, first: int, count: int) -> list[bytes]:
        """At most `count` entries, at least one while there are any, as many as fit into a message."""
        found: list[bytes] = []
        last, held = min(self.size, first + min(count or PAGE_ENTRIES, PAGE_ENTRIES)), 0
        with self._party.store.read() as db:
            for (note,) in db.execute("SELECT note FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx", (first, last)):
                held += len(note)
                if found and held > PAGE_BYTES:
                    break
                found.append(note)
        return found

    def leaves(self, first: int, count: int) -> Sequence[bytes]:
        self._within(first + count)
        return self._party.journal.tree.hashes(0, first, count)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        self._within(size)
        return self._party.journal.tree.inclusion(index, size)

    def consistency(self, old: int, size: int) -> list[bytes]:
        self._within(size)
        return self._party.journal.tree.consistency(old, size)

    def blobs(self) -> Iterable[str]:
        """Digests of the payloads that published entries name and that are still kept."""
        with self._party.store.read() as db:
            return [sha256 for (sha256,) in db.execute("SELECT sha256 FROM named WHERE idx < ? ORDER BY sha256", (self.size,))]

    def blob(self, sha256: str) -> bytes | None:
        """A payload that a published entry names; None when there is none, or not yet."""
        query = "SELECT b.data FROM named n JOIN blobs b ON b.sha256 = n.sha256 WHERE n.sha256 = ? AND n.idx < ?"
        with self._party.store.read() as db:
            row = db.execute(query, (sha256, self.size)).fetchone()
        return row[0] if row else None

    def receipts(self) -> Iterable[tuple[str, bytes]]:
        """The coordinator's receipts for statements in the published part, found by their own ids: requests, submissions."""
        query = (
            "SELECT r.statement, r.proof FROM receipts r JOIN entries e"
            " ON e.idx = (SELECT MIN(idx) FROM entries WHERE request = r.statement) WHERE e.idx < ? ORDER BY e.idx"
        )
        with self._party.store.read() as db:
            return [tuple(row) for row in db.execute(query, (self.size,))]

    def _within(self, end: int) -> None:
        if end > self.size:
            raise Invalid(public_text("malformed"), place="size", reason="malformed")
