"""The node's log: every signed entry at its final index, and one signed checkpoint over all of them, in one transaction.

Each entry this node signs names the log, its own index, the newest registry view this node has verified and the time. Requests of
researchers are kept verbatim beside the decisions they led to. The signed checkpoint is written in the transaction that adds the
entries: the two can never disagree, and `verify` proves it at every start.

Trusted with the university's voice. An attacker who holds the statement key can sign false decisions and releases until it is
revoked in the registry; with the log key he can show two histories, and anybody who holds two checkpoints can prove it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol

from collegium.errors import NotVerified
from collegium.log.checkpoint import open_checkpoint, sign_checkpoint
from collegium.log.merkle import EMPTY_ROOT, Frontier, leaf_hash
from collegium.log.note import Signer, encode_base64
from collegium.log.statement import statement_id
from collegium.statements import LogPlace, RegistryView
from collegium_node.store import Store

__all__ = ["Clock", "Entry", "Journal", "Placed", "Writer"]

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log: its index and the note as it was signed."""

    index: int
    note: bytes

    @property
    def id(self) -> str:
        return statement_id(self.note)


class Placed(Protocol):
    """A statement of this node, made with the writer's own `place`, `registry` and `now`."""

    kind: ClassVar[str]

    @property
    def log(self) -> LogPlace: ...
    def sign(self, *signers: Signer) -> bytes: ...


class Writer:
    """An open transaction on the log. `db` is for the other tables that change with it; `now` is the time of all its entries."""

    def __init__(self, db: sqlite3.Connection, journal: Journal, frontier: Frontier, now: int) -> None:
        self.db = db
        self.now = now
        self.frontier = frontier
        self._journal = journal
        self._first = frontier.size

    @property
    def grown(self) -> bool:
        return self.frontier.size > self._first

    @property
    def place(self) -> LogPlace:
        """Where the next entry will stand."""
        return LogPlace(origin=self._journal.origin, index=self.frontier.size)

    @property
    def registry(self) -> RegistryView:
        """The newest registry view that this node has verified; it never shrinks along the log."""
        row = self.db.execute("SELECT size, root FROM registry_head").fetchone()
        return RegistryView(size=row[0], root=row[1]) if row else EMPTY_REGISTRY

    def sign(self, statement: Placed, *, request: str = "") -> Entry:
        """Sign a statement of this node, made for `place`, and append it there."""
        assert statement.log == self.place
        return self.keep(statement.kind, statement.sign(self._journal.statements), request=request)

    def keep(self, kind: str, note: bytes, *, request: str = "") -> Entry:
        """Append a note as it is: one signed just now, or somebody else's, verified before."""
        entry = Entry(self.frontier.size, note)
        leaf = leaf_hash(note)
        self.db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (entry.index, kind, request, note, leaf))
        self.frontier.append(leaf)
        return entry

    def blob(self, data: bytes) -> str:
        """Keep a payload beside its entry; its SHA-256, hex."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (sha256, data))
        return sha256


EMPTY_REGISTRY = RegistryView(size=0, root=encode_base64(EMPTY_ROOT))


class Journal:
    """The log of one node. `origin` is the name of its log key."""

    def __init__(self, store: Store, statements: Signer, log: Signer, clock: Clock) -> None:
        self.store = store
        self.statements = statements
        self.clock = clock
        self._log = log
        self._frontier = Frontier()

    @property
    def origin(self) -> str:
        return self._log.name

    @contextmanager
    def write(self, purpose: str) -> Iterator[Writer]:
        """One durable transaction of entries, their checkpoint, and whatever else the block writes through `Writer.db`."""
        with self.store.write(purpose) as db:
            frontier = self._caught_up(db)
            writer = Writer(db, self, frontier, int(self.clock()))
            yield writer
            if writer.grown:
                note = sign_checkpoint(self.origin, frontier.size, frontier.root(), self._log)
                db.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?, ?)", (frontier.size, encode_base64(frontier.root()), note))
        # Crash here: entries and checkpoint are both there; the frontier in memory is only a cache of them.
        self._frontier = frontier

    def entry(self, index: int) -> Entry:
        with self.store.read() as db:
            row = db.execute("SELECT note FROM entries WHERE idx = ?", (index,)).fetchone()
        return Entry(index, row[0])

    def newest(self, kind: str) -> Entry | None:
        with self.store.read() as db:
            row = db.execute("SELECT idx, note FROM entries WHERE kind = ? ORDER BY idx DESC LIMIT 1", (kind,)).fetchone()
        return Entry(*row) if row else None

    def blob(self, sha256: str) -> bytes | None:
        with self.store.read() as db:
            row = db.execute("SELECT data FROM blobs WHERE sha256 = ?", (sha256,)).fetchone()
        return row[0] if row else None

    def verify(self) -> int:
        """Recompute every leaf and the root, and compare with the signed checkpoint. The number of entries.

        Raises:
            NotVerified: an entry was changed, lost or added behind the log's back; the node must not sign on.
        """
        remedy = "Restore the newest backup, or ask the federation before you go on."
        frontier = Frontier()
        with self.store.read() as db:
            for index, (found, note, leaf) in enumerate(db.execute("SELECT idx, note, leaf FROM entries ORDER BY idx")):
                if found != index or leaf_hash(note) != leaf:
                    raise NotVerified("the node's log does not hold together", place=f"entry {index}", remedy=remedy)
                frontier.append(leaf)
            head = db.execute("SELECT note FROM head").fetchone()
        if head is None:
            if frontier.size:
                raise NotVerified("the node's log has entries and no checkpoint", place="head", remedy=remedy)
            return 0
        checkpoint = open_checkpoint(head[0], self._log.verifier)
        if (checkpoint.size, checkpoint.root) != (frontier.size, frontier.root()):
            raise NotVerified("the node's log differs from its signed checkpoint", place=f"size {checkpoint.size}", remedy=remedy)
        self._frontier = frontier
        return frontier.size

    def _caught_up(self, db: sqlite3.Connection) -> Frontier:
        """A frontier over what the file holds now: another process may have added entries since."""
        frontier = self._frontier.copy()
        for (leaf,) in db.execute("SELECT leaf FROM entries WHERE idx >= ? ORDER BY idx", (frontier.size,)):
            frontier.append(leaf)
        return frontier
