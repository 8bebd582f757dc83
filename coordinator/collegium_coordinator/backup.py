"""A copy of the database while it is in use, by SQLite's own online backup. Copying the live file by hand is no backup.

The copy holds the registry, the log and all answers, and no key: the `keys` directory and the registry key are backed up once, by
hand, each to where its owner keeps such things. Trusted as the database is: who holds the copy can read what was released and
asked, and forge nothing.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from collegium.errors import Failed, Invalid
from collegium_coordinator.config import Home

__all__ = ["backup", "copy_database"]


def backup(home: Home, target: Path) -> int:
    """Write a consistent copy to `target`, whole or not at all; its size in bytes. Never overwrites."""
    if not home.database.exists():
        raise Invalid("there is no database", place=str(home.database), remedy="Name the coordinator's directory with --home.")
    return copy_database(home.database, target)


def copy_database(database: Path, target: Path) -> int:
    """The same of any database file."""
    if target.exists():
        raise Invalid("there is something already", place=str(target), remedy="Choose another name.")
    temporary = target.with_name(f".{target.name}.partial")
    temporary.unlink(missing_ok=True)
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.close(descriptor)
        source = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        copy = sqlite3.connect(temporary)
        try:
            source.backup(copy)
            broken = copy.execute("PRAGMA integrity_check").fetchone()[0]
            if broken != "ok":
                raise Failed(f"the copy is damaged: {broken}", place=str(target), remedy="Look at the disk, then try again.")
        finally:
            copy.close()
            source.close()
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # Crash before the rename: a stray partial file, which the next backup removes.
        os.link(temporary, target)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return target.stat().st_size
    except FileExistsError:
        raise Invalid("there is something already", place=str(target), remedy="Choose another name.") from None
    except (OSError, sqlite3.Error) as error:
        raise Failed(
            f"the backup could not be written: {error}", place=str(target), remedy="Look at the disk's free space."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
