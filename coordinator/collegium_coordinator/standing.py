"""A second copy of the database, brought up to date before anybody is shown what is new: `[mirror] own` in coordinator.toml.

The order is that of every log here: commit, copy, then ask the witnesses. So whatever a witness has seen of our logs, and whatever
went out under their quorum, lies in the copy too: when the database is lost, `collegium-coordinator recover` takes the copy and
nothing is missing. A log without witnesses is copied within a second instead. When the copy cannot be written, the witnesses
are not asked and nothing goes out: its disk is as important as the database's.

It is a database of the same form, and can be put in its place as it is. Trusted as the database is; it holds no key.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from collegium.errors import CollegiumError, Failed
from collegium_coordinator.store import Store

__all__ = ["Standing"]

_GROWING = {"registry": "idx", "entries": "idx", "blobs": "rowid", "receipts": "rowid", "joins": "rowid", "certificates": "rowid"}
"""Tables that only grow, and the number by which they do."""
_OF_ENTRIES = ("charges", "indicators", "peers", "withdrawals")
"""Tables that say of an entry what it is; rows of entries that are new."""
_BY_ENTRY = ("indicators", "peers", "withdrawals")
_OF_REQUESTS = {"requests": "id", "answers": "request"}
"""Tables that change with the entries of a request."""
_WHOLE = ("head", "cosigned", "dial", "trustees")
_OPEN_ROUNDS = "SELECT id FROM live.rounds WHERE id > ? UNION SELECT id FROM main.rounds WHERE state NOT IN ('done', 'failed')"
"""Rounds whose row may have changed: new ones, and those that were under way when the copy was made."""
_OF_ROUNDS = {
    "submissions": "entry >= :first OR decision >= :first OR entry IS NULL",
    "trusteed": "entry >= :first",
    "vectors": "sha NOT IN (SELECT sha FROM main.vectors)",
}
"""Tables of the plans of those rounds, and which of their rows are new."""


class Standing:
    """The copy. `bring_up` may be called from any thread."""

    def __init__(self, path: Path, database: Path) -> None:
        """Raises Failed when the database cannot be prepared for it."""
        self.path = path
        self._database = database
        self._lock = threading.Lock()
        try:
            db = sqlite3.connect(database, isolation_level=None, timeout=30.0)
            try:
                for table in _BY_ENTRY:  # so that what is new is found without reading what is old
                    db.execute(f"CREATE INDEX IF NOT EXISTS {table}_by_entry ON {table}(entry)")
            finally:
                db.close()
        except sqlite3.Error as error:
            raise Failed(f"the database cannot be prepared for its copy: {error}", place=str(database)) from None

    def bring_up(self) -> int:
        """Copy what is new, in one durable transaction; entries of the coordinator's own log that are in the copy now.

        Raises Failed: the copy cannot be written, or is of another database; nothing of it has changed.
        """
        with self._lock:
            try:
                if not self.path.exists():
                    Store(self.path, create=True).close()
                db = sqlite3.connect(f"{self.path.absolute().as_uri()}", uri=True, isolation_level=None, timeout=30.0)
                try:
                    db.execute("PRAGMA synchronous=FULL")
                    db.execute("ATTACH ? AS live", (f"{self._database.absolute().as_uri()}?mode=ro",))
                    db.execute("BEGIN IMMEDIATE")
                    size = _bring_up(db)
                    # Crash here: the copy is as it was, and the witnesses have not been asked about what is new.
                    db.execute("COMMIT")
                    return size
                finally:
                    db.close()
            except (sqlite3.Error, OSError) as error:
                remedy = "Repair its disk. Until then nothing new goes out."
                raise Failed(f"the copy of the database cannot be written: {error}", place=str(self.path), remedy=remedy) from None
            except CollegiumError as error:
                raise Failed(error.text, place=str(self.path), remedy=error.remedy, reason=error.reason) from None


def _bring_up(db: sqlite3.Connection) -> int:
    for table, key in (("registry", "idx"), ("entries", "idx")):
        newest = db.execute(f"SELECT idx, leaf FROM main.{table} ORDER BY {key} DESC LIMIT 1").fetchone()  # noqa: S608 (constants)
        if newest is not None:
            same = db.execute(f"SELECT leaf FROM live.{table} WHERE idx = ?", (newest[0],)).fetchone()  # noqa: S608
            if same is None or same[0] != newest[1]:
                raise Failed(
                    "the copy holds what the database does not: the database has been restored from a backup",
                    remedy="Stop `serve`, and run `collegium-coordinator recover`.",
                    reason="restored",
                )
    first = db.execute("SELECT COALESCE(MAX(idx), -1) + 1 FROM main.entries").fetchone()[0]
    for table, key in _GROWING.items():
        known = db.execute(f"SELECT COALESCE(MAX({key}), -1) FROM main.{table}").fetchone()[0]  # noqa: S608
        columns = f"{'rowid, ' if key == 'rowid' else ''}{', '.join(_columns(db, table))}"
        verb = "INSERT" if key == "idx" else "INSERT OR REPLACE"
        sql = f"{verb} INTO main.{table} ({columns}) SELECT {columns} FROM live.{table} WHERE {key} > ?"  # noqa: S608
        db.execute(sql, (known,))
    for table in _OF_ENTRIES:
        db.execute(f"INSERT OR REPLACE INTO main.{table} SELECT * FROM live.{table} WHERE entry >= ?", (first,))  # noqa: S608
    for table, key in _OF_REQUESTS.items():
        new = "SELECT DISTINCT request FROM live.entries WHERE idx >= ?"
        db.execute(f"INSERT OR REPLACE INTO main.{table} SELECT * FROM live.{table} WHERE {key} IN ({new})", (first,))  # noqa: S608
    known = db.execute("SELECT COALESCE(MAX(id), 0) FROM main.rounds").fetchone()[0]
    changed = ",".join(str(row[0]) for row in db.execute(_OPEN_ROUNDS, (known,)))
    db.execute(f"INSERT OR REPLACE INTO main.rounds SELECT * FROM live.rounds WHERE id IN ({changed})")  # noqa: S608
    plans = f"SELECT plan FROM live.rounds WHERE id IN ({changed})"  # noqa: S608
    for table, new in _OF_ROUNDS.items():
        sql = f"INSERT OR REPLACE INTO main.{table} SELECT * FROM live.{table} WHERE plan IN ({plans}) AND ({new})"  # noqa: S608
        db.execute(sql, {"first": first} if ":first" in new else {})
    for table in _WHOLE:
        db.execute(f"DELETE FROM main.{table}")  # noqa: S608
        db.execute(f"INSERT INTO main.{table} SELECT * FROM live.{table}")  # noqa: S608
    return int(db.execute("SELECT COUNT(*) FROM main.entries").fetchone()[0])


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA main.table_info({table})")]
