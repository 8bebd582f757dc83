"""From a node's reply to outcomes that may be used.

The steps are those of `collegium.released`, which researchers and auditors follow too, and each statement comes with the receipt of
the node's own log. An answer that fails one of them is a failed answer with the reason `bad-answer`: it is never logged as a
release, never added, and never stops the answers of other nodes. So is every answer of a node too old to give receipts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from collegium.addition import LARGEST
from collegium.errors import PUBLIC_TEXTS, Invalid, NotVerified, Refused
from collegium.log.statement import statement_id
from collegium.proof import LogRule, Prover, Seen
from collegium.registry import Registered, Registry
from collegium.released import Asking as Question
from collegium.released import Roots, verify_decision, verify_release, verify_withdrawal
from collegium.statements import Decision, Release, Withdrawal
from collegium.v1.node_pb2 import AnswerReply, QuestionAnswer

__all__ = [
    "BAD_ANSWER",
    "FAILED",
    "HELD",
    "READY",
    "REFUSED",
    "RELEASED",
    "Answering",
    "Charge",
    "Outcome",
    "failed",
    "verify_answer",
    "verify_reply",
]

S = TypeVar("S")

log = logging.getLogger("collegium.coordinator.verify")

BAD_ANSWER = "bad-answer"

RELEASED, REFUSED, HELD, FAILED, READY = "released", "refused", "held", "failed", "ready"

_VERDICTS = {
    QuestionAnswer.RELEASED: (RELEASED, frozenset({"charge", "reuse"})),
    QuestionAnswer.REFUSED: (REFUSED, frozenset({"refuse"})),
    QuestionAnswer.HELD: (HELD, frozenset({"hold"})),
    QuestionAnswer.FAILED: (FAILED, frozenset({"charge", "reuse", "refuse", "hold", "allow"})),
    QuestionAnswer.READY: (READY, frozenset()),
}
"""What a node may say, and the decisions that may stand behind it. A failure may come before or after a charge."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a verified charge decision says, for the coordinator's record of charges. `rho` in nano-rho."""

    unit: str
    period: str
    dataset: str
    rho: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One node's verified answer to one question, or why there is none."""

    number: int
    verdict: str  # released | refused | held | failed | ready
    reason: str = ""  # a key of PUBLIC_TEXTS, or offline, deadline, bad-answer; empty when released
    decision: bytes = b""
    release: bytes = b""
    release_id: str = ""
    payload: bytes = b""
    charge: Charge | None = None
    withdrawals: tuple[tuple[str, bytes], ...] = ()  # (id of the release withdrawn, the note)
    receipts: tuple[tuple[str, bytes], ...] = ()  # (statement id, proof) of decision and release in the node's log
    seen: tuple[Seen, ...] = ()  # the checkpoints of those proofs, verified


@dataclass(frozen=True)
class Answering:
    """The node that answers, as the registry has it now, and what its receipts must satisfy."""

    node: Registered
    registry: Registry
    rule: LogRule

    @classmethod
    def of(cls, registry: Registry, name: str) -> Answering:
        """Raises Refused when there is no such node or it is revoked."""
        node = registry.party(name)
        if node.log is None:
            raise Refused(f"{name!r} is no node", by="identity", reason="identity")
        return cls(node, registry, LogRule.of(registry, node.log))

    def in_force(self, size: int) -> Registered:
        """The node's registration when the registry had `size` entries: for what it signed before it replaced its keys.

        A stolen older key gains nothing by it: what it signs must also lie in the node's log, under the log key of today.
        """
        try:
            return self.node if size > self.node.index else self.registry.as_of(self.node.name, size)
        except Refused as error:
            raise NotVerified(error.text, place="answer") from None


def failed(questions: int, reason: str) -> tuple[Outcome, ...]:
    """The same failure for every question of a request."""
    return tuple(Outcome(number, FAILED, reason) for number in range(questions))


def verify_reply(reply: AnswerReply, questions: Sequence[Question], answering: Answering, roots: Roots) -> tuple[Outcome, ...]:
    """The outcomes of a whole reply, one per question in order. A bad answer to one question leaves the others standing."""
    if len(reply.answers) != len(questions):
        return failed(len(questions), BAD_ANSWER)
    outcomes = []
    prover = Prover()  # decisions and releases of one reply mostly lie under one checkpoint
    for question, answer in zip(questions, reply.answers, strict=True):
        try:
            outcomes.append(verify_answer(answer, question, answering, roots, prover))
        except Invalid as error:  # NotVerified included: nothing of such an answer is kept
            log.warning("node %s, question %d: %s", answering.node.name, question.number, error)
            outcomes.append(Outcome(question.number, FAILED, BAD_ANSWER))
    return tuple(outcomes)


def verify_answer(answer: QuestionAnswer, question: Question, answering: Answering, roots: Roots, prover: Prover) -> Outcome:
    """One answer.

    1. Its verdict is one this version knows, and one of the question's release mode: a node is ready for a national sum and
       releases nothing of its own then. Being ready costs nothing and is signed by nobody.
    2. Each withdrawal is signed by the node.
    3. The decision verifies (see `verify_decision`), is one that this verdict calls for, and lies in the node's log. Only a failure
       may lack it; a failure's decision without a receipt is not used, for its log may be waiting for its witnesses.
    4. What is released verifies (see `verify_release`), lies in the node's log under a checkpoint that the quorum has cosigned, and
       can be added: no value beyond what 2^31 persons could make it.

    Raises:
        NotVerified, Invalid: a step failed; nothing of the answer may be used.
    """
    # (1)
    known = _VERDICTS.get(answer.verdict)
    if known is None:
        raise NotVerified("an unknown verdict", place="answer")
    verdict, allowed = known
    national = question.layout.question.mode == "national"
    if verdict in (RELEASED, READY) and national != (verdict == READY):
        raise NotVerified(f"the verdict {verdict} does not belong to the question's release mode", place="answer")
    if verdict == READY:
        return Outcome(question.number, READY)
    # (2)
    withdrawals = tuple((_withdrawn(bytes(note), answering), bytes(note)) for note in answer.withdrawals)
    # (3)
    number = question.number
    if verdict == FAILED and not (answer.decision and answer.decision_receipt):
        return Outcome(number, FAILED, _public(answer.reason), withdrawals=withdrawals)
    note = bytes(answer.decision)
    decision = _in_force(lambda node: verify_decision(note, question, node, roots), answering, Decision, note)
    if decision.verdict not in allowed:
        raise NotVerified(f"the decision to {decision.verdict} does not belong to the verdict {verdict}", place="answer")
    rule = answering.rule if verdict == RELEASED else answering.rule.without_quorum
    proof = bytes(answer.decision_receipt)
    seen = prover.prove(proof, note, rule, index=decision.log.index, place="decision receipt")
    charge, receipts = _charge(decision), ((statement_id(note), proof),)
    if verdict != RELEASED:
        reason = {HELD: "held", REFUSED: decision.reason or ""}.get(verdict, answer.reason)
        return Outcome(
            number, verdict, _public(reason), note, charge=charge, withdrawals=withdrawals, receipts=receipts, seen=(seen,)
        )
    # (4)
    release, payload = bytes(answer.release), bytes(answer.payload)
    body = _in_force(lambda node: verify_release(release, payload, decision, question, node, roots), answering, Release, release)
    proof = bytes(answer.release_receipt)
    also = prover.prove(proof, release, rule, index=body.log.index, place="release receipt")
    values = np.frombuffer(payload, dtype="<i8")
    if int(values.max()) >= LARGEST or int(values.min()) <= -LARGEST:
        # The addition refuses such a value; found here, it fails alone and not the sum of everybody.
        raise NotVerified("a value is larger than any number of persons could make it", place="answer")
    identity = statement_id(release)
    shown = (seen, also) if also != seen else (seen,)
    proofs = (*receipts, (identity, proof))
    return Outcome(number, RELEASED, "", note, release, identity, payload, charge, withdrawals, proofs, shown)


def _in_force(verify: Callable[[Registered], S], answering: Answering, kind: type[Decision | Release], note: bytes) -> S:
    """The statement by the node's key of today, or by the one in force at the registry size that the statement names."""
    try:
        return verify(answering.node)
    except NotVerified:
        older = answering.in_force(kind.read(note).registry.size)
        if older == answering.node:
            raise
    return verify(older)


def _withdrawn(note: bytes, answering: Answering) -> str:
    """The id of the release that a withdrawal signed by this node withdraws."""
    body = Withdrawal.read(note)
    return verify_withdrawal(note, answering.in_force(body.registry.size)).release.sha256


def _charge(decision: Decision) -> Charge | None:
    if decision.verdict != "charge":
        return None
    return Charge(decision.unit or "", decision.period or "", decision.dataset or "", decision.rho or 0)


def _public(reason: str) -> str:
    """A reason that came from a node, or `failed` when it is no key of the public table: free text never travels on."""
    return reason if reason in PUBLIC_TEXTS else "failed"
