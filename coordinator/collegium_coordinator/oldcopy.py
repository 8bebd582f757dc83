"""Whether this database is the newest there is: who says otherwise with our own signature stops the log, in every process.

Three find it out: a witness, a node whose log holds a checkpoint of ours, and the second copy of the database. See `permit`.
"""

from __future__ import annotations

import logging
from pathlib import Path

from collegium.errors import CollegiumError, Failed
from collegium.log.checkpoint import read_checkpoint
from collegium.log.witness import contradiction
from collegium_coordinator.journal import Journal
from collegium_coordinator.mirror import Mirror
from collegium_coordinator.permit import missing, restored
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.standing import Standing

__all__ = ["OldCopy"]

log = logging.getLogger("collegium.coordinator.oldcopy")


class OldCopy:
    """Stops the coordinator's two logs when they are proven to be old. `own`: the file of the second copy, empty for none."""

    def __init__(self, journal: Journal, registry: RegistryLog, mirror: Mirror, own: str, database: Path) -> None:
        self._journal, self._registry, self._mirror = journal, registry, mirror
        self._standing = Standing(Path(own), database) if own else None

    def stop_known(self) -> None:
        """At the start: what somebody has shown before, and this database still does not hold."""
        for each in (self._journal, self._registry):
            lost = missing(self._mirror, each)
            if lost is not None:
                each.stop(restored(each.origin, lost[0], lost[1].size))

    def is_stopped(self, origin: str) -> bool:
        return missing(self._mirror, self._log_of(origin)) is not None

    def restored(self, origin: str, holder: str, checkpoint: bytes) -> None:
        """A log is an old copy of itself: it is signed on no more, in no process, until the database holds what was shown."""
        why = restored(origin, holder, read_checkpoint(checkpoint).size)
        self._log_of(origin).stop(why)
        log.critical("%s", why)
        try:
            self._mirror.prove(holder, checkpoint)
        except CollegiumError:
            log.exception("the proof could not be kept; the next start finds it again")

    def shown(self, origin: str, holder: str, checkpoint: bytes) -> None:
        """A checkpoint of one of our logs stands in another's log, signed by our own key: this database must hold that tree."""
        own = self._log_of(origin)
        head = own.head()
        size = read_checkpoint(head).size if head else 0
        if contradiction(checkpoint, own.verifier, size, own.tree.root) is not None:
            self.restored(origin, holder, checkpoint)

    def copy(self) -> None:
        """Bring the second copy up to date, if there is one. A copy that is ahead proves that the database is old."""
        if self._standing is not None:
            try:
                self._standing.bring_up()
            except CollegiumError as error:
                if isinstance(error, Failed) and error.reason == "restored":
                    for each in (self._journal, self._registry):
                        each.stop(error)
                raise

    def _log_of(self, origin: str) -> Journal | RegistryLog:
        return self._journal if origin == self._journal.origin else self._registry
