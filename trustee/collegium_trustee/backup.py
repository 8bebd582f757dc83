"""`backup`: a consistent copy of the database while the trustee runs, without what a trustee promises to forget.

Sealing keys and opened seeds are not in it: a copy that somebody keeps would undo their deletion. So a trustee that is restored
from a backup cannot finish the rounds that were open, and makes a new sealing key; its log, its marks and what it has witnessed
come back.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from collegium.party.backup import backup as copy
from collegium_trustee.home import Trustee

__all__ = ["backup", "without_secrets"]


def backup(trustee: Trustee, target: Path) -> int:
    """Copy the database to `target`, whole or not at all. The number of log entries in the copy.

    Raises Invalid when the target exists, Failed when it cannot be written.
    """
    return copy(trustee, target, strip=without_secrets)


def without_secrets(db: sqlite3.Connection) -> None:
    """Take the secrets out of a copy: overwritten, and its rounds that rest on them ended."""
    db.execute("PRAGMA journal_mode=MEMORY")  # what is deleted is not written to a journal file
    db.execute("PRAGMA secure_delete=ON")
    with db:
        db.execute("DELETE FROM secrets")
        db.execute("DELETE FROM seeds")
        db.execute("DELETE FROM submissions")
        db.execute("UPDATE rounds SET over = 1 WHERE close IS NULL")
        db.execute("UPDATE sealing SET month = ''")  # so that the restored trustee makes a new key at once
