"""The coordinator's file: durable, append-only, whole or not at all; and its backup."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collegium.errors import Failed, Invalid
from collegium_coordinator.backup import backup
from collegium_coordinator.config import Home
from collegium_coordinator.store import Store, put_blob

INSERT = "INSERT INTO entries VALUES ((SELECT COUNT(*) FROM entries), 'request', 'r', ?, ?)"


def put(db: Any, note: bytes) -> None:
    """A row of the log without a checkpoint: what is tested here is the file and not the log."""
    db.execute(INSERT, (note, note))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = Store(tmp_path / "coordinator.db", create=True)
    yield made
    made.close()


def test_the_file_is_wal_and_synchronous_full(store: Store) -> None:
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)


def test_nothing_of_a_broken_transaction_remains(store: Store) -> None:
    def break_off() -> None:
        with store.transaction() as db:
            put(db, b"one")
            put_blob(db, b"payload")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert store.rows("SELECT * FROM entries") == []
    assert store.rows("SELECT * FROM blobs") == []


def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "killed.db"
    script = """
import os, sys
from pathlib import Path
from collegium_coordinator.store import Store
INSERT = "INSERT INTO entries VALUES ((SELECT COUNT(*) FROM entries), 'request', 'r', ?, ?)"
store = Store(Path(sys.argv[1]), create=True)
with store.transaction() as db:
    db.execute(INSERT, (b"kept", b"kept"))
print("committed", flush=True)
with store.transaction() as db:
    db.execute(INSERT, (b"lost", b"lost"))
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "committed\n"
    store = Store(path)
    assert store.rows("SELECT entry FROM entries") == [(b"kept",)]
    store.close()


def test_a_full_disk_is_reported_and_loses_nothing(store: Store) -> None:
    with store.transaction() as db:
        put(db, b"before")
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count={pages + 2}")  # SQLite's own way of a full disk
    with pytest.raises(Failed, match="full"), store.transaction() as db:
        put_blob(db, os.urandom(1_000_000))
    assert store.rows("SELECT entry FROM entries") == [(b"before",)]
    store._writer.execute("PRAGMA max_page_count=1000000")
    with store.transaction() as db:
        put(db, b"after")
    assert len(store.rows("SELECT entry FROM entries")) == 2


class _BrokenCommit:
    """A connection whose commit fails, as on a disk that refuses its fsync."""

    def __init__(self, inner: sqlite3.Connection) -> None:
        self._inner = inner

    def execute(self, sql: str, *values: Any) -> Any:
        if sql == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return self._inner.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_a_failed_commit_ends_the_process(tmp_path: Path) -> None:
    ended: list[bool] = []
    store = Store(tmp_path / "broken.db", create=True, on_broken=lambda: ended.append(True))
    inner, store._writer = store._writer, _BrokenCommit(store._writer)  # type: ignore[assignment]
    with pytest.raises(Failed), store.transaction() as db:
        put(db, b"unknown")
    assert ended == [True]
    inner.execute("ROLLBACK")
    store._writer = inner
    store.close()


def test_create_never_overwrites_and_open_never_creates(tmp_path: Path, store: Store) -> None:
    with pytest.raises(Invalid, match="already"):
        Store(store.path, create=True)
    with pytest.raises(Invalid, match="no database"):
        Store(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("this is no database, it is a text of some length" * 100)
    with pytest.raises(Invalid, match="cannot be read"):
        Store(tmp_path / "text.db")


def test_another_format_is_refused(tmp_path: Path, store: Store) -> None:
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(Invalid, match="format 99"):
        Store(store.path)


def test_a_backup_is_whole_private_and_taken_while_the_file_is_written(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    store = Store(home.database, create=True)
    with store.transaction() as db:
        put(db, b"one")
    with store.transaction() as db:
        put(db, b"not committed yet")
        backup(home, tmp_path / "copy.db")
    copy = Store(tmp_path / "copy.db")
    assert copy.rows("SELECT entry FROM entries") == [(b"one",)]
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    copy.close()
    store.close()
    with pytest.raises(Invalid, match="already"):
        backup(home, tmp_path / "copy.db")
    with pytest.raises(Failed):
        backup(home, tmp_path / "nowhere" / "copy.db")
    assert not list(tmp_path.glob(".*partial"))


def test_no_statement_of_the_package_changes_a_logged_entry() -> None:
    """Append-only is a property of the code: nothing in it updates, deletes from or replaces in the two logs."""
    import collegium_coordinator

    for path in Path(next(iter(collegium_coordinator.__path__))).glob("*.py"):
        text = " ".join(path.read_text().split())
        for table in ("entries", "registry"):
            for verb in (f"UPDATE {table} ", f"DELETE FROM {table} ", f'DELETE FROM {table}"', f"REPLACE INTO {table} "):
                assert verb not in text, (path.name, verb)
