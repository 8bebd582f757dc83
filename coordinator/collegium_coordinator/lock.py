"""The lock of a coordinator's home: one process serves it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from collegium.errors import Failed
from collegium_coordinator.config import Home

__all__ = ["serving"]


@contextmanager
def serving(home: Home) -> Iterator[None]:
    """Hold the home's lock while serving. Raises Failed when another process serves it: two would sign two histories."""
    with home.lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failed(
                "this coordinator is being served already", place=str(home.path), remedy="Stop the other one first."
            ) from None
        file.truncate(0)  # what a former process was told by its witnesses says nothing about this database
        try:
            yield
        finally:
            file.truncate(0)
