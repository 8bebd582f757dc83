"""Durable files: what an export needs of a disk. `fault` lets a test fail or crash it at every step."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["TEMPORARY", "Disk", "Fault", "no_fault"]

TEMPORARY = ".writing-"  # begins the names of files that are not whole yet

Fault = Callable[[str, Path], None]
"""Called with a step and its path before each: write, fsync, rename, sync (of a folder), remove. Tests pass one that raises."""


def no_fault(_step: str, _path: Path) -> None:
    """What production passes: nothing goes wrong on purpose."""


class Disk:
    """Whole files, durable after `sync_folders`. All methods raise OSError when the machine refuses."""

    def __init__(self, fault: Fault = no_fault, flush: Callable[[int], None] = os.fsync) -> None:
        self._fault = fault
        self._flush = flush  # of a file or folder by its descriptor
        self._touched: set[Path] = set()

    @contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        """Make the folder and hold it against other processes that would write it. The lock ends with the process."""
        self._make(folder)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OSError(errno.EBUSY, "another process writes this folder") from None
            yield
        finally:
            os.close(descriptor)

    def write(self, path: Path, content: bytes) -> None:
        """Put a whole file under its name, replacing another; folders above it are made. Durable after `sync_folders`."""
        if path.parent not in self._touched:
            self._make(path.parent)
        temporary = path.with_name(f"{TEMPORARY}{path.name}")
        self._fault("write", temporary)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            self._fault("fsync", temporary)
            self._flush(file.fileno())
        # Crash here: a stray temporary file. After the next line: the whole file, under its name once the folder is flushed.
        self._fault("rename", path)
        temporary.replace(path)
        self._touched.add(path.parent)

    def sync_folders(self) -> None:
        """Flush the folders of all files written or removed so far."""
        # Deepest first: a folder is named in its parent only once its own content is on the disk.
        for folder in sorted(self._touched, key=lambda each: (-len(each.parts), each)):
            self._fault("sync", folder)
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                self._flush(descriptor)
            finally:
                os.close(descriptor)
        self._touched.clear()

    def remove(self, path: Path) -> None:
        """Remove a file or a folder of plain files, if it is there."""
        self._fault("remove", path)
        if path.is_dir():
            for file in path.iterdir():
                file.unlink(missing_ok=True)
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        self._touched.add(path.parent)

    def _make(self, path: Path) -> None:
        missing = []
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._touched |= {folder, folder.parent}
