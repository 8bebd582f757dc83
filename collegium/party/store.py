"""One SQLite file holds everything a party must never forget: signed entries and what rests on them, receipts, the registry it has
verified, and the largest tree of every log that it witnesses.

Every change is one transaction (WAL, synchronous=FULL): when `write` returns, the change is on the disk; when it raises, nothing of
it is there. A write that the disk refuses breaks the store for good: the process must end, because what it holds in memory may no
longer be what the next process will find. Two processes may share the file (the server and an operator's command); SQLite's own
lock lets one write at a time.

Trusted with every signature of the party. An attacker who can write it is found out by anyone who holds an older checkpoint.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from collegium.errors import Failed, Invalid

__all__ = ["Fault", "Step", "StorageBroken", "Store", "no_fault", "sql"]

BUSY_MS = 30_000

Fault = Callable[[str], None]
"""Called with "<point> <purpose>" around every write (points: begin, commit, committed). Tests pass one that raises or kills."""

Step = Callable[[sqlite3.Connection], None]
"""Takes a database from one format to the next, inside an open transaction. Step n of a store makes format n + 1 of format n."""


class StorageBroken(Failed):
    """The disk refused a write. Nothing of that write is there; this process must end and its successor recovers."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the database could not be written ({what}); the process stops",
            remedy="Free disk space or repair the disk, then start it again: nothing is lost.",
            reason="failed",
        )


def no_fault(_: str) -> None:
    """What production passes for `fault`: nothing goes wrong on purpose."""


def sql(*scripts: str) -> Step:
    """The step that runs these statements. They end in ";" and nothing else in them holds one."""

    def run(db: sqlite3.Connection) -> None:
        for script in scripts:
            for statement in script.split(";"):
                db.execute(statement)

    return run


class Store:
    """The database of one party. All access goes through `read` and `write`; both are safe from any thread.

    Args:
        steps: how the tables came to be, format by format; the file is brought to the last.
        program: the program it belongs to, for messages.
    """

    def __init__(self, path: Path, steps: Sequence[Step], *, program: str, fault: Fault = no_fault) -> None:
        self.path = path
        self.broken: StorageBroken | None = None
        self._steps = steps
        self._program = program
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
        known = len(self._steps)
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version < known:
            self._db.execute("BEGIN IMMEDIATE")
            there = self._db.execute("PRAGMA user_version").fetchone()[0]  # somebody else may have been faster
            for step in self._steps[there:]:
                step(self._db)
            self._db.execute(f"PRAGMA user_version = {max(there, known)}")
            # Crash here: SQLite rolls back, the file stays at its version and the next start does it again.
            self._db.execute("COMMIT")
        elif version != known:
            raise Invalid(
                f"the database has format {version}, this program knows {known}",
                place=str(self.path),
                remedy=f"Install the version of {self._program} that wrote it.",
            )

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
        """A consistent copy by SQLite's own backup API; the party may be running."""
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
