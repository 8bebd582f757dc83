"""From a node's reply to outcomes that may be used.

The steps are those of `collegium.released`, which researchers and auditors follow too. An answer that fails one of them is a failed
answer with the reason `bad-answer`: it is never logged as a release, never added, and never stops the answers of other nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collegium.addition import LARGEST
from collegium.errors import PUBLIC_TEXTS, Invalid, NotVerified
from collegium.log.statement import statement_id
from collegium.registry import Registered
from collegium.released import Asking as Question
from collegium.released import Roots, verify_decision, verify_release, verify_withdrawal
from collegium.statements import Decision
from collegium.v1.node_pb2 import AnswerReply, QuestionAnswer

__all__ = ["BAD_ANSWER", "FAILED", "HELD", "REFUSED", "RELEASED", "Charge", "Outcome", "failed", "verify_answer", "verify_reply"]

BAD_ANSWER = "bad-answer"

RELEASED, REFUSED, HELD, FAILED = "released", "refused", "held", "failed"

_VERDICTS = {
    QuestionAnswer.RELEASED: (RELEASED, frozenset({"charge", "reuse"})),
    QuestionAnswer.REFUSED: (REFUSED, frozenset({"refuse"})),
    QuestionAnswer.HELD: (HELD, frozenset({"hold"})),
    QuestionAnswer.FAILED: (FAILED, frozenset({"charge", "reuse", "refuse", "hold", "allow"})),
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
    verdict: str  # released | refused | held | failed
    reason: str = ""  # a key of PUBLIC_TEXTS, or offline, deadline, bad-answer; empty when released
    decision: bytes = b""
    release: bytes = b""
    release_id: str = ""
    payload: bytes = b""
    charge: Charge | None = None
    withdrawals: tuple[tuple[str, bytes], ...] = ()  # (id of the release withdrawn, the note)


def failed(questions: int, reason: str) -> tuple[Outcome, ...]:
    """The same failure for every question of a request."""
    return tuple(Outcome(number, FAILED, reason) for number in range(questions))


def verify_reply(reply: AnswerReply, questions: Sequence[Question], node: Registered, roots: Roots) -> tuple[Outcome, ...]:
    """The outcomes of a whole reply, one per question in order. A bad answer to one question leaves the others standing."""
    if len(reply.answers) != len(questions):
        return failed(len(questions), BAD_ANSWER)
    outcomes = []
    for question, answer in zip(questions, reply.answers, strict=True):
        try:
            outcomes.append(verify_answer(answer, question, node, roots))
        except Invalid:  # NotVerified included: nothing of such an answer is kept
            outcomes.append(Outcome(question.number, FAILED, BAD_ANSWER))
    return tuple(outcomes)


def verify_answer(answer: QuestionAnswer, question: Question, node: Registered, roots: Roots) -> Outcome:
    """One answer.

    1. Its verdict is one this version knows.
    2. Each withdrawal is signed by the node.
    3. The decision verifies (see `verify_decision`) and is one that this verdict calls for. Only a failure may lack it.
    4. What is released verifies (see `verify_release`) and can be added: no value beyond what 2^31 persons could make it.

    Raises:
        NotVerified, Invalid: a step failed; nothing of the answer may be used.
    """
    # (1)
    known = _VERDICTS.get(answer.verdict)
    if known is None:
        raise NotVerified("an unknown verdict", place="answer")
    verdict, allowed = known
    # (2)
    withdrawals = tuple((verify_withdrawal(note, node).release.sha256, bytes(note)) for note in answer.withdrawals)
    # (3)
    number = question.number
    if verdict == FAILED and not answer.decision:
        return Outcome(number, FAILED, _public(answer.reason), withdrawals=withdrawals)
    note = bytes(answer.decision)
    decision = verify_decision(note, question, node, roots)
    if decision.verdict not in allowed:
        raise NotVerified(f"the decision to {decision.verdict} does not belong to the verdict {verdict}", place="answer")
    charge = _charge(decision)
    if verdict != RELEASED:
        reason = {HELD: "held", REFUSED: decision.reason or ""}.get(verdict, answer.reason)
        return Outcome(number, verdict, _public(reason), note, charge=charge, withdrawals=withdrawals)
    # (4)
    release, payload = bytes(answer.release), bytes(answer.payload)
    verify_release(release, payload, decision, question, node, roots)
    values = np.frombuffer(payload, dtype="<i8")
    if int(values.max()) >= LARGEST or int(values.min()) <= -LARGEST:
        # The addition refuses such a value; found here, it fails alone and not the sum of everybody.
        raise NotVerified("a value is larger than any number of persons could make it", place="answer")
    return Outcome(number, RELEASED, "", note, release, statement_id(release), payload, charge, withdrawals)


def _charge(decision: Decision) -> Charge | None:
    if decision.verdict != "charge":
        return None
    return Charge(decision.unit or "", decision.period or "", decision.dataset or "", decision.rho or 0)


def _public(reason: str) -> str:
    """A reason that came from a node, or `failed` when it is no key of the public table: free text never travels on."""
    return reason if reason in PUBLIC_TEXTS else "failed"
