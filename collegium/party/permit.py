"""Whether this party may sign now. The one question between a restored backup and a second history.

    stopped         a witness, the coordinator's copy of this log, or an exported folder has shown a tree that this log's own
                    key has signed and this database does not hold; this is on the disk and stays until `recover`
    not confirmed   the log has witnesses, and since this process started no quorum of them has confirmed to know no larger tree
    free            confirmed, or a log to which the registry has assigned no witnesses

An operator's command is a process of its own and cannot wait for witnesses. It may sign while the serving process, which holds
`serve.lock`, has written there that it was confirmed: both share one database.

Trusted with "this database is the newest there is". An attacker who can write the folder can pretend so, and the witnesses then
show to everybody what they have seen.
"""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from collegium.errors import Failed, public_text
from collegium.party.members import Members
from collegium.party.store import Store

__all__ = ["CONFIRMED", "Permit"]

CONFIRMED = "confirmed\n"
"""What `serve.lock` holds while the serving process has its witnesses' word."""

_STOPPED = "stopped"  # its key in `meta`; the value is the checkpoint that proves it


class Permit:
    """Asked by the journal before every transaction that signs. Safe from any thread."""

    def __init__(self, store: Store, members: Members, origin: str, lock: Path, program: str) -> None:
        self._store = store
        self._members = members
        self._origin = origin
        self._lock_file = lock
        self._program = program
        self._confirmed = threading.Event()
        self.on_confirmed: Callable[[], None] = lambda: None

    def __call__(self, db: sqlite3.Connection) -> Failed | None:
        """What speaks against signing, with a `reason` of the public table."""
        if _stopped(db) is not None:
            return self.restored()
        if not self._members.registry.witnesses_of(self._origin)[1] or self._confirmed.is_set() or self._server_is_confirmed():
            return None
        return Failed(
            public_text("not-confirmed"),
            reason="not-confirmed",
            remedy=f"Start `{self._program} serve` and give it a moment: it asks this log's witnesses.",
        )

    def restored(self) -> Failed:
        """The error of a party that is stopped."""
        return Failed(public_text("restored"), reason="restored", remedy=f"Run `{self._program} recover`.")

    @property
    def confirmed(self) -> bool:
        return self._confirmed.is_set()

    @property
    def stopped(self) -> bytes | None:
        """The checkpoint that this log has signed and this database does not hold; None as long as nobody has shown one."""
        with self._store.read() as db:
            return _stopped(db)

    def confirm(self) -> None:
        """A quorum of the witnesses has confirmed the newest checkpoint in this process's life."""
        if not self._confirmed.is_set():
            self._lock_file.write_text(CONFIRMED, encoding="ascii")
            self._confirmed.set()
            self.on_confirmed()

    def stop(self, shown: bytes) -> None:
        """Sign nothing any more, in no process and after no restart. `shown` is the proof, verified by the caller."""
        with self._store.write("stop") as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (_STOPPED, shown.decode()))
            # Crash here: this process is gone and was going to stop; the next one asks the witnesses before it signs.

    def release(self, db: sqlite3.Connection) -> None:
        """End a stop, inside the transaction that has made good what it was for."""
        db.execute("DELETE FROM meta WHERE key = ?", (_STOPPED,))

    def _server_is_confirmed(self) -> bool:
        try:
            with self._lock_file.open("r", encoding="ascii") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:  # somebody serves
                    return file.read() == CONFIRMED
                return False
        except OSError:
            return False


def _stopped(db: sqlite3.Connection) -> bytes | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_STOPPED,)).fetchone()
    return row[0].encode() if row else None
