"""Receipts of both directions: the proof that the coordinator logged a request, and the proofs this party gives for what it says.

Who holds a receipt can show any later day that the log held the entry, whatever that log shows then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from collegium.errors import CollegiumError, NotVerified, public_text
from collegium.log.checkpoint import read_checkpoint
from collegium.log.receipt import make_receipt, verify_receipt
from collegium.party.journal import Journal, Writer
from collegium.party.quorum import Quorum
from collegium.registry import Registry

__all__ = ["MAX_CHECKPOINT", "WAIT", "Logged", "Receipts", "check_receipt", "keep_logged"]

MAX_CHECKPOINT = 15_000  # bytes; it becomes an entry of this log, which holds no more than 65,535
WAIT = 2.0  # seconds that an answer waits for the quorum before it is `pending`


@dataclass(frozen=True, slots=True)
class Logged:
    """The coordinator's verified receipt for a request, and the checkpoint of its log that is in it."""

    origin: str
    proof: bytes
    checkpoint: bytes


def check_receipt(proof: bytes, request: bytes, registry: Registry) -> Logged:
    """The proof that the coordinator's log holds exactly these bytes.

    1. It is signed by the coordinator's log key as the registry has it, cosigned by a quorum of that log's witnesses if it has any.
    2. The request lies at the index it names. 3. Its checkpoint fits into an entry of this log, where it will be embedded.

    Raises NotVerified, reason `no-receipt`: a coordinator that has not bound itself to a request gets no answer to it.
    """
    log = registry.coordinator_log
    keys, need = registry.witnesses_of(log.name)
    try:
        verify_receipt(proof, request, log, witnesses=keys, quorum=need)  # (1) (2)
    except CollegiumError:
        raise NotVerified(public_text("no-receipt"), place="receipt", reason="no-receipt") from None
    checkpoint = proof.partition(b"\n\n")[2]  # strictly parsed just now: the first empty line is above it
    if len(checkpoint) > MAX_CHECKPOINT:  # (3)
        raise NotVerified(public_text("no-receipt"), place="receipt", reason="no-receipt")
    return Logged(log.name, proof, checkpoint)


class Receipts:
    """Gives receipts for this party's own entries."""

    def __init__(self, journal: Journal, quorum: Quorum, *, wait: float = WAIT) -> None:
        self._journal = journal
        self._quorum = quorum
        self._wait = wait

    def confirmed(self, indices: Iterable[int]) -> dict[int, bytes]:
        """Receipts by index under a checkpoint that has the quorum, waiting for it; without those it does not reach."""
        wanted = set(indices)
        if not wanted:
            return {}
        checkpoint = self._quorum.covering(max(wanted) + 1, self._wait) or self._quorum.covering(min(wanted) + 1, 0.0)
        if checkpoint is None:
            return {}
        size = read_checkpoint(checkpoint).size  # an original released long ago may be confirmed when today's entries are not yet
        return {index: make_receipt(self._journal.tree, index, checkpoint) for index in wanted if index < size}

    def plain(self, index: int) -> bytes:
        """A receipt without waiting: for what costs and tells nothing, such as a refusal. Confirmed if it happens to be."""
        return make_receipt(self._journal.tree, index, self._quorum.covering(index + 1, 0.0) or self._journal.head().note)


def keep_logged(log: Writer, request: str, logged: Logged) -> None:
    """Embed the coordinator's checkpoint before what rests on it, and keep the receipt. The first one of a request stays."""
    log.embed(logged.checkpoint)
    log.db.execute("INSERT OR IGNORE INTO receipts VALUES (?, ?, ?)", (request, logged.origin, logged.proof))
