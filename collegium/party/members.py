"""Who takes part, as far as this party has verified it: its copy of the registry.

Entries come from the coordinator, who is trusted with nothing but handing them on: every chain is verified here, and the copy only
ever grows. Several processes of one party share it through the database.

Trusted with who may ask. An attacker who can write it can add a false researcher; the rules of a node's steward name keys, so there
a false key under a known name still asks nothing.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence

from collegium.errors import NotVerified, Refused
from collegium.log.cosign import own_lines
from collegium.party.store import Store
from collegium.registry import Registry

__all__ = ["Members"]

MAX_ENTRIES = 512  # of the registry in one reply: each has at most 65,535 bytes
MAX_CHECKPOINT = 15_000  # bytes kept of a registry checkpoint: it becomes an entry of this log, which holds no more than 65,535


class Members:
    """The registry as one party has verified it. `key` is the registry's public key, pinned when the node joined."""

    def __init__(self, store: Store, key: str, name: str, role: str, own_key: str) -> None:
        self._store = store
        self._key = key
        self._name = name
        self._role = role
        self._own_key = own_key
        self._lock = threading.Lock()
        self._registry = Registry(key)

    @property
    def registry(self) -> Registry:
        """The newest verified state; picks up what another process of this party has learnt."""
        with self._store.read() as db, self._lock:
            self._catch_up(db)
            return self._registry

    def learn(self, first: int, entries: Sequence[bytes], checkpoint: bytes) -> int:
        """Verify entries from index `first` on and keep them; what is known already must be the same. The size known afterwards.

        Raises:
            Invalid: there is a gap between what is known and `first`, or an entry cannot be read.
            NotVerified: an entry or the checkpoint does not verify; nothing of the call is kept.
        """
        with self._store.write("learn") as db, self._lock:
            self._catch_up(db)
            known = self._registry.size
            if first + len(entries) > known:
                self._registry.extend(entries, checkpoint, first=first)
                view = self._registry.view()
                if len(checkpoint) > MAX_CHECKPOINT:
                    checkpoint = own_lines(checkpoint, self._registry.registry_log)
                db.executemany("INSERT INTO registry VALUES (?, ?)", enumerate(entries[known - first :], start=known))
                db.execute("INSERT OR REPLACE INTO registry_head VALUES (1, ?, ?, ?)", (view.size, view.root, checkpoint))
            # Crash here: nothing was kept and the coordinator sends it again. A refused commit ends the process, so that what this
            # object holds in memory is never ahead of what the next process finds.
            return self._registry.size

    def _catch_up(self, db: sqlite3.Connection) -> None:
        rows = db.execute("SELECT note FROM registry WHERE idx >= ? ORDER BY idx", (self._registry.size,)).fetchall()
        if rows:
            head = db.execute("SELECT note FROM registry_head").fetchone()
            self._registry.extend([note for (note,) in rows], head[0])

    def check_own(self) -> None:
        """Raises NotVerified or Refused when the registry does not hold this party, under this party's own key, unrevoked."""
        party = self.registry.party(self._name)
        if party.role != self._role or party.statements.vkey != self._own_key:
            raise NotVerified(
                f"the registry has another key for {self._name}",
                place="registry",
                remedy="Ask the federation at once who registered it; answer nothing until it is clear.",
                reason="identity",
            )

    def shown(self) -> tuple[bytes, int]:
        """The newest registry checkpoint that this party has verified, and its size."""
        with self._store.read() as db:
            row = db.execute("SELECT note, size FROM registry_head").fetchone()
        return (bytes(row[0]), int(row[1])) if row else (b"", 0)

    def entries(self, first: int, count: int, size: int) -> list[bytes]:
        """At most `count` verified entries of the registry from index `first` on, below `size`."""
        last = min(size, first + min(count or MAX_ENTRIES, MAX_ENTRIES))
        with self._store.read() as db:
            rows = db.execute("SELECT note FROM registry WHERE idx >= ? AND idx < ? ORDER BY idx", (min(first, last), last))
            return [bytes(note) for (note,) in rows]

    def researcher(self, name: str) -> str:
        """The statement key of a registered researcher, as text. Raises Refused when there is none or it was revoked."""
        party = self.registry.party(name)
        if party.role != "researcher":
            raise Refused(f"{name} is a {party.role}, not a researcher", by="identity", reason="identity")
        return party.statements.vkey
