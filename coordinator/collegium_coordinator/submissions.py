"""From a node's reply to a plan to a submission that may be added.

A submission that fails a step is not taken, and the round goes on without it: its node is missing with the reason `bad-answer`.
What nobody can check here is that the vector hides what it should: see docs/national-sums.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from collegium.errors import PUBLIC_TEXTS, NotVerified
from collegium.log.note import Verifier
from collegium.log.statement import statement_id
from collegium.national.lists import Roster
from collegium.national.mask import TRUSTEES
from collegium.national.seal import CIPHERTEXT
from collegium.national.statements import Plan, Submit
from collegium.proof import Prover, Seen
from collegium.released import Asking, Roots, verify_decision
from collegium.statements import Decision
from collegium.v1.node_pb2 import QuestionAnswer, SubmitReply
from collegium_coordinator.verify import FAILED, HELD, REFUSED, RELEASED, Answering, Charge

__all__ = ["Submission", "verify_submission"]

_VERDICTS = {
    QuestionAnswer.RELEASED: RELEASED,
    QuestionAnswer.REFUSED: REFUSED,
    QuestionAnswer.HELD: HELD,
    QuestionAnswer.FAILED: FAILED,
}


@dataclass(frozen=True, slots=True)
class Submission:
    """One member's verified reply. Only with verdict `released` there is a vector; `vector` is its SHA-256."""

    member: int
    verdict: str  # released | refused | held | failed
    reason: str = ""  # a key of PUBLIC_TEXTS, or bad-answer; empty when released
    decision: bytes = b""
    charge: Charge | None = None
    snapshot: str = ""
    submit: bytes = b""
    sealed: bytes = b""
    vector: str = ""
    receipts: tuple[tuple[str, bytes], ...] = ()  # (statement id, proof) in the node's log
    seen: tuple[Seen, ...] = ()

    @property
    def id(self) -> str:
        return statement_id(self.submit)


def verify_submission(
    reply: SubmitReply,
    plan_note: bytes,
    plan: Plan,
    roster: Roster,
    member: int,
    asking: Asking,
    answering: Answering,
    roots: Roots,
) -> Submission:
    """One reply of the roster's member.

    1. Its verdict is one this version knows. A failure needs nothing more, and nothing of it is used but its reason.
    2. The decision verifies (see `verify_decision`): a charge of exactly the question's rho, or a refusal, about this plan; it lies
       in the node's log, a charge under the quorum of its witnesses.
    3. SUBMIT is signed by the key that the roster has for this member, and names this plan, this member and the charge of (2).
    4. It lies in the node's own log where it says, under the quorum, and the registry that the node had verified is a part of ours.
    5. The three sealed seeds are those it names, each of the size of one.
    6. The vector is the one it names, 8 bytes for every cell of the plan.

    Raises:
        NotVerified, Invalid: a step failed; nothing of the reply may be used.
    """
    # (1)
    verdict = _VERDICTS.get(reply.verdict)
    _must(verdict is not None, "an unknown verdict")
    assert verdict is not None
    if verdict == FAILED:
        return Submission(member, FAILED, reply.reason if reply.reason in PUBLIC_TEXTS else "failed")
    # (2)
    plan_id, prover = statement_id(plan_note), Prover()
    note = bytes(reply.decision)
    decision = _decision(note, asking, answering, roots, plan_id)
    wanted = {RELEASED: "charge", REFUSED: "refuse", HELD: "hold"}[verdict]
    _must(decision.verdict == wanted, f"a decision to {decision.verdict} does not belong to the verdict {verdict}")
    rule = answering.rule if verdict == RELEASED else answering.rule.without_quorum
    proof = bytes(reply.decision_receipt)
    seen = prover.prove(proof, note, rule, index=decision.log.index, place="decision receipt")
    receipts = ((statement_id(note), proof),)
    if verdict != RELEASED:
        reason = "held" if verdict == HELD else decision.reason or ""
        public = reason if reason in PUBLIC_TEXTS else "failed"
        return Submission(member, verdict, public, note, receipts=receipts, seen=(seen,))
    # (3)
    signed = bytes(reply.submit)
    submit = Submit.open(signed, [_member_key(roster, member, answering)])
    _must((submit.plan, submit.member) == (plan_id, member), "the submission belongs to another plan or member")
    _must(submit.decision == decision.log.index, "the submission names another charge")
    # (4)
    _must(submit.log.origin == answering.rule.log.name, "the submission is of another log")
    _must(roots(submit.registry.size) == submit.registry.root, "the node has verified another registry than ours")
    proof = bytes(reply.submit_receipt)
    also = prover.prove(proof, signed, answering.rule, index=submit.log.index, place="submission receipt")
    # (5)
    sealed = [bytes(each) for each in reply.sealed]
    _must(len(sealed) == TRUSTEES and all(len(each) == CIPHERTEXT for each in sealed), "there are not three sealed seeds")
    _must([hashlib.sha256(each).hexdigest() for each in sealed] == list(submit.seeds), "a sealed seed is not the one signed")
    # (6)
    _must(submit.vector.size == 8 * plan.length == len(reply.vector), "the vector has another length than the plan")
    _must(hashlib.sha256(reply.vector).hexdigest() == submit.vector.sha256, "the vector is not the one signed")
    charge = Charge(decision.unit or "", decision.period or "", decision.dataset or "", decision.rho or 0)
    return Submission(
        member, RELEASED, "", note, charge, decision.snapshot or "", signed, b"".join(sealed), submit.vector.sha256,
        (*receipts, (statement_id(signed), proof)), (seen, also) if also != seen else (seen,),
    )  # fmt: skip


def _decision(note: bytes, asking: Asking, answering: Answering, roots: Roots, plan: str) -> Decision:
    try:
        return verify_decision(note, asking, answering.node, roots, plan)
    except NotVerified:
        older = answering.in_force(Decision.read(note).registry.size)
        if older == answering.node:
            raise
    return verify_decision(note, asking, older, roots, plan)


def _member_key(roster: Roster, member: int, answering: Answering) -> Verifier:
    _must(member < len(roster.nodes) and roster.nodes[member].node == answering.node.name, "the roster has another node there")
    return roster.verifier(member)


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotVerified(otherwise, place="submission", remedy="Do not use it; keep it as evidence.")
