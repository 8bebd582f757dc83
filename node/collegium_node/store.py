"""One SQLite file holds everything a node must never forget: signed entries, charges, releases, receipts, the registry it has
verified, and the largest tree of every log that it witnesses.

Every change is one transaction (WAL, synchronous=FULL): when `write` returns, the change is on the disk; when it raises, nothing of
it is there. A write that the disk refuses breaks the store for good: the process must end, because what it holds in memory may no
longer be what the next process will find. Two processes may share the file (the server and a steward's command); SQLite's own lock
lets one write at a time.

Trusted with the budget and with every answer. An attacker who can write it can overspend and is found out by anyone who holds an
older checkpoint; one who can read it sees what was released anyway, and who asked for what purpose, but no row and no true count.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from collegium.errors import Failed, Invalid
from collegium.log.statement import read_statement

__all__ = ["Fault", "StorageBroken", "Store", "no_fault"]

VERSION = 2
BUSY_MS = 30_000

Fault = Callable[[str], None]
"""Called with "<point> <purpose>" around every write (points: begin, commit, committed). Tests pass one that raises or kills."""

# Statements end in ";" and nothing else holds one: `_create` splits there.
FORMAT_1 = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- The log: signed notes in their final order and form. `leaf` is the Merkle leaf hash, `head` the signed checkpoint over all.
CREATE TABLE entries(
    idx INTEGER PRIMARY KEY, kind TEXT NOT NULL, request TEXT NOT NULL, note BLOB NOT NULL, leaf BLOB NOT NULL
) STRICT;
CREATE INDEX entries_kind ON entries(kind, idx);
CREATE INDEX entries_request ON entries(request, idx);
CREATE TABLE head(id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root TEXT NOT NULL, note BLOB NOT NULL) STRICT;

-- The ledger. The primary key is the promise: a question is charged once on a snapshot, for ever.
CREATE TABLE charges(
    digest TEXT NOT NULL, snapshot TEXT NOT NULL, unit TEXT NOT NULL, period TEXT NOT NULL, time INTEGER NOT NULL,
    dataset TEXT NOT NULL, researcher TEXT NOT NULL, rho INTEGER NOT NULL CHECK (rho > 0),
    request TEXT NOT NULL, number INTEGER NOT NULL, decision INTEGER NOT NULL REFERENCES entries(idx),
    release INTEGER REFERENCES entries(idx),
    PRIMARY KEY (digest, snapshot)
) STRICT;
CREATE INDEX charges_unit ON charges(unit, time);

-- An index over decision entries, so that a repeated request finds what was decided on it.
CREATE TABLE decisions(
    idx INTEGER PRIMARY KEY REFERENCES entries(idx), request TEXT NOT NULL, number INTEGER NOT NULL,
    verdict TEXT NOT NULL, reason TEXT NOT NULL, digest TEXT NOT NULL, snapshot TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_request ON decisions(request, number, idx);

CREATE TABLE withdrawals(idx INTEGER PRIMARY KEY REFERENCES entries(idx), release INTEGER NOT NULL REFERENCES entries(idx)) STRICT;
CREATE TABLE blobs(sha256 TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT;

-- Requests that wait for the steward: held, allowed or refused.
CREATE TABLE held(request TEXT PRIMARY KEY, state TEXT NOT NULL, time INTEGER NOT NULL) STRICT;

CREATE TABLE snapshots(
    id TEXT PRIMARY KEY, name TEXT NOT NULL, time INTEGER NOT NULL, schema TEXT NOT NULL, current INTEGER NOT NULL,
    datasets TEXT NOT NULL
) STRICT;

-- Registry entries this node has verified, and the checkpoint over them.
CREATE TABLE registry(idx INTEGER PRIMARY KEY, note BLOB NOT NULL) STRICT;
CREATE TABLE registry_head(
    id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root TEXT NOT NULL, note BLOB NOT NULL
) STRICT;
"""

FORMAT_2 = """
-- The newest checkpoint of this log that a quorum of its witnesses has cosigned, and when.
CREATE TABLE quorum(id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, time INTEGER NOT NULL, note BLOB NOT NULL) STRICT;

-- Checkpoints of other logs that stand in this one: the largest of each, and the entry that holds it.
CREATE TABLE peers(
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root TEXT NOT NULL, idx INTEGER NOT NULL REFERENCES entries(idx)
) STRICT;

-- Proofs by which other parties are bound to what they have sent here, by the id of the statement.
CREATE TABLE receipts(statement TEXT PRIMARY KEY, origin TEXT NOT NULL, proof BLOB NOT NULL) STRICT;

-- Payloads that are published with the log, once the entry that names them is. The details of requests are none: they may have to
-- be erased. (Tallies of an older format are found in `_name_payloads`.)
CREATE TABLE named(sha256 TEXT PRIMARY KEY REFERENCES blobs(sha256) ON DELETE CASCADE, idx INTEGER NOT NULL) STRICT;

-- What this node knows as a witness. A log is its key: a log that is opened anew under another key begins at nothing.
CREATE TABLE witnessed(
    log TEXT PRIMARY KEY, origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, checkpoint BLOB NOT NULL,
    time INTEGER NOT NULL
) STRICT;
-- Signed checkpoints that contradict the one in `witnessed`: evidence, kept for whoever asks.
CREATE TABLE splits(log TEXT NOT NULL, checkpoint BLOB NOT NULL, PRIMARY KEY (log, checkpoint)) STRICT;
"""

STEPS = (FORMAT_1, FORMAT_2)
"""STEPS[n] takes a database from format n to n + 1."""


class StorageBroken(Failed):
    """The disk refused a write. Nothing of that write is there; this process must end and its successor recovers."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the node's database could not be written ({what}); the node stops",
            remedy="Free disk space or repair the disk, then start the node again: nothing is lost.",
            reason="failed",
        )


def no_fault(_: str) -> None:
    """What production passes for `fault`: nothing goes wrong on purpose."""


class Store:
    """The database of one node. All access goes through `read` and `write`; both are safe from any thread."""

    def __init__(self, path: Path, *, fault: Fault = no_fault) -> None:
        self.path = path
        self.broken: StorageBroken | None = None
        self._fault = fault
        self._lock = threading.RLock()
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same mode
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.execute("PRAGMA foreign_keys=ON")
                self._create()
            except BaseException:
                self._db.close()  # rolls back what was begun
                raise
        except (sqlite3.Error, OSError) as error:
            raise Failed(
                f"the database cannot be opened ({_name(error)})", place=str(path), remedy="Check the disk and the file's owner."
            ) from None

    def _create(self) -> None:
        """Make the tables, or bring an older database to this format: each step adds tables and changes none."""
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version < VERSION:
            self._db.execute("BEGIN IMMEDIATE")
            there = self._db.execute("PRAGMA user_version").fetchone()[0]  # somebody else may have been faster
            for step in STEPS[there:]:
                for statement in step.split(";"):
                    self._db.execute(statement)
            if there == 1:
                self._name_payloads()
            self._db.execute(f"PRAGMA user_version = {max(there, VERSION)}")
            # Crash here: SQLite rolls back, the file stays at its version and the next start does it again.
            self._db.execute("COMMIT")
        elif version != VERSION:
            raise Invalid(
                f"the database has format {version}, this program knows {VERSION}",
                place=str(self.path),
                remedy="Install the version of collegium-node that wrote it.",
            )

    def _name_payloads(self) -> None:
        """Format 1 to 2: which entry names which tally."""
        for index, note in self._db.execute("SELECT idx, note FROM entries WHERE kind = 'release' ORDER BY idx").fetchall():
            sha256 = read_statement(note)[1]["payload"]["sha256"]
            self._db.execute("INSERT OR IGNORE INTO named VALUES (?, ?)", (sha256, index))

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """The connection for reading one consistent state of this process."""
        with self._lock:
            if self.broken is not None:
                raise self.broken
            yield self._db

    @contextmanager
    def write(self, purpose: str) -> Iterator[sqlite3.Connection]:
        """One durable transaction: all of it when the block ends, nothing of it when the block raises.

        Raises:
            StorageBroken: the disk refused; `broken` is set and every later use raises the same.
            Failed: another process held the database too long; the same call may be repeated.
        """
        with self._lock:
            if self.broken is not None:
                raise self.broken
            try:
                self._fault(f"begin {purpose}")
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._fault(f"commit {purpose}")
                # Crash here: the transaction is not there, the caller has not been told otherwise.
                self._db.execute("COMMIT")
                # Crash here: the transaction is there; whoever repeats the call finds it.
            except BaseException as error:
                self._undo()
                if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                    raise Failed("the database is in use by another process", remedy="Try again.", reason="busy") from None
                if isinstance(error, sqlite3.Error | OSError):
                    self.broken = StorageBroken(_name(error))
                    raise self.broken from None
                raise
            self._fault(f"committed {purpose}")

    def _undo(self) -> None:
        # A failed rollback leaves nothing to save: SQLite rolls back itself when the next process opens the file.
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            self.broken = StorageBroken(_name(error))

    def backup(self, target: Path) -> None:
        """A consistent copy by SQLite's own backup API; the node may be running."""
        with self.read() as db:
            copy = sqlite3.connect(target)
            try:
                db.backup(copy)
            finally:
                copy.close()

    def close(self) -> None:
        with self._lock:
            self._db.close()


def _name(error: BaseException) -> str:
    """The kind of a storage error. SQLite's and the system's names carry no data."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", type(error).__name__)
    return type(error).__name__
