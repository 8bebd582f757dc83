"""The gate: whatever leaves a node is built here, and only from what is signed or public.

The inventory of everything that can leave:

    a decision          signed; verdict, reason key, charge, public names                constant or public
    a release           signed; scales and sizes that follow from the question, and      noised (its payload), else public
                        the columns to which the steward's configuration maps nothing
    a submission        signed digests; sealed seeds, and a vector of the length      noised and masked (its vector), the
                        that the plan says                                            sealed seeds random, else public
    a withdrawal        signed; names a release and gives the steward's reason           public
    a receipt           hashes of signed entries and a signed, cosigned checkpoint       public
    the log             signed entries, hashes, and payloads, all under a confirmed      as above
                        checkpoint, for whoever may read the log
    a cosignature       over another log's checkpoint                                    public
    a reason            a key of collegium.errors.PUBLIC_TEXTS                           constant
    a status            name, version, schema, ids and names the steward made public     public

What is said about logs, by any party, and about errors is made in `collegium.party.replies`, on the same terms. No other module of
the node, and none of `collegium.party`, makes a reply message. The gate takes no tally, no frame, no exception text: there is no
argument through which a row, a cell or a true count could pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collegium.errors import PUBLIC_TEXTS
from collegium.log.statement import statement_id
from collegium.national.statements import Submit
from collegium.statements import Decision, Policy, Release, Withdrawal
from collegium.v1.node_pb2 import AnswerReply, ClosedReply, NodeStatus, QuestionAnswer, SubmitReply

__all__ = [
    "SignedDecision",
    "SignedRelease",
    "Submission",
    "closed",
    "failed",
    "not_submitted",
    "ready",
    "refused_or_held",
    "released",
    "reply",
    "status",
    "submitted",
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


@dataclass(frozen=True, slots=True)
class Submission:
    """A SUBMIT as it stands in the node's log, and what lies beside it: three sealed seeds and the masked vector's bytes."""

    index: int
    note: bytes
    sealed: tuple[bytes, ...]
    vector: bytes


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


def ready() -> QuestionAnswer:
    """A question with release mode national that is allowed: nothing is signed or charged before its plan comes."""
    return QuestionAnswer(verdict=QuestionAnswer.READY)


def submitted(decision: SignedDecision, submission: Submission, receipts: Mapping[int, bytes]) -> SubmitReply:
    """A stored submission with the charge that pays for it.

    1. Both are statements of their kind, the decision is a charge, and both are of one plan.
    2. The submission names this very charge. 3. Sealed seeds and vector are those that it signs. 4. `receipts` are of these two
    entries. A breach is a fault of this program and ends in a plain failure.
    """
    # (1)
    said, body = Decision.read(decision.note), Submit.read(submission.note)
    if said.verdict != "charge" or said.plan is None or said.plan != body.plan:
        raise AssertionError("a submission needs the charge for its plan")
    # (2)
    if (body.decision, body.log.index) != (decision.index, submission.index):
        raise AssertionError("a submission of another charge")
    # (3)
    if tuple(hashlib.sha256(each).hexdigest() for each in submission.sealed) != body.seeds:
        raise AssertionError("the sealed seeds are not those that were signed")
    if (hashlib.sha256(submission.vector).hexdigest(), len(submission.vector)) != (body.vector.sha256, body.vector.size):
        raise AssertionError("the vector is not the one that was signed")
    # (4)
    if not all(receipts[index].startswith(b"%bindex %d\n" % (RECEIPT, index)) for index in (decision.index, submission.index)):
        raise AssertionError("a receipt of another entry")
    return SubmitReply(
        verdict=QuestionAnswer.RELEASED,
        decision=decision.note,
        decision_receipt=receipts[decision.index],
        submit=submission.note,
        submit_receipt=receipts[submission.index],
        sealed=submission.sealed,
        vector=submission.vector,
    )


def not_submitted(answer: QuestionAnswer) -> SubmitReply:
    """The same refusal, hold or failure in reply to a plan."""
    if answer.verdict not in (QuestionAnswer.REFUSED, QuestionAnswer.HELD, QuestionAnswer.FAILED):
        raise AssertionError("this reply holds no submission")
    return SubmitReply(
        verdict=answer.verdict, reason=answer.reason, decision=answer.decision, decision_receipt=answer.decision_receipt
    )


def closed() -> ClosedReply:
    """Taken note of."""
    return ClosedReply()


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


def _public(reason: str) -> str:
    if reason not in PUBLIC_TEXTS:
        raise AssertionError("a reason is a key of the public table")
    return reason
