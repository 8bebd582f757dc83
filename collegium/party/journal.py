"""A party's log: every signed entry at its final index, and one signed checkpoint over all of them, in one transaction.

Each entry this party signs names the log, its own index, the newest registry view it has verified and the time. Requests of
others are kept verbatim beside what was decided on them. The signed checkpoint is written in the transaction that adds the
entries: the two can never disagree, and `verify` proves it at every start. A registry checkpoint that is new here becomes an entry
before anything that is judged by it.

Nothing is appended while `guard` has something against it: a party that was restored from a backup, or that has not yet heard from
its witnesses that it was not, would sign a second history (`collegium.party.permit`).

Trusted with the party's voice. An attacker who holds the statement key can sign false statements until it is
revoked in the registry; with the log key he can show two histories, and anybody who holds two checkpoints can prove it.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol

from collegium.errors import CollegiumError, NotVerified
from collegium.keys import log_name
from collegium.log.checkpoint import open_checkpoint, read_checkpoint, sign_checkpoint
from collegium.log.merkle import EMPTY_ROOT, Frontier, leaf_hash
from collegium.log.note import Signer, Verifier, encode_base64, open_note
from collegium.log.statement import MAX_STATEMENT, statement_id
from collegium.log.tree import HashSource, LeafHashes, Tree
from collegium.party.store import Store
from collegium.statements import LogPlace, Peer, RegistryView

__all__ = ["Clock", "Entry", "Guard", "Head", "Journal", "Placed", "Writer"]

Clock = Callable[[], float]

Guard = Callable[[sqlite3.Connection], CollegiumError | None]
"""What speaks against signing now; None when nothing does."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log: its index and the note as it was signed."""

    index: int
    note: bytes

    @property
    def id(self) -> str:
        return statement_id(self.note)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest signed checkpoint: its size and the note. Of a log without entries it is signed when it is asked for."""

    size: int
    note: bytes


class Placed(Protocol):
    """A statement of this party, made with the writer's own `place`, `registry` and `now`."""

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
        """The newest registry view that this party has verified; it never shrinks along the log."""
        row = self.db.execute("SELECT size, root FROM registry_head").fetchone()
        return RegistryView(size=row[0], root=row[1]) if row else EMPTY_REGISTRY

    def sign(self, statement: Placed, *, request: str = "") -> Entry:
        """Sign a statement of this party, made for `place`, and append it there."""
        assert statement.log == self.place
        return self.keep(statement.kind, statement.sign(self._journal.statements), request=request)

    def is_ours(self, note: bytes) -> bool:
        """Whether a note is signed by this party's statement key of today, and not by one that it replaced."""
        try:
            open_note(note, [self._journal.statements.verifier], limit=MAX_STATEMENT)
        except CollegiumError:
            return False
        return True

    def keep(self, kind: str, note: bytes, *, request: str = "") -> Entry:
        """Append a note as it is: one signed just now, or somebody else's, verified before. Raises what the guard says."""
        if not self.grown and (refusal := self._journal.guard(self.db)) is not None:
            raise refusal
        entry = Entry(self.frontier.size, note)
        leaf = leaf_hash(note)
        self.db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (entry.index, kind, request, note, leaf))
        self.frontier.append(leaf)
        return entry

    def embed(self, checkpoint: bytes) -> None:
        """Append another log's verified checkpoint, unless that tree or one of a later size stands in this log already.

        Another tree of the same size is evidence that its log shows two histories: it is kept too.
        """
        shown = read_checkpoint(checkpoint)
        root = encode_base64(shown.root)
        row = self.db.execute("SELECT size, root FROM peers WHERE origin = ?", (shown.origin,)).fetchone()
        if row is not None and (row[0] > shown.size or tuple(row) == (shown.size, root)):
            return
        peer = Peer(
            log=self.place, registry=self.registry, time=self.now, origin=shown.origin, size=shown.size, root=root,
            checkpoint=checkpoint.decode(),
        )  # fmt: skip
        entry = self.sign(peer)
        self.db.execute("INSERT OR REPLACE INTO peers VALUES (?, ?, ?, ?)", (shown.origin, shown.size, root, entry.index))

    def blob(self, data: bytes, *, published: bool) -> str:
        """Keep a payload beside the entry that comes next and names it; its SHA-256, hex. `published`: it goes where that goes."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (sha256, data))
        if published:
            self.db.execute("INSERT OR IGNORE INTO named VALUES (?, ?)", (sha256, self.frontier.size))
        return sha256


# What every transaction looks at first, in one step: how many entries there are, and a registry checkpoint that none of them holds.
BEFORE = """
SELECT (SELECT COALESCE(MAX(idx) + 1, 0) FROM entries), (
    SELECT h.note FROM registry_head h LEFT JOIN peers p ON p.origin = ? WHERE p.size IS NULL OR p.size < h.size
)
"""

EMPTY_REGISTRY = RegistryView(size=0, root=encode_base64(EMPTY_ROOT))


class Journal:
    """The log of one party. `origin` is the name of its log key.

    `guard` is asked before the first entry of every transaction; `on_grown` is called after every transaction that added entries.
    """

    def __init__(self, store: Store, statements: Signer, log: Signer, clock: Clock) -> None:
        self.store = store
        self.statements = statements
        self.clock = clock
        self.guard: Guard = lambda _: None
        self.on_grown: Callable[[], None] = lambda: None
        self._log = log
        self._registry = log_name(log.name.partition("/")[0], "registry")
        self._frontier = Frontier()
        self._leaves = _Leaves(store)
        self.tree: Tree = _Tree(LeafHashes(self._leaves))

    @property
    def origin(self) -> str:
        return self._log.name

    @property
    def verifier(self) -> Verifier:
        """The key of this log's checkpoints."""
        return self._log.verifier

    @contextmanager
    def write(self, purpose: str) -> Iterator[Writer]:
        """One durable transaction of entries, their checkpoint, and whatever else the block writes through `Writer.db`."""
        with self.store.write(purpose) as db:
            size, registry = db.execute(BEFORE, (self._registry,)).fetchone()
            frontier = self._caught_up(db, size)
            writer = Writer(db, self, frontier, int(self.clock()))
            # A registry that is new here stands in the log before what is judged by it: whichever transaction comes next begins so.
            if registry is not None and self.guard(db) is None:
                writer.embed(registry)
            yield writer
            if writer.grown:
                root = frontier.root()
                note = sign_checkpoint(self.origin, frontier.size, root, self._log)
                db.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?, ?)", (frontier.size, encode_base64(root), note))
        # Crash here: entries and checkpoint are both there; the frontier in memory is only a cache of them.
        self._frontier = frontier
        if writer.grown:
            self.on_grown()

    def head(self) -> Head:
        with self.store.read() as db:
            row = db.execute("SELECT size, note FROM head").fetchone()
        return Head(*row) if row else Head(0, sign_checkpoint(self.origin, 0, EMPTY_ROOT, self._log))

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
            NotVerified: an entry was changed, lost or added behind the log's back; the party must not sign on.
        """
        remedy = "Restore the newest backup, or ask the federation before you go on."
        frontier = Frontier()
        with self.store.read() as db:
            db.execute("BEGIN")  # one state: another process of this party may be adding entries
            try:
                for index, (found, note, leaf) in enumerate(db.execute("SELECT idx, note, leaf FROM entries ORDER BY idx")):
                    if found != index or leaf_hash(note) != leaf:
                        raise NotVerified("this log does not hold together", place=f"entry {index}", remedy=remedy)
                    frontier.append(leaf)
                head = db.execute("SELECT note FROM head").fetchone()
            finally:
                db.execute("ROLLBACK")
        if head is None:
            if frontier.size:
                raise NotVerified("this log has entries and no checkpoint", place="head", remedy=remedy)
            return 0
        checkpoint = open_checkpoint(head[0], self._log.verifier)
        if (checkpoint.size, checkpoint.root) != (frontier.size, frontier.root()):
            raise NotVerified("this log differs from its signed checkpoint", place=f"size {checkpoint.size}", remedy=remedy)
        self._frontier = frontier
        return frontier.size

    def _caught_up(self, db: sqlite3.Connection, size: int) -> Frontier:
        """A frontier over the `size` entries that the file holds now: another process may have added some since."""
        frontier = self._frontier.copy()
        if frontier.size != size:
            for (leaf,) in db.execute("SELECT leaf FROM entries WHERE idx >= ? ORDER BY idx", (frontier.size,)):
                frontier.append(leaf)
        return frontier


class _Tree(Tree):
    """Keeps the roots of subtrees of 32 to 128 entries, which never change: every answer carries two proofs."""

    def __init__(self, source: HashSource) -> None:
        super().__init__(source)
        self._kept: dict[tuple[int, int], bytes] = {}

    def _complete(self, height: int, number: int) -> bytes:
        if not 5 <= height <= 7:  # smaller ones cost little, larger ones are kept by the source
            return super()._complete(height, number)
        found = self._kept.get((height, number))
        if found is None:
            found = self._kept[height, number] = super()._complete(height, number)
        return found


class _Leaves:
    """Leaf hashes by index, for proofs. They never change once they are on the disk, so they are kept: 32 bytes an entry."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._held = bytearray()

    def __call__(self, first: int, count: int) -> Sequence[bytes]:
        end = 32 * (first + count)
        if len(self._held) < end:
            with self._store.read() as db, self._lock:
                assert not db.in_transaction, "a leaf of an open transaction may yet be another"
                known = len(self._held) // 32
                for (leaf,) in db.execute("SELECT leaf FROM entries WHERE idx >= ? ORDER BY idx", (known,)):
                    self._held += leaf
        return [bytes(self._held[at : at + 32]) for at in range(32 * first, min(end, len(self._held)), 32)]
