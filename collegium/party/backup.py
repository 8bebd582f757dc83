"""`backup`: a consistent copy of the database while the party runs.

The copy is made by SQLite's own backup API: a copied live file is no backup. Keys are not in it. A party that is restored from an
old backup has forgotten what it has signed since: whoever holds a newer checkpoint of its log can show it, so restore the newest
one there is.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from collegium.errors import Failed, Invalid
from collegium.party.home import Party

__all__ = ["UNSTRIPPED", "backup"]

UNSTRIPPED = ".backup.partial"
"""The copy while it still has all that the database has; left behind by a crash alone."""


def backup(party: Party, target: Path, *, strip: Callable[[sqlite3.Connection], None] = lambda _: None) -> int:
    """Copy the database to `target`, whole or not at all. The number of log entries in the copy.

    `strip` takes out of the copy what a backup must not hold. That is done beside the database, on its own disk: nothing of it ever
    reaches the medium on which backups are kept.

    Raises Invalid when the target exists, Failed when it cannot be written.
    """
    if target.exists():
        raise Invalid("the file exists", place=str(target), remedy="Name a new file; backups are not overwritten.")
    whole, partial = party.store.path.with_name(UNSTRIPPED), target.with_name(f".{target.name}.partial")
    try:
        _new(whole)
        party.store.backup(whole)
        # Crash here: a hidden copy with everything in it, beside the database that has it too; the next start removes it.
        with sqlite3.connect(whole) as copy:
            strip(copy)
            healthy = copy.execute("PRAGMA quick_check").fetchone()[0]
            (entries,) = copy.execute("SELECT COUNT(*) FROM entries").fetchone()
        copy.close()
        if healthy != "ok":
            raise Failed("the copy does not hold together", place=str(target), remedy="Check the disk of the database.")
        _new(partial)
        shutil.copyfile(whole, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        # Crash here: a hidden partial file, no backup. After the rename: the whole backup.
        partial.rename(target)
        return int(entries)
    except (OSError, sqlite3.Error) as error:
        raise Failed(f"cannot be written ({type(error).__name__})", place=str(target), remedy="Free disk space there.") from None
    finally:
        whole.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def _new(path: Path) -> None:
    """An empty file that only its owner reads."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
