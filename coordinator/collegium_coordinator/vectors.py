"""Masked vectors and sums of masks as files: 8 bytes a cell, by SHA-256, in `vectors/` of the coordinator's directory.

A country's vectors do not belong into a database: three thousand of a million cells each are 24 GB. Each is read in a stream and
added in place, so that no more than one of them is in memory. A file is whole and on the disk before anything naming it is logged.

They are kept for a time ([national] retention_days), so that the addition can be repeated by anybody who has the log's export; then
they are deleted. Single vectors are masked and show nobody anything, and what is not there cannot be uncovered by anybody who gets
hold of masks later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from collegium.errors import Failed, Invalid
from collegium.log.disk import TEMPORARY, Disk
from collegium_coordinator.store import Store

__all__ = ["Vectors"]

HEX = frozenset("0123456789abcdef")


class Vectors:
    """The files. Safe from any thread: a file never changes, and is written under its name by one rename."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store

    def write(self, data: bytes) -> str:
        """Keep a vector durably; its SHA-256 in hex. It stays only if a row of `vectors` names it before the next start.

        Raises Failed when the disk refuses.
        """
        sha = hashlib.sha256(data).hexdigest()
        path = self.path(sha)
        disk = Disk()
        try:
            if not path.exists() or path.stat().st_size != len(data):
                disk.write(path, data)
                disk.sync_folders()
        except OSError as error:
            raise Failed(
                f"a masked vector cannot be written: {error.strerror}", place=str(path), remedy="Look at the disk's free space."
            ) from None
        # Crash here: a file that nothing names; the next start removes it, and the node sends the same bytes again.
        return sha

    def path(self, sha: str) -> Path:
        if len(sha) != 64 or not HEX.issuperset(sha):
            raise Invalid("this is no SHA-256", place="vector")
        return self._folder / sha[:2] / sha

    def holds(self, sha: str) -> bool:
        return self.path(sha).is_file()

    def open(self, sha: str) -> BinaryIO:
        """The file for reading. Raises Failed when it cannot be read now: restored, it may be there later."""
        try:
            return self.path(sha).open("rb")
        except OSError as error:
            raise self.unreadable(sha, error.strerror or str(error)) from None

    def read(self, sha: str) -> bytes | None:
        """The whole file, or None when it is not there. For whoever hands single ones on. Raises Failed when the disk refuses."""
        try:
            return self.path(sha).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.unreadable(sha, error.strerror or str(error)) from None

    def unreadable(self, sha: str, why: str) -> Failed:
        """A file that is named and cannot be read, with what its operator does about it."""
        return Failed(
            f"a masked vector cannot be read: {why}",
            place=str(self.path(sha)),
            remedy="Restore it from a log export or a copy of vectors/.",
        )

    def kept(self) -> Iterable[str]:
        """SHA-256 of every vector that the log names and that is there."""
        for (sha,) in self._store.rows("SELECT sha FROM vectors"):
            if self.holds(str(sha)):
                yield str(sha)

    def sweep(self) -> int:
        """Remove files that nothing names, of a crash before the log named them; how many. Only before anybody writes."""
        named = {str(row[0]) for row in self._store.rows("SELECT sha FROM vectors")}
        strays = [path for path in self._files() if path.name not in named or path.name.startswith(TEMPORARY)]
        for path in strays:
            path.unlink(missing_ok=True)
        return len(strays)

    def forget(self, before: float) -> int:
        """Delete the vectors of rounds that are settled and older than `before` (Unix time); how many."""
        old = [
            str(row[0])
            for row in self._store.rows(
                "SELECT v.sha FROM vectors v JOIN rounds r ON r.plan = v.plan WHERE v.time < ? AND r.state IN ('done', 'failed')",
                (before,),
            )
        ]
        for sha in old:
            self.path(sha).unlink(missing_ok=True)
        # Crash here: rows of files that are gone; the next time they are found again.
        with self._store.transaction() as db:
            db.executemany("DELETE FROM vectors WHERE sha = ?", [(sha,) for sha in old])
        return len(old)

    def _files(self) -> Iterator[Path]:
        if self._folder.is_dir():
            for folder in sorted(self._folder.iterdir()):
                if folder.is_dir():
                    yield from folder.iterdir()
