"""One process at a time serves a folder, or puts its log in order."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from collegium.errors import Failed
from collegium.party.home import Home

__all__ = ["alone"]

PATIENCE = 1.0  # seconds; an operator's command looks into the lock for a moment


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Hold `serve.lock`. Two servers would be safe for what is promised, but the coordinator would see two parties of one name.

    Raises Failed when another process holds it.
    """
    home.membership()
    with home.serve_lock.open("a") as file:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > until:
                    remedy = "Stop the other one first."
                    raise Failed(f"this {home.role} is being served already", place=str(home.root), remedy=remedy) from None
                time.sleep(0.05)
        file.truncate(0)  # what a former process was told by its witnesses says nothing about this database
        try:
            yield
        finally:
            file.truncate(0)
