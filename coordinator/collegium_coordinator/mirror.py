"""Copies of other parties' logs: what `mirroring` has read of every node's log, and of the registry as nodes have verified it.

A node that lost its newest state replays from here (`collegium-node recover`), and so does this coordinator's registry
(`collegium-coordinator recover`). It is a file of its own beside the database, in no backup: lost, it is read again from whoever is
connected. What it holds is what any auditor may read of those logs: signed statements and noisy payloads, nothing exact.

    logs        by log key: the newest checkpoint that the copy reaches
    copied      entries of the copies; what lies beyond `logs.size` is being read, is shown to nobody, and is dropped when it does
                not verify
    payloads    digests that releases of the copy name; the payload itself only where the database has none
    shown       the largest checkpoint of each of our own two logs that stands in somebody's log, signed by our own key

Trusted with nothing: whoever takes an entry from here verifies it under the author's own signed checkpoint. An attacker who can
write the file can withhold a copy; he cannot make a node take a false one.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from collegium.errors import Failed
from collegium.log.checkpoint import Checkpoint, read_checkpoint
from collegium.log.merkle import Frontier, leaf_hash
from collegium.log.note import Verifier
from collegium.log.tree import LeafHashes, Tree

__all__ = ["Copied", "Mirror", "Mirrored"]

FORMAT = 1
_TABLES = """
CREATE TABLE logs (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, origin TEXT NOT NULL, size INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0, time REAL NOT NULL DEFAULT 0, checkpoint BLOB
) STRICT;
CREATE TABLE copied (
    log INTEGER NOT NULL, idx INTEGER NOT NULL, entry BLOB NOT NULL, leaf BLOB NOT NULL, PRIMARY KEY (log, idx)
) STRICT, WITHOUT ROWID;
CREATE TABLE payloads (
    log INTEGER NOT NULL, sha TEXT NOT NULL, data BLOB, PRIMARY KEY (log, sha)
) STRICT, WITHOUT ROWID;
CREATE TABLE shown (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, holder TEXT NOT NULL, checkpoint BLOB NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Copied:
    """How far the copy of one log reaches. `weight`: bytes of its entries; `time` when it last grew or was found complete."""

    origin: str
    size: int
    weight: int
    time: float
    checkpoint: bytes

    @property
    def head(self) -> Checkpoint | None:
        return read_checkpoint(self.checkpoint) if self.checkpoint else None


class Mirror:
    """The file. Safe from any thread; one process writes it.

    SQLite with synchronous=NORMAL: what a crash of the machine loses is read again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._on_disk = path.exists()  # else nothing is written before there is something to keep
        self._db = self._open(str(path) if self._on_disk else ":memory:")

    def _open(self, place: str) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(place, isolation_level=None, check_same_thread=False, timeout=30.0)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            if db.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                db.execute("BEGIN IMMEDIATE")
                for statement in _TABLES.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version={FORMAT}")
                db.execute("COMMIT")
            return db
        except sqlite3.Error as error:
            remedy = "Remove this file: it is a copy, and is read again from the nodes."
            raise Failed(f"the copies of the nodes' logs cannot be opened: {error}", place=str(self.path), remedy=remedy) from None

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # -- what is there ---------------------------------------------------------------------------------------------------------

    def copied(self, key: Verifier) -> Copied:
        """How far the copy of the log with this key reaches; nowhere when there is none."""
        sql = "SELECT origin, size, bytes, time, checkpoint FROM logs WHERE key = ?"
        with self._reading() as db:
            row = db.execute(sql, (key.vkey,)).fetchone()
        return Copied(row[0], row[1], row[2], row[3], bytes(row[4] or b"")) if row else Copied(key.name, 0, 0, 0.0, b"")

    def entries(self, key: Verifier, first: int, count: int) -> list[bytes]:
        """Verified entries of a copy, at most `count` from index `first` on."""
        return self._column("entry", key, first, count)

    def leaves(self, key: Verifier, first: int, count: int) -> list[bytes]:
        return self._column("leaf", key, first, count)

    def payload(self, key: Verifier, sha: str) -> bytes | None:
        """A payload that the copy names and holds itself: b"" when it only names it, None when it does not."""
        sql = "SELECT COALESCE(p.data, x'') FROM payloads p JOIN logs l ON l.id = p.log WHERE l.key = ? AND p.sha = ?"
        with self._reading() as db:
            row = db.execute(sql, (key.vkey, sha)).fetchone()
        return bytes(row[0]) if row is not None else None

    def totals(self) -> tuple[int, int, int]:
        """Logs of which there is a copy, their entries, and the bytes of those."""
        with self._reading() as db:
            row = db.execute("SELECT COUNT(*), COALESCE(SUM(size), 0), COALESCE(SUM(bytes), 0) FROM logs WHERE size > 0").fetchone()
        return int(row[0]), int(row[1]), int(row[2])

    def prove(self, holder: str, checkpoint: bytes) -> None:
        """Keep a checkpoint of one of our own logs that our database does not hold: the proof that it is an old copy."""
        head = read_checkpoint(checkpoint)
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO shown VALUES (?, ?, ?, ?)", (head.origin, head.size, holder, checkpoint))

    def frontier(self, key: Verifier) -> Frontier:
        """The right edge of a copy's tree, from its leaf hashes."""
        frontier = Frontier()
        while leaves := self.leaves(key, frontier.size, 4096):
            for leaf in leaves:
                frontier.append(leaf)
        return frontier

    def shown(self, origin: str) -> tuple[str, bytes] | None:
        """Who holds the largest checkpoint of one of our own logs, and that checkpoint; None when nobody has shown any."""
        with self._reading() as db:
            row = db.execute("SELECT holder, checkpoint FROM shown WHERE origin = ?", (origin,)).fetchone()
        return (str(row[0]), bytes(row[1])) if row is not None else None

    # -- reading on ------------------------------------------------------------------------------------------------------------

    def begin(self, key: Verifier) -> None:
        """Drop what a former reading has left beyond the verified part."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO logs (key, origin) VALUES (?, ?)", (key.vkey, key.name))
            number, size = db.execute("SELECT id, size FROM logs WHERE key = ?", (key.vkey,)).fetchone()
            db.execute("DELETE FROM copied WHERE log = ? AND idx >= ?", (number, size))

    def hold(self, key: Verifier, first: int, entries: Sequence[bytes]) -> None:
        """Keep entries that are not verified yet; nobody is shown them before `confirm`."""
        with self._transaction() as db:
            number = db.execute("SELECT id FROM logs WHERE key = ?", (key.vkey,)).fetchone()[0]
            rows = ((number, index, entry, leaf_hash(entry)) for index, entry in enumerate(entries, first))
            db.executemany("INSERT INTO copied VALUES (?, ?, ?, ?)", rows)

    def keep_payload(self, key: Verifier, sha: str, data: bytes | None) -> None:
        """Remember that the copy names a payload, and the payload itself unless the database has it. Raises Failed for another."""
        if data is not None and hashlib.sha256(data).hexdigest() != sha:
            raise Failed("the payload is not the one of its digest", place=key.name)
        with self._transaction() as db:
            number = db.execute("SELECT id FROM logs WHERE key = ?", (key.vkey,)).fetchone()[0]
            db.execute("INSERT OR IGNORE INTO payloads VALUES (?, ?, ?)", (number, sha, data))

    def confirm(self, key: Verifier, checkpoint: bytes, now: float, shown: Iterable[tuple[str, bytes]] = ()) -> None:
        """What is held up to a checkpoint is verified. `shown`: (holder, checkpoint) of our own logs that stand in it."""
        size = read_checkpoint(checkpoint).size
        with self._transaction() as db:
            number, before = db.execute("SELECT id, size FROM logs WHERE key = ?", (key.vkey,)).fetchone()
            sql = "SELECT COALESCE(SUM(LENGTH(entry)), 0) FROM copied WHERE log = ? AND idx >= ?"
            more = db.execute(sql, (number, before)).fetchone()[0]
            sql = "UPDATE logs SET size = ?, bytes = bytes + ?, time = ?, checkpoint = ? WHERE id = ?"
            db.execute(sql, (size, more, now, checkpoint, number))
            for holder, note in shown:
                head = read_checkpoint(note)
                sql = (
                    "INSERT INTO shown VALUES (?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE SET size = excluded.size,"
                    " holder = excluded.holder, checkpoint = excluded.checkpoint WHERE excluded.size > size"
                )
                db.execute(sql, (head.origin, head.size, holder, note))
            # Crash here: the entries are read again, and verified again.

    def _column(self, column: str, key: Verifier, first: int, count: int) -> list[bytes]:
        sql = (
            f"SELECT e.{column} FROM copied e JOIN logs l ON l.id = e.log"  # noqa: S608 (constant names)
            " WHERE l.key = ? AND e.idx >= ? AND e.idx < MIN(?, l.size) ORDER BY e.idx"
        )
        with self._reading() as db:
            return [bytes(row[0]) for row in db.execute(sql, (key.vkey, first, first + count))]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise self._broken(error) from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if not self._on_disk:
                self._db.close()
                self._db, self._on_disk = self._open(str(self.path)), True
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise self._broken(error) from None
                raise

    def _broken(self, error: sqlite3.Error) -> Failed:
        return Failed(f"the copies of the nodes' logs: {error}", place=str(self.path), remedy="Look at the disk's free space.")


class Mirrored:
    """The copy of one log for its reader: `collegium_coordinator.logs` serves it to the log's own owner, and to nobody else."""

    def __init__(self, mirror: Mirror, key: Verifier) -> None:
        self._mirror = mirror
        self._key = key
        self.tree = Tree(LeafHashes(self.leaves))

    def checkpoint(self) -> bytes | None:
        return self._mirror.copied(self._key).checkpoint or None

    def size(self) -> int:
        return self._mirror.copied(self._key).size

    def entries(self, first: int, count: int) -> Sequence[bytes]:
        return self._mirror.entries(self._key, first, count)

    def leaves(self, first: int, count: int) -> Sequence[bytes]:
        return self._mirror.leaves(self._key, first, count)

    def payload(self, sha256: str) -> bytes | None:
        return self._mirror.payload(self._key, sha256)
