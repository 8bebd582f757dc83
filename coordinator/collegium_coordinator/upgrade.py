"""From an older database format to this one, once, before anything else opens the file.

Format 1 kept the coordinator's own log without a checkpoint. The upgrade signs the first one over the entries that are there: each
is read again and its leaf hash compared, but what was changed in the file before this moment cannot be noticed by it. Format 2 knew
no national sums.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from collegium.errors import Failed, Invalid, NotVerified
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.merkle import Frontier, leaf_hash
from collegium.log.note import Signer
from collegium_coordinator.tables import FORMAT, SINCE_2, SINCE_3

__all__ = ["upgrade"]

log = logging.getLogger("collegium.coordinator.upgrade")


def upgrade(path: Path, own_log: Signer) -> bool:
    """Bring a database of format 1 or 2 to today's, in one transaction. False when there was nothing to do.

    Raises:
        NotVerified: an entry does not have the leaf hash it was stored with.
        Failed: the disk refused; nothing has changed.
    """
    if not path.exists():
        return False  # the store says so, with the remedy
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
        try:
            db.execute("PRAGMA synchronous=FULL")
            if (found := db.execute("PRAGMA user_version").fetchone()[0]) not in (1, 2):
                return False
            db.execute("BEGIN IMMEDIATE")
            if found == 1:
                _to_2(db, own_log)
            _to_3(db)
            # Crash here: the file is still of its old format and the next start does it again. A new checkpoint has left nobody.
            db.execute("COMMIT")
        finally:
            db.close()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise Failed(f"the database could not be brought to format {FORMAT}: {error}", place=str(path)) from None
        raise Invalid(
            f"the database cannot be read: {error}", place=str(path), remedy="Restore it from the newest backup."
        ) from None
    log.info("the database has been brought from format %d to format %d", found, FORMAT)
    return True


def _to_2(db: sqlite3.Connection, own_log: Signer) -> None:
    frontier = Frontier()
    for index, (found, entry, leaf) in enumerate(db.execute("SELECT idx, entry, leaf FROM entries ORDER BY idx")):
        if found != index or leaf_hash(entry) != leaf:
            raise NotVerified("the log does not hold together", place=f"entry {index}", remedy="Restore the newest backup.")
        frontier.append(leaf)
    for statement in SINCE_2.split(";"):
        db.execute(statement)
    note = sign_checkpoint(own_log.name, frontier.size, frontier.root(), own_log)
    db.execute("INSERT INTO head VALUES (1, ?, ?)", (frontier.size, note))


def _to_3(db: sqlite3.Connection) -> None:
    for statement in SINCE_3.split(";"):
        db.execute(statement)
    db.execute("PRAGMA user_version=3")
