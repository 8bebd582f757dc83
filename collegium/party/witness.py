"""This party as a witness of other logs: it remembers the largest tree of each and lets nobody show an older or another one.

    (1) who       the registry has made this party a witness of the log, and says what the log's key is; a trustee is one of the
                  registry's and the coordinator's log by its role
    (2) remember  ONE durable transaction: what is known, what is shown, whether it follows, what is known now
    (3) cosign    only what (2) has made durable

Two signed trees of one size, or a log that shows other than it has shown, are kept as evidence and never cosigned.

Trusted with "I have seen nothing larger". A witness that was itself restored from a backup has forgotten what it saw, so a stopped
party cosigns nothing either. Who holds this party's cosigner key can hide a second history only together with a quorum of others.
"""

from __future__ import annotations

import sqlite3

from collegium.errors import CollegiumError, Refused, public_text
from collegium.keys import load_cosigner, log_name
from collegium.log.checkpoint import read_checkpoint
from collegium.log.cosign import CosignerSigner, own_lines
from collegium.log.note import Verifier
from collegium.log.witness import Cosign, Known, Split, consider
from collegium.party import replies
from collegium.party.home import Party
from collegium.party.journal import Clock
from collegium.registry import Registry
from collegium.v1.witness_pb2 import CosignReply, CosignRequest

__all__ = ["Unknown", "Witnessing", "key_of"]

MAX_KEPT = 16  # contradicting checkpoints kept of one log: two prove it


class Unknown(Refused):
    """This party is no witness of the log, or there is no such log."""

    def __init__(self) -> None:
        super().__init__(public_text("identity"), by="identity", place="origin", reason="identity")


class Witnessing:
    """Answers `Cosign`. Safe from any thread and process: the transaction is the lock."""

    def __init__(self, party: Party, clock: Clock) -> None:
        self._party = party
        self._clock = clock
        self._signer: CosignerSigner | None = None

    def cosign(self, request: CosignRequest) -> CosignReply:
        """A cosignature, or what is known instead.

        Raises:
            Unknown: no witness of this log. NotVerified, Invalid: the checkpoint or its proof is not good. Failed: stopped.
        """
        # (1)
        note = bytes(request.checkpoint)
        log = self._log(read_checkpoint(note).origin)
        note = own_lines(note, log)
        # (2)
        with self._party.store.write("witness") as db:
            if self._party.permit.stopped is not None:
                raise self._party.permit.restored()
            known = _known(db, log)
            verdict = consider(known, note, request.old_size, [bytes(each) for each in request.proof], log)
            if isinstance(verdict, Cosign):
                _remember(db, log, verdict.known, int(self._clock()))
            elif isinstance(verdict, Split):
                _keep_evidence(db, log, verdict.shown)
            # Crash here: nothing is remembered and nothing was said; the log asks again.
        # Crash here: remembered and not said. The log asks again from its old size, and is told what is known.
        # (3)
        if isinstance(verdict, Cosign):
            size = verdict.known.size
            return replies.cosigned(self._cosigner().cosign(verdict.known.checkpoint, int(self._clock())), size, b"")
        shown = verdict.known
        return replies.cosigned(b"", shown.size if shown else 0, shown.checkpoint if shown else b"")

    def _log(self, origin: str) -> Verifier:
        """The key of a log that the registry has assigned to this party. Raises Unknown."""
        registry = self._party.members.registry
        name = self._party.membership.name
        if name not in registry.witnesses_of(origin)[0] and not _by_role(registry, name, origin):
            raise Unknown
        return key_of(registry, origin)

    def _cosigner(self) -> CosignerSigner:
        if self._signer is None:
            self._signer = load_cosigner(self._party.home.keys.witness)
        return self._signer


def _by_role(registry: Registry, name: str, origin: str) -> bool:
    """Whether this is a trustee, and the log one of the two by which a round's roster and plan are fixed."""
    if origin not in (registry.registry_log.name, registry.coordinator_log.name):
        return False
    return any(each.name == name for each in registry.trustees())


def key_of(registry: Registry, origin: str) -> Verifier:
    """The key of a log of the federation, as the registry has it now. Raises Unknown."""
    for key in (registry.registry_log, registry.coordinator_log):
        if origin == key.name:
            return key
    federation, _, name = origin.partition("/")
    try:
        party = registry.party(name) if log_name(registry.federation, name) == origin else None
    except CollegiumError:
        party = None
    if federation != registry.federation or party is None or party.log is None:
        raise Unknown
    return party.log


def _known(db: sqlite3.Connection, log: Verifier) -> Known | None:
    row = db.execute("SELECT size, root, checkpoint FROM witnessed WHERE log = ?", (log.vkey,)).fetchone()
    return Known(*row) if row else None


def _remember(db: sqlite3.Connection, log: Verifier, known: Known, now: int) -> None:
    values = (log.vkey, log.name, known.size, known.root, known.checkpoint, now)
    db.execute("INSERT OR REPLACE INTO witnessed VALUES (?, ?, ?, ?, ?, ?)", values)


def _keep_evidence(db: sqlite3.Connection, log: Verifier, shown: bytes) -> None:
    if db.execute("SELECT COUNT(*) FROM splits WHERE log = ?", (log.vkey,)).fetchone()[0] < MAX_KEPT:
        db.execute("INSERT OR IGNORE INTO splits VALUES (?, ?)", (log.vkey, shown))
