"""Everything the coordinator keeps: one SQLite file (WAL, synchronous=FULL), one writer at a time.

    registry    the registry log: entry, leaf hash, and the checkpoint over the tree that ends with it
    entries     the coordinator's own log in its final form: requests, decisions, releases, withdrawals as they came, indicators,
                other logs' checkpoints; written by `journal` alone
    head        the signed checkpoint over `entries`, changed in the transaction that adds them
    cosigned    of each of the two logs the newest checkpoint that has the quorum of its witnesses
    peers       which checkpoints of other logs are in `entries`, by log key and size
    receipts    proofs of other logs that they hold what this one took from them
    blobs       payloads, tables and request details, by SHA-256
    requests    one row a request: derived from `entries`, kept for lookup
    answers     newest verified answer of each node to each question; a release is never replaced
    charges     nano-rho of each logged charge decision
    indicators  the entry of each revision
    rounds      rounds of national sums and how far each has come; see `rounds`
    submissions what the roster of each plan has sent: the SUBMIT's entry, or the reason why there is none
    trusteed    the PREPARE and UNMASK of each trustee for each plan: entry, and SHA-256 of the list or sum of masks they name
    vectors     which masked vectors and sums of masks are files; see `vectors`
    trustees    which trustees are connected

`entries` and `registry` are append-only: no statement in this file updates or deletes there. Trusted with availability and
order; an attacker who can write the file can drop or reorder entries (found by whoever holds an older checkpoint, receipt or
bundle) and forge none of them, because each carries its author's signature.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collegium.errors import CollegiumError, Failed, Invalid
from collegium_coordinator.tables import FORMAT, SINCE_1, SINCE_2, SINCE_3

__all__ = ["FORMAT", "Fault", "Store", "no_fault", "put_blob"]

Fault = Callable[[str], None]
"""Called with a point (begin, commit, committed) around every transaction. Tests pass one that raises or kills."""


def no_fault(_: str) -> None:
    """What production passes for `fault`: nothing goes wrong on purpose."""


class Store:
    """One process's access to the file. Reads and writes may come from any thread; writes wait for each other.

    `on_broken` is called when a commit fails: what is on the disk is then unknown, so the process must end and start anew
    from the file. `serve` passes a function that ends the process; without one the error alone is raised.
    """

    def __init__(
        self, path: Path, *, create: bool = False, on_broken: Callable[[], None] | None = None, fault: Fault = no_fault
    ) -> None:
        if path.exists() == create:
            what = "there is a database already" if create else "there is no database"
            raise Invalid(
                what, place=str(path), remedy="Choose another directory." if create else "Run `collegium-coordinator init`."
            )
        self.path = path
        self._on_broken = on_broken
        self._fault = fault
        self._write_lock = threading.RLock()
        self._read_lock = threading.Lock()
        self._writer = _connect(path)
        try:
            self._prepare(create)
            self._reader = _connect(path)
            for connection in (self._writer, self._reader):
                connection.execute("PRAGMA synchronous=FULL")
        except sqlite3.Error as error:
            self._writer.close()
            raise _unreadable(error, path) from None
        except CollegiumError:
            self._writer.close()
            raise

    def _prepare(self, create: bool) -> None:
        if create:
            self._writer.execute("PRAGMA journal_mode=WAL")
            with self.transaction() as db:
                for statement in (SINCE_1 + SINCE_2 + SINCE_3).split(";"):
                    if statement.strip():
                        db.execute(statement)
                db.execute(f"PRAGMA user_version={FORMAT}")
        found = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if found < FORMAT:
            raise Invalid(
                f"the database has format {found}, this version reads {FORMAT}",
                place=str(self.path),
                remedy="Start `collegium-coordinator serve` once: it brings the database to the new format.",
            )
        if found != FORMAT:
            raise Invalid(
                f"the database has format {found}, this version reads {FORMAT}",
                place=str(self.path),
                remedy="Install the version of the coordinator that wrote it, or a newer one.",
            )

    def close(self) -> None:
        """Close both connections; a transaction under way finishes first."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction; nothing of it remains when the block raises.

        Raises:
            Failed: the disk is full or broken. After a failed commit `on_broken` has been called.
        """
        with self._write_lock:
            try:
                self._fault("begin")
                # IMMEDIATE: what is read inside stays true until the commit, for other processes too (invite beside serve).
                self._writer.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise _failed(error) from None
            try:
                yield self._writer
            except BaseException as error:
                # Crash here: SQLite rolls the transaction back when the file is next opened; the caller got no answer.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
                    raise _failed(error) from None
                raise
            try:
                self._fault("commit")
                self._writer.execute("COMMIT")
                # Crash here: everything in the block is on the disk; callers who got no answer repeat their call and find it.
            except sqlite3.Error as error:
                if self._on_broken is not None:
                    self._on_broken()
                raise _failed(error) from None
            self._fault("committed")

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query over what is committed."""
        with self._read_lock:
            return self._reader.execute(sql, values).fetchall()

    def walk(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query one by one, over one committed state; for what does not fit into memory. A connection of its own."""
        connection = _connect(self.path)
        try:
            yield from connection.execute(sql)
        finally:
            connection.close()

    def row(self, sql: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""
        with self._read_lock:
            found: tuple[Any, ...] | None = self._reader.execute(sql, values).fetchone()
            return found

    def blob(self, sha: str) -> bytes | None:
        """A blob by its SHA-256 in hex."""
        found = self.row("SELECT data FROM blobs WHERE sha = ?", (sha,))
        return bytes(found[0]) if found is not None else None

    def entry(self, index: int) -> bytes:
        """One entry of the coordinator's own log, as it came."""
        found = self.row("SELECT entry FROM entries WHERE idx = ?", (index,))
        if found is None:
            raise Failed(f"entry {index} is not in the log", place=str(self.path), remedy="Restore the database from its backup.")
        return bytes(found[0])


def put_blob(db: sqlite3.Connection, data: bytes) -> str:
    """Keep a blob inside a transaction; its SHA-256 in hex."""
    sha = hashlib.sha256(data).hexdigest()
    db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (sha, data))
    return sha


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30.0)
    except sqlite3.Error as error:
        raise _unreadable(error, path) from None


def _failed(error: sqlite3.Error) -> Failed:
    return Failed(
        f"the database could not be written: {error}", remedy="Look at the disk's free space and health.", reason="failed"
    )


def _unreadable(error: sqlite3.Error, path: Path) -> CollegiumError:
    """A database that holds nonsense is replaced by its backup; one on a full or failing disk must not be."""
    if isinstance(error, sqlite3.OperationalError):
        return Failed(
            f"the database cannot be opened: {error}",
            place=str(path),
            remedy="Free disk space or repair the disk; nothing is lost.",
        )
    return Invalid(f"the database cannot be read: {error}", place=str(path), remedy="Restore it from the newest backup.")
