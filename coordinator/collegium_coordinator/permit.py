"""Whether the coordinator may sign on its two logs now: the question between a restored backup and a second history.

    stopped         somebody has shown a tree that this log's own key has signed and this database does not hold. Kept in
                    mirror.db, and compared with the database whenever it matters: only one that holds the tree ends the stop
    not confirmed   the log has witnesses, and since `serve` started no quorum of them has confirmed to know no larger tree
    free            confirmed, or a log to which the registry has assigned no witnesses

The registrar's commands (`invite`, `revoke`, `schema`, `witness assign`) are processes of their own and cannot wait for
witnesses. They may sign while `serve`, which holds `serve.lock`, has written there that the registry was confirmed: both share
one database.

Trusted with "this database is the newest there is". An attacker who can write the home can pretend so; witnesses, and everybody who
has the registry, then see two histories.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Protocol

from collegium.errors import Failed
from collegium.log.checkpoint import Checkpoint, read_checkpoint
from collegium.log.note import Verifier
from collegium.log.tree import Tree
from collegium.log.witness import contradiction
from collegium_coordinator.mirror import Mirror

__all__ = ["CONFIRMED", "OwnLog", "is_serving", "missing", "not_confirmed", "restored", "server_has_confirmed"]

CONFIRMED = "confirmed\n"
"""What `serve.lock` holds while the serving process has the word of the registry's witnesses."""


class OwnLog(Protocol):
    """One of our two logs."""

    tree: Tree

    @property
    def origin(self) -> str: ...
    @property
    def verifier(self) -> Verifier: ...
    def head(self) -> bytes:
        """The newest signed checkpoint; empty while the log is."""
        ...


def missing(mirror: Mirror, log: OwnLog) -> tuple[str, Checkpoint] | None:
    """Who has shown a tree that our key has signed and this database does not hold, and that tree. None when nobody has."""
    found = mirror.shown(log.origin)
    if found is None:
        return None
    holder, note = found
    head = log.head()
    size = read_checkpoint(head).size if head else 0
    tree = contradiction(note, log.verifier, size, log.tree.root)
    return (holder, tree) if tree is not None else None


def restored(origin: str, holder: str, size: int) -> Failed:
    """What every attempt to sign ends with."""
    return Failed(
        f"{holder} shows {size} entries that this log has signed and this database does not hold: it is an old backup",
        place=origin,
        remedy="Stop `serve`, and run `collegium-coordinator recover`.",
        reason="restored",
    )


def not_confirmed(origin: str) -> Failed:
    """What a registrar's command ends with while nobody vouches for this database."""
    return Failed(
        "the registry's witnesses have not confirmed that this database is the newest copy",
        place=origin,
        remedy="Start `collegium-coordinator serve`, give it a moment, and try again. See `witness list`.",
        reason="not-confirmed",
    )


def is_serving(lock: Path) -> bool:
    """Whether a process holds the home's lock (see `serve.serving`)."""
    try:
        with lock.open("r", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def server_has_confirmed(lock: Path) -> bool:
    """Whether a process serves, and its witnesses have confirmed the registry since it started."""
    try:
        with lock.open("r", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:  # somebody serves
                return file.read() == CONFIRMED
            return False
    except OSError:
        return False
