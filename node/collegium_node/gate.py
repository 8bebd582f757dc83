"""The gate: whatever leaves a node is built here, and only from what is signed or public.

The inventory of everything that can leave:

    a decision          signed; verdict, reason key, charge, public names                constant or public
    a release           signed; scales and sizes that follow from the question, and      noised (its payload), else public
                        the columns to which the steward's configuration maps nothing
    a withdrawal        signed; names a release and gives the steward's reason           public
    a receipt           hashes of signed entries and a signed, cosigned checkpoint       public
    the log             signed entries, hashes, and payloads, all under a confirmed      as above
                        checkpoint, for whoever may read the log
    a cosignature       over another log's checkpoint                                    public
    a reason            a key of collegium.errors.PUBLIC_TEXTS                           constant
    a status            name, version, schema, ids and names the steward made public     public

No other module of the node makes a reply message. The gate takes no tally, no frame, no exception text: there is no argument
through which a row, a cell or a true count could pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collegium.errors import PUBLIC_TEXTS, CollegiumError, Failed, Invalid, NotReleased, NotVerified, Offline, Refused, public_text
from collegium.log.checkpoint import read_checkpoint
from collegium.log.statement import read_statement, statement_id
from collegium.statements import Decision, Policy, Release, Withdrawal
from collegium.v1.log_pb2 import BlobReply, CheckpointReply, EntriesReply, ProofReply
from collegium.v1.node_pb2 import AnswerReply, LearnReply, NodeStatus, QuestionAnswer
from collegium.v1.witness_pb2 import CosignReply

__all__ = [
    "SignedDecision",
    "SignedRelease",
    "blob",
    "checkpoint",
    "cosigned",
    "entries",
    "failed",
    "learnt",
    "proof",
    "public_error",
    "refused_or_held",
    "released",
    "reply",
    "status",
]


RECEIPT = b"c2sp.org/tlog-proof@v1\n"


@dataclass(frozen=True, slots=True)
class SignedDecision:
    """A decision as it stands in the node's log."""

    index: int
    note: bytes
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class SignedRelease:
    """A release as it stands in the node's log, its payload, and the withdrawals that name it."""

    index: int
    note: bytes
    payload: bytes
    withdrawals: tuple[bytes, ...] = ()

    @property
    def id(self) -> str:
        return statement_id(self.note)

    @property
    def indices(self) -> tuple[int, ...]:
        """Its own and its withdrawals': all of them are confirmed before any of them leaves."""
        return (self.index, *(Withdrawal.read(note).log.index for note in self.withdrawals))


def released(decision: SignedDecision, release: SignedRelease, receipts: Mapping[int, bytes]) -> QuestionAnswer:
    """A stored release with the decision that pays for it or names it as a reuse.

    1. Both are statements of their kind, and the decision charges or reuses. 2. The payload is the one the release signs.
    3. Every withdrawal names this release. 4. `receipts` are of these two entries: without one nothing is released. A breach is a
    fault of this program and ends in a plain failure.
    """
    # (1)
    if decision.verdict not in ("charge", "reuse"):
        raise AssertionError("a release needs a charge or a reuse")
    Decision.read(decision.note)
    body = Release.read(release.note)
    # (2)
    if (hashlib.sha256(release.payload).hexdigest(), len(release.payload)) != (body.payload.sha256, body.payload.size):
        raise AssertionError("the payload is not the one that was signed")
    # (3)
    for note in release.withdrawals:
        if Withdrawal.read(note).release.index != release.index:
            raise AssertionError("a withdrawal of another release")
    # (4)
    if not all(receipts[index].startswith(b"%bindex %d\n" % (RECEIPT, index)) for index in (decision.index, release.index)):
        raise AssertionError("a receipt of another entry")
    return QuestionAnswer(
        verdict=QuestionAnswer.RELEASED,
        decision=decision.note,
        release=release.note,
        payload=release.payload,
        withdrawals=release.withdrawals,
        decision_receipt=receipts[decision.index],
        release_receipt=receipts[release.index],
    )


def refused_or_held(decision: SignedDecision, receipt: bytes) -> QuestionAnswer:
    """A refusal, or a question that waits for the steward."""
    Decision.read(decision.note)
    verdict = {"refuse": QuestionAnswer.REFUSED, "hold": QuestionAnswer.HELD}[decision.verdict]
    reason = _public(decision.reason)
    return QuestionAnswer(verdict=verdict, reason=reason, decision=decision.note, decision_receipt=receipt)


def failed(reason: str, decision: SignedDecision | None = None, receipt: bytes = b"") -> QuestionAnswer:
    """A question this node could not finish; its charge, if there was one, stays and is named by the decision."""
    note = decision.note if decision else b""
    return QuestionAnswer(verdict=QuestionAnswer.FAILED, reason=_public(reason), decision=note, decision_receipt=receipt)


def reply(answers: Sequence[QuestionAnswer]) -> AnswerReply:
    """The answers in the order of the request's questions."""
    return AnswerReply(answers=answers)


def status(
    *, name: str, version: str, registry_size: int, schema: str, datasets: Sequence[str], snapshot: str, policy: bytes
) -> NodeStatus:
    """Who this is. Names of datasets and the snapshot's random id are in the signed policy too: the steward made them public."""
    if policy:
        Policy.read(policy)
    return NodeStatus(
        name=name,
        version=version,
        registry_size=registry_size,
        schema=schema,
        datasets=sorted(datasets),
        snapshot=snapshot,
        policy=policy,
    )


def learnt(registry_size: int) -> LearnReply:
    """How much of the registry this node has verified."""
    return LearnReply(registry_size=registry_size)


def checkpoint(note: bytes) -> CheckpointReply:
    """This log's newest confirmed checkpoint; empty while there is none."""
    if note:
        read_checkpoint(note)
    return CheckpointReply(checkpoint=note)


def entries(first: int, notes: Sequence[bytes], size: int) -> EntriesReply:
    """Entries of this log as they were signed; the caller has seen to it that they lie under a confirmed checkpoint."""
    for note in notes:
        read_statement(note)
    return EntriesReply(first=first, entries=notes, size=size)


def proof(hashes: Sequence[bytes]) -> ProofReply:
    """An inclusion or consistency proof."""
    if any(len(each) != 32 for each in hashes):
        raise AssertionError("a hash has exactly 32 bytes")
    return ProofReply(hashes=hashes)


def blob(sha256: str, data: bytes) -> BlobReply:
    """A payload that a signed, confirmed release names by its digest: a noised tally."""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise AssertionError("the payload is not the one of its digest")
    return BlobReply(data=data)


def cosigned(line: bytes, known_size: int, known_checkpoint: bytes) -> CosignReply:
    """This node's word as a witness: its cosignature, or what it knows of the log instead."""
    if known_checkpoint:
        read_checkpoint(known_checkpoint)
    return CosignReply(cosignature=line, known_size=known_size, known_checkpoint=known_checkpoint)


def public_error(error: BaseException) -> CollegiumError:
    """The error that may leave for any error inside: its kind, a reason of the public table, and that table's text. No more."""
    reason = error.reason if isinstance(error, CollegiumError) and error.reason in PUBLIC_TEXTS else "failed"
    if isinstance(error, Refused):
        return Refused(public_text(reason), by=error.by, reason=reason)
    kind = next((kind for kind in _PLAIN if type(error) is kind), Failed)
    return kind(public_text(reason), reason=reason)


_PLAIN: tuple[type[CollegiumError], ...] = (Invalid, NotVerified, NotReleased, Offline, Failed)


def _public(reason: str) -> str:
    if reason not in PUBLIC_TEXTS:
        raise AssertionError("a reason is a key of the public table")
    return reason
