"""The coordinator's own log: what it was asked, what came back, and what it made of it, under one signed checkpoint.

Entries and the checkpoint over all of them are written in one transaction, so the two never disagree; `verify` proves it at every
start. Before the entries that rest on it stands the other log's checkpoint (kind `peer`): the registry's as it was when the entry
was judged, and a node's that came with its answer. So an auditor knows what came first without anybody's clock.

Trusted with order and completeness. An attacker who holds the log key can show two histories, and anybody who holds two
checkpoints, a receipt or a cosignature can prove it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from collegium.errors import Failed, NotVerified
from collegium.log.checkpoint import Checkpoint, open_checkpoint, read_checkpoint, sign_checkpoint
from collegium.log.merkle import Frontier, leaf_hash
from collegium.log.note import Signer, Verifier, encode_base64
from collegium.log.tree import LeafHashes, Tree
from collegium.statements import LogPlace, Peer, RegistryView
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store

__all__ = ["Journal", "Writer", "not_confirmed"]

# The head and all entries in one statement, so in one state: a command verifies the log while the serving process adds to it.
VERIFY = "SELECT -1 AS idx, note AS entry, NULL AS leaf FROM head UNION ALL SELECT idx, entry, leaf FROM entries ORDER BY idx"
HEAD = -1  # its index there
REMEDY = "Restore the newest backup, and keep this file: it is evidence."


class Writer:
    """An open transaction on the log. `db` is for the other tables that change with it.

    `registry` is the state of the registry that stands in the log before this transaction's entries: they are judged by it.
    """

    def __init__(self, db: sqlite3.Connection, journal: Journal, frontier: Frontier, registry: RegistryView, now: int) -> None:
        self.db = db
        self.now = now
        self.registry = registry
        self.frontier = frontier
        self._journal = journal
        self._first = frontier.size

    @property
    def grown(self) -> bool:
        return self.frontier.size > self._first

    def keep(self, kind: str, request: str, note: bytes) -> int:
        """Append somebody's note, verified before, as it is; its index. The very same entry is never there twice."""
        found = self.db.execute("SELECT idx FROM entries WHERE leaf = ?", (leaf_hash(note),)).fetchone()
        if found is not None:
            return int(found[0])
        self._embed_registry()
        return self._append(kind, request, note)

    def entry(self, index: int) -> bytes:
        """An entry, of this transaction too."""
        return bytes(self.db.execute("SELECT entry FROM entries WHERE idx = ?", (index,)).fetchone()[0])

    def sign(self, kind: str, request: str, make: Callable[[LogPlace], bytes]) -> int:
        """Append a statement of our own, which names its place; its index."""
        self._embed_registry()
        return self._append(kind, request, make(self._place()))

    def embed(self, log: Verifier, checkpoint: bytes) -> bool:
        """Another log's checkpoint, verified before, once for each size. False when this log holds another tree of that size.

        Then both stand here, each signed by the same key: evidence that needs nobody's word.
        """
        head = read_checkpoint(checkpoint)
        root = encode_base64(head.root)
        held = {row[0] for row in self.db.execute("SELECT root FROM peers WHERE log = ? AND size = ?", (log.vkey, head.size))}
        largest = self.db.execute("SELECT COALESCE(MAX(size), -1) FROM peers WHERE log = ?", (log.vkey,)).fetchone()[0]
        # An older one that comes late adds nothing: the larger stands before what follows already.
        if root not in held and (held or head.size > largest):
            self._embed_registry()
            self._peer(log, checkpoint, head)
        return held <= {root}

    def _embed_registry(self) -> None:
        registry = self._journal.registry
        found = self.db.execute(
            "SELECT COALESCE(MAX(size), 0) FROM peers WHERE log = ?", (registry.registry.registry_log.vkey,)
        ).fetchone()
        if found[0] < self.registry.size:
            checkpoint = registry.checkpoint_at(self.db, self.registry.size)
            self._peer(registry.registry.registry_log, checkpoint, read_checkpoint(checkpoint))

    def _peer(self, log: Verifier, checkpoint: bytes, head: Checkpoint) -> None:
        root = encode_base64(head.root)
        statement = Peer(
            log=self._place(),
            registry=self.registry,
            time=self.now,
            origin=head.origin,
            size=head.size,
            root=root,
            checkpoint=checkpoint.decode(),
        )
        index = self._append(Peer.kind, "", statement.sign(self._journal.statements))
        self.db.execute("INSERT INTO peers VALUES (?, ?, ?, ?, ?)", (log.vkey, head.size, root, index, self.now))

    def _place(self) -> LogPlace:
        return LogPlace(origin=self._journal.origin, index=self.frontier.size)

    def _append(self, kind: str, request: str, note: bytes) -> int:
        index, leaf = self.frontier.size, leaf_hash(note)
        self.db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (index, kind, request, note, leaf))
        self.frontier.append(leaf)
        return index


class Journal:
    """The log. One serving process writes it; `statements` signs our own entries, `log` its checkpoints."""

    def __init__(self, store: Store, registry: RegistryLog, statements: Signer, log: Signer, *, clock: Callable[[], float]) -> None:
        self.registry = registry
        self.statements = statements
        self._store = store
        self._log = log
        self._clock = clock
        self._frontier = Frontier()
        self._stopped: Failed | None = None
        # False until, after a start, its witnesses have confirmed that this is its newest copy.
        self.ready: Callable[[], bool] = lambda: True
        # Called after every transaction that added entries, from any thread.
        self.on_grown: Callable[[], object] = lambda: None
        self.tree = Tree(LeafHashes(self._leaves))
        self.verify()

    @property
    def origin(self) -> str:
        return self._log.name

    @property
    def verifier(self) -> Verifier:
        return self._log.verifier

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """One durable transaction of entries, their checkpoint, and whatever else the block writes through `Writer.db`.

        Raises:
            Failed: the disk refused, this log was found to be an old copy of itself (`stop`), or nobody has confirmed yet that it
                is not (`ready`).
        """
        if self._stopped is not None:
            raise self._stopped
        if not self.ready():
            raise not_confirmed()
        with self._store.transaction() as db:
            frontier = self._caught_up(db)
            # What is verified and durable now is what the entries are judged by, and never less than what the log says already.
            writer = Writer(db, self, frontier, self.registry.durable_view(), int(self._clock()))
            yield writer
            if writer.grown:
                note = sign_checkpoint(self.origin, frontier.size, frontier.root(), self._log)
                db.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (frontier.size, note))
            # Crash here: neither entries nor checkpoint are there, and neither has left anybody.
        # Crash here: both are there. The frontier in memory is a cache of them; another thread may have written since the commit.
        self._frontier = frontier
        if writer.grown:
            self.on_grown()

    def _caught_up(self, db: sqlite3.Connection) -> Frontier:
        """A frontier over all entries that there are now, inside the transaction: another thread may have added some since."""
        frontier = self._frontier.copy()
        for (leaf,) in db.execute("SELECT leaf FROM entries WHERE idx >= ? ORDER BY idx", (frontier.size,)):
            frontier.append(bytes(leaf))
        return frontier

    def head(self) -> bytes:
        """The newest signed checkpoint; empty while the log is."""
        row = self._store.row("SELECT note FROM head")
        return bytes(row[0]) if row is not None else b""

    def verify(self) -> int:
        """Recompute every leaf and the root, and compare with the signed checkpoint. The number of entries.

        Raises NotVerified: an entry was changed, lost or added behind the log's back; nothing may be signed on top of it.
        """
        frontier, head = Frontier(), b""
        for found, entry, leaf in self._store.walk(VERIFY):
            if found == HEAD:
                head = bytes(entry)
            elif found != frontier.size or leaf_hash(entry) != leaf:
                raise NotVerified("the coordinator's log does not hold together", place=f"entry {frontier.size}", remedy=REMEDY)
            else:
                frontier.append(leaf)
        if not head:
            if frontier.size:
                raise NotVerified("the coordinator's log has entries and no checkpoint", place="head", remedy=REMEDY)
            return 0
        checkpoint = open_checkpoint(head, self.verifier)
        if (checkpoint.size, checkpoint.root) != (frontier.size, frontier.root()):
            raise NotVerified(
                "the coordinator's log differs from its signed checkpoint", place=f"size {checkpoint.size}", remedy=REMEDY
            )
        self._frontier = frontier
        return frontier.size

    def stop(self, why: Failed) -> None:
        """Write nothing more in this process: our own signature shows that this is an old copy of the log."""
        self._stopped = why

    def _leaves(self, first: int, count: int) -> list[bytes]:
        rows = self._store.rows("SELECT leaf FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx", (first, first + count))
        return [bytes(row[0]) for row in rows]


def not_confirmed() -> Failed:
    """Nothing is signed between a start and the witnesses' word that they know no larger tree."""
    return Failed(
        "the coordinator has started, and its witnesses have not yet confirmed its log",
        remedy="Try again in a moment. If it stays so, too few of its witnesses are connected: see `witness list`.",
        reason="not-confirmed",
    )
