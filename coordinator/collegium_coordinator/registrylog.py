"""The registry log as the coordinator keeps it: who may take part, in order, with a checkpoint over every size.

Every entry is verified by `collegium.registry.Registry` before it is stored and again whenever it is read: the pinned registry
key comes from the settings, so a changed database is noticed at the start. Two processes append (`serve` and the registrar
commands); both do it inside one SQLite transaction that first catches up, so neither can build on an old end.
"""

from __future__ import annotations

import base64
import sqlite3
import threading
from collections.abc import Callable, Sequence

from collegium.errors import Failed
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.merkle import Frontier, leaf_hash
from collegium.log.note import Signer, Verifier
from collegium.log.tree import LeafHashes, Tree
from collegium.registry import Registry
from collegium.statements import RegistryView
from collegium_coordinator.store import Store

__all__ = ["RegistryLog"]

PAGE_BYTES = 8 * 1024 * 1024
PAGE_ROWS = 512  # read at once


class RegistryLog:
    """The verified registry and its stored log.

    Args:
        store: the coordinator's database.
        registry_vkey: the pinned registry key.
        signer: the registry *log* key. It orders entries; it can make none.
    """

    def __init__(self, store: Store, registry_vkey: str, signer: Signer) -> None:
        self._store = store
        self._signer = signer
        self._lock = threading.RLock()
        self._pinned = registry_vkey
        self._stopped: Failed | None = None
        self._page: tuple[int, int, int, list[bytes], bytes] | None = None  # see `page`
        self._stored = 0  # entries on the disk: while `append` commits, the registry in memory is one ahead
        # What speaks against signing now: see `permit`. Asked before every entry.
        self.guard: Callable[[], Failed | None] = lambda: None
        self.registry = Registry(registry_vkey)
        self.tree = Tree(LeafHashes(self._leaves))
        self.refresh()

    @property
    def size(self) -> int:
        """Entries verified and durable so far: what may be shown to others."""
        return self._stored

    def refresh(self) -> bool:
        """Verify what other processes appended. True when there was something.

        Raises:
            NotVerified: the database holds an entry that does not chain up to the pinned registry key.
        """
        with self._lock:
            return self._extend(
                self._store.rows("SELECT entry, checkpoint FROM registry WHERE idx >= ? ORDER BY idx", (self.registry.size,))
            )

    def append(self, entry: bytes, *, also: Callable[[sqlite3.Connection], object] | None = None) -> int:
        """Verify one entry, add it with its checkpoint, and give its index. `also` writes into the same transaction.

        (0) nothing speaks against signing; (1) wait for other writers and catch up; (2) verify the entry against everything
        before it; (3) sign the new head; (4) store both in one durable transaction.

        Raises:
            NotVerified, Invalid, Refused: the entry has no place here; nothing has changed.
            Failed: it could not be stored.
        """
        # (0)
        if self._stopped is not None:
            raise self._stopped
        if (refusal := self.guard()) is not None:
            raise refusal
        with self._lock:
            try:
                index = self._append(entry, also)
            except BaseException:
                if self.registry.size != self._stored:
                    self._begin_anew()  # verified and not stored: memory must not know what the disk does not
                raise
            self._stored = max(self._stored, index + 1)
        return index

    def _append(self, entry: bytes, also: Callable[[sqlite3.Connection], object] | None) -> int:
        with self._store.transaction() as db:
            # (1)
            behind = db.execute("SELECT entry, checkpoint FROM registry WHERE idx >= ? ORDER BY idx", (self.registry.size,))
            self._extend(behind.fetchall())
            # (2)
            self.registry.extend([entry], None)
            # (3) Crash here or below: the checkpoint has left nobody; after the start the tree ends before this entry.
            index = self.registry.size - 1
            root = base64.b64decode(self.registry.root)
            checkpoint = sign_checkpoint(self._signer.name, self.registry.size, root, self._signer)
            self.registry.extend([], checkpoint)
            # (4)
            db.execute("INSERT INTO registry VALUES (?, ?, ?, ?)", (index, entry, leaf_hash(entry), checkpoint))
            if also is not None:
                also(db)
        return index

    def replay(self, entries: Sequence[bytes], checkpoint: bytes) -> None:
        """Take over entries that this log has signed and this database has lost, up to a checkpoint of its own.

        (1) Every entry is verified after all before it; the tree that they end in is the checkpoint's, which our own key has
        signed.
        (2) One durable transaction; the checkpoints in between are signed again, over trees that were signed before.

        Raises NotVerified or Invalid; nothing has changed.
        """
        with self._lock:
            try:
                with self._store.transaction() as db:
                    # (1)
                    first = self.registry.size
                    frontier = Frontier([leaf_hash(each) for each in self.registry.entries])
                    self.registry.extend(list(entries), checkpoint)
                    # (2)
                    for index, entry in enumerate(entries, first):
                        frontier.append(leaf_hash(entry))
                        note = sign_checkpoint(self._signer.name, index + 1, frontier.root(), self._signer)
                        db.execute("INSERT INTO registry VALUES (?, ?, ?, ?)", (index, entry, leaf_hash(entry), note))
                    # Crash here: the database is as it was; the same command does it again.
            except BaseException:
                self._begin_anew()
                raise
            self._stored = self.registry.size

    def _begin_anew(self) -> None:
        """Forget what is in memory and verify what is on the disk."""
        fresh = Registry(self._pinned)
        rows = self._store.rows("SELECT entry, checkpoint FROM registry ORDER BY idx")
        if rows:
            fresh.extend([bytes(entry) for entry, _ in rows], bytes(rows[-1][1]))
        self.registry, self._stored = fresh, fresh.size

    def page(self, first: int, *, page_bytes: int = PAGE_BYTES) -> tuple[list[bytes], bytes, bool]:
        """Entries from `first` on, the checkpoint over the tree that ends with the last of them, and whether there are more."""
        if first >= self.size:
            return [], self._shown(self.size, self.head()), False
        size = self.size
        # The newest page is kept: thousands of nodes that come back at once lack the same entries.
        kept = self._page
        if kept is None or kept[:3] != (first, size, page_bytes):
            kept = self._page = (first, size, page_bytes, *self._cut(first, size, page_bytes))
        entries, checkpoint = kept[3:]
        end = first + len(entries)
        return entries, self._shown(end, checkpoint), end < size

    def _cut(self, first: int, size: int, page_bytes: int) -> tuple[list[bytes], bytes]:
        """Entries from `first` on that fit into a page, at least one, and the stored checkpoint over the tree that they end."""
        entries: list[bytes] = []
        checkpoint, held = b"", 0
        while first + len(entries) < size:
            start = first + len(entries)
            sql = "SELECT entry, checkpoint FROM registry WHERE idx >= ? AND idx < ? ORDER BY idx"
            for entry, over in self._store.rows(sql, (start, min(size, start + PAGE_ROWS))):
                if entries and held + len(entry) > page_bytes:
                    return entries, checkpoint
                entries.append(bytes(entry))
                checkpoint = bytes(over)
                held += len(entry)
        return entries, checkpoint

    def _shown(self, size: int, checkpoint: bytes) -> bytes:
        """A checkpoint as it is sent: with the cosignatures that it has by now."""
        row = self._store.row("SELECT note FROM cosigned WHERE origin = ? AND size = ?", (self.origin, size))
        return bytes(row[0]) if row is not None else checkpoint

    def durable_view(self) -> RegistryView:
        """The newest state that is verified and on the disk: while another thread appends, memory may be one entry ahead."""
        return self.registry.view_at(self._stored)

    def checkpoint_at(self, db: sqlite3.Connection, size: int) -> bytes:
        """The checkpoint over the first `size` entries, at least 1; with the cosignatures it has when it is the newest cosigned."""
        cosigned = db.execute("SELECT note FROM cosigned WHERE origin = ? AND size = ?", (self._signer.name, size)).fetchone()
        row = cosigned or db.execute("SELECT checkpoint FROM registry WHERE idx = ?", (size - 1,)).fetchone()
        assert row is not None, "a durable size has its checkpoint"
        return bytes(row[0])

    def head(self) -> bytes:
        """The newest checkpoint that is verified and durable."""
        row = self._store.row("SELECT checkpoint FROM registry WHERE idx = ?", (self._stored - 1,))
        return bytes(row[0]) if row is not None else b""

    @property
    def origin(self) -> str:
        return self._signer.name

    @property
    def verifier(self) -> Verifier:
        return self._signer.verifier

    def stop(self, why: Failed) -> None:
        """Append nothing more in this process: our own signature shows that this is an old copy of the log."""
        self._stopped = why

    def root_at(self, size: int) -> str | None:
        """The root (base64) the registry had at a size; None beyond what is known. Size 0 is the empty tree."""
        return self.registry.view_at(size).root if 0 <= size <= self.registry.size else None

    def _leaves(self, first: int, count: int) -> list[bytes]:
        rows = self._store.rows("SELECT leaf FROM registry WHERE idx >= ? AND idx < ? ORDER BY idx", (first, first + count))
        return [bytes(row[0]) for row in rows]

    def _extend(self, rows: Sequence[tuple[bytes, bytes]]) -> bool:
        if rows:
            self.registry.extend([bytes(entry) for entry, _ in rows], bytes(rows[-1][1]))
            self._stored = self.registry.size
        return bool(rows)
