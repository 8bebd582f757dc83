"""How a plan becomes this node's part of a national sum. Beside `collegium_node.answer` the only way from rows to the outside.

    (1) verify    the request as for any answer; the plan: the coordinator's signature, its log's receipt, trustees and their keys,
                  the roster of a registry that three trustees have cosigned, this node's own place in it (`planned`)
    (2) policy    the steward's signed policy again, now with the smallest number of universities that the plan allows
    (3) compile   the question to a tally layout, and from it every number of the plan once more
    (4) charge    ONE durable transaction: look up the plan; not there: charge the budgets under the PLAN's id, log the decision
    (5) tally     the exact integers, on the charged row's own snapshot
    (6) hide      one share of noise for each component and three masks; the seeds are sealed to the trustees and forgotten
    (7) store     ONE durable transaction: sign and log SUBMIT, keep the masked vector and the sealed seeds; once for ever
    (8) gate      once a quorum of the log's witnesses has confirmed charge and submission, the stored bytes leave, with receipts

Why it holds. A share of noise protects nobody twice: two vectors of one tally under one plan, or one share under two plans, could
be subtracted. So a plan has one charge (its id is the key) and one SUBMIT, only stored bytes leave, and another plan is another
charge with fresh noise. And a question of a request has one plan: with two, of which one leaves somebody out, a coordinator could
subtract totals without any researcher asking twice. What is refused in (1) to (4) is decided before data are touched. The length of
the vector is the plan's.

A crash before (4) leaves nothing. Between (4) and (7) it leaves a charge: whoever sends the plan again finds it, pays nothing, and
goes on with fresh seeds and fresh noise, for nobody has seen the others. After (7) the same bytes leave, whenever they are asked
for, also after the deadline. A plan that was not submitted by its deadline is over, and so is one whose bytes are gone: they were
deleted after their time, or this database was made again from the log. Nothing is hidden anew for a plan that has its SUBMIT.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from collegium.body import Blob
from collegium.errors import CollegiumError, Failed, Invalid, NotVerified, Refused, public_text
from collegium.layout import Layout
from collegium.log.note import Verifier
from collegium.log.statement import MAX_STATEMENT, statement_id
from collegium.national.addition import vector_digest
from collegium.national.statements import Plan, Submit
from collegium.national.submission import Hidden
from collegium.party.journal import Clock, Journal, Writer
from collegium.party.lines import Lines
from collegium.party.members import Members
from collegium.party.receipts import Receipts
from collegium.party.store import StorageBroken
from collegium.party.turns import Turns
from collegium.schema import Schema
from collegium.v1.node_pb2 import QuestionAnswer, SubmitReply
from collegium_node import decisions, gate, ledger, steps, submissions
from collegium_node.asked import Asked, check_request
from collegium_node.gate import SignedDecision, Submission
from collegium_node.ledger import OverBudget, Row
from collegium_node.planned import Planned, Sent, check_numbers, check_planned
from collegium_node.policy import Policy, Verdict
from collegium_node.requests import apply_steward
from collegium_node.shape import shape_of
from collegium_node.shelf import Shelf
from collegium_node.submissions import Round

if TYPE_CHECKING:  # the engine and OpenDP are loaded by whoever builds one
    from collegium_node.engine.exact import ExactTally

__all__ = ["HidingEngine", "Submitting"]


class HidingEngine(Protocol):
    """Counts exactly, adds this node's share of the noise and hides it. Production passes `embedded.Embedded`."""

    def has(self, snapshot: str, dataset: str) -> bool: ...
    def tally(self, layout: Layout, schema: Schema, snapshot: str) -> ExactTally: ...
    def hide_share(self, tally: ExactTally, plan_note: bytes, plan: Plan, member: int, node: Verifier) -> Hidden: ...


@dataclass(frozen=True, slots=True)
class _Said:
    """What steps (1) to (7) came to; all of it is stored. `failure`: a reason why they could not be finished."""

    decision: SignedDecision | None
    submission: Submission | None = None
    failure: str = ""


class Submitting:
    """A node's path into national sums; safe to call from many threads."""

    def __init__(
        self,
        *,
        name: str,
        journal: Journal,
        members: Members,
        policy: Callable[[], Policy],
        engine: HidingEngine,
        receipts: Receipts,
        clock: Clock,
        lines: Lines,
    ) -> None:
        self._name = name
        self._journal = journal
        self._members = members
        self._policy = policy
        self._engine = engine
        self._receipts = receipts
        self._clock = clock
        self._lines = lines
        self._shelf = Shelf(journal)
        self._turns = Turns()

    def submit(self, note: bytes, details: bytes, receipt: bytes, sent: Sent) -> SubmitReply:
        """The reply to one plan. Idempotent: the same plan gives the same bytes.

        Args:
            note: the researcher's request that the plan is for, with its details and the coordinator's receipt.

        Raises:
            Invalid, NotVerified, Refused: request or plan failed (1) or (3); nothing of it was logged or charged.
            StorageBroken: the disk refused; the process must end.
        """
        # (1) verify; what was submitted before leaves as it is, and nothing is decided on it a second time
        steps.at(1)
        self._members.check_own()
        stored = self._stored(sent)
        if stored is None:
            asked = check_request(note, details, receipt, self._members.registry, self._name)
            steps.of(asked.id)
            own = self._journal.statements.verifier
            planned = check_planned(sent, asked, self._members.registry, self._name, own)
            with self._turns.of(planned.id):  # the same plan many times at once: one hides, the others wait and find
                stored = self._stored(sent) or self._round(asked, planned)
        # (8) gate
        steps.at(8)
        reply = self._leave(stored)
        verdict = QuestionAnswer.Verdict.Name(reply.verdict)
        self._lines.event("submitted", plan=statement_id(sent.note), verdict=verdict, reason=reply.reason)
        return reply

    def _stored(self, sent: Sent) -> _Said | None:
        """The submission of a plan with the charge that paid for it; None while there is none, or its bytes are gone."""
        if len(sent.note) > MAX_STATEMENT:
            raise Invalid(public_text("too-large"), place="plan", reason="too-large")
        try:
            plan = statement_id(sent.note)
        except CollegiumError:
            raise NotVerified(public_text("bad-plan"), place="plan", reason="bad-plan") from None
        with self._journal.store.read() as db:
            found = submissions.find(db, plan)
            submission = submissions.read(db, found) if found is not None else None
            return _Said(decisions.at(db, found.decision), submission) if found is not None and submission is not None else None

    def _round(self, asked: Asked, planned: Planned) -> _Said:
        """Steps (2) to (7). A refusal is signed and names the plan; what does not verify raises."""
        number, question = planned.plan.number, asked.questions[planned.plan.number]
        with self._journal.store.read() as db:
            found, row = submissions.find(db, planned.id), ledger.of_plan(db, planned.id)
        if found is None and asked.expiry < self._clock():
            raise Invalid(public_text("expired"), place="expiry", reason="expired")
        try:
            if (found is not None and found.submit is not None) or planned.plan.deadline < self._clock():
                return self._say(asked, planned, Verdict("refuse", "round-over"))
            # (2) policy
            steps.at(2, number)
            verdict = self._policy().verdict(
                researcher=asked.researcher, key=asked.key, dataset=question.dataset, purpose=asked.purpose, rho=question.rho,
                mode="national", least=planned.plan.least,
            )  # fmt: skip
            verdict = apply_steward(self._journal, asked.id, verdict)
            if verdict.word != "allow":
                return self._say(asked, planned, verdict)
            # (3) compile
            steps.at(3, number)
            snapshot = self._shelf.get(row.snapshot) if row is not None else self._shelf.current()
            layout, schema = shape_of(question, snapshot, self._members.registry)
            check_numbers(planned.plan, layout, schema)
            # (4) charge
            steps.at(4, number)
            charged = self._charge(asked, planned, layout, snapshot.id)
        except Refused as refusal:
            return self._say(asked, planned, Verdict("refuse", refusal.reason))
        except Failed as error:
            if isinstance(error, StorageBroken):
                raise
            return _Said(None, failure=self._note_failure(error, asked, number))
        if isinstance(charged, SignedDecision):
            return _Said(charged)
        row, decision = charged
        # (5) (6) (7)
        try:
            submission = self._hidden(planned, row, layout, schema)
        except StorageBroken:
            raise
        except Exception as error:
            return _Said(decision, failure=self._note_failure(error, asked, number))
        if submission is None:
            return self._say(asked, planned, Verdict("refuse", "round-over"))
        return _Said(decision, submission)

    def _charge(self, asked: Asked, planned: Planned, layout: Layout, snapshot: str) -> tuple[Row, SignedDecision] | SignedDecision:
        """The row that pays for the plan, and its charge; or a refusal when a limit does not cover it."""
        number, question, unit = planned.plan.number, layout.question, layout.unit
        with self._journal.write("plan") as log:
            # Looked up again: another process may have been faster, and on another snapshot.
            row = ledger.of_plan(log.db, planned.id)
            if row is not None:
                return row, decisions.at(log.db, row.decision)
            if decisions.is_charged(log.db, asked.id, number):  # for another plan: two totals of one question, with and without us
                return decisions.record(
                    log, asked, number, "refuse", reason="round-over", question=question.digest, planned=planned
                )
            if not self._engine.has(snapshot, question.dataset):  # nobody pays for a snapshot that is lost already
                raise Failed("the current snapshot is gone", place=f"snapshots/{snapshot}", remedy="Make a new one.")
            dataset, rho, limits = question.dataset, question.rho, self._policy().figures
            try:
                period = ledger.check(
                    log.db, limits, unit=unit, dataset=dataset, researcher=asked.researcher, rho=rho, time=log.now
                )
            except OverBudget as over:
                return decisions.record(log, asked, number, "refuse", reason=over.reason, question=question.digest, planned=planned)
            decision = decisions.record(
                log, asked, number, "charge", question=question.digest, snapshot=snapshot, unit=unit, period=period,
                dataset=dataset, rho=rho, planned=planned,
            )  # fmt: skip
            row = Row(
                digest=planned.id, snapshot=snapshot, unit=unit, period=period, time=log.now, dataset=dataset, rho=rho,
                researcher=asked.researcher, request=asked.id, number=number, decision=decision.index,
            )  # fmt: skip
            ledger.insert(log.db, row)
            submissions.begin(log.db, planned.id, decision.index)
            # Crash here: the transaction is not there; nothing was charged, nothing drawn, nothing said.
        # Crash here: charged and logged, nothing drawn. Whoever sends the plan again finds this row and goes on with (5), free.
        return row, decision

    def _hidden(self, planned: Planned, row: Row, layout: Layout, schema: Schema) -> Submission | None:
        """The one submission of a charged plan, stored before anybody sees it; None when its time is over."""
        # (5) tally. Reads the row's own snapshot, also when there is a newer one; gone: snapshot-gone, and the charge stays.
        steps.at(5, row.number)
        exact = self._engine.tally(layout, schema, row.snapshot)
        # (6) hide. What comes back is masked: the vector tells nothing to who has not the seeds, and they are sealed by now.
        steps.at(6, row.number)
        own = self._journal.statements.verifier
        hidden = self._engine.hide_share(exact, planned.note, planned.plan, planned.member, own)
        # Crash here: noise and masks are lost with the process and nobody has seen them. The retry draws anew: still one SUBMIT.
        # (7) store
        steps.at(7, row.number)
        with self._journal.write("submit") as log:
            found = submissions.find(log.db, planned.id)
            assert found is not None, "it was charged in step (4)"
            if found.submit is None:  # else another process was faster: its submission is the one
                if planned.plan.deadline < log.now:
                    return None
                found = self._sign(log, planned, found, hidden)
        # Crash here: stored and not yet sent. The retry sends exactly these bytes.
        with self._journal.store.read() as db:
            return submissions.read(db, found)

    def _sign(self, log: Writer, planned: Planned, found: Round, hidden: Hidden) -> Round:
        """SUBMIT, signed and logged, with everything that goes out beside it."""
        body = Submit(
            log=log.place, registry=log.registry, time=log.now, plan=planned.id, member=planned.member, decision=found.decision,
            seeds=tuple(hashlib.sha256(each).hexdigest() for each in hidden.sealed),
            vector=Blob(sha256=vector_digest(hidden.vector), size=8 * len(hidden.vector)), commitment=hidden.commitment,
        )  # fmt: skip
        note = body.sign(self._journal.statements)
        entry = log.keep(Submit.kind, note, request=statement_id(note))
        submissions.finish(log.db, planned.id, entry)
        submissions.store(log.db, planned.id, planned.plan.deadline, hidden)
        return Round(planned.id, found.decision, entry.index, entry.id)

    def _leave(self, said: _Said) -> SubmitReply:
        """(8) gate: what is stored leaves once the quorum has confirmed it. Waits for that at most two seconds."""
        decision, submission = said.decision, said.submission
        if decision is None:
            return gate.not_submitted(gate.failed(said.failure))
        if submission is not None:
            receipts = self._receipts.confirmed((decision.index, submission.index))
            if receipts.keys() >= {decision.index, submission.index}:
                return gate.submitted(decision, submission, receipts)
        plain = self._receipts.plain(decision.index)
        if submission is not None:  # stored, and these very bytes go out when the coordinator sends the plan again
            return gate.not_submitted(gate.failed("pending", decision, plain))
        if said.failure:
            return gate.not_submitted(gate.failed(said.failure, decision, plain))
        return gate.not_submitted(gate.refused_or_held(decision, plain))

    def _say(self, asked: Asked, planned: Planned, verdict: Verdict) -> _Said:
        """A signed refusal of this plan, or a signed hold of the question for the steward's list."""
        assert verdict.word != "allow"
        number = planned.plan.number
        with self._journal.write(verdict.word) as log:
            about = planned if verdict.word == "refuse" else None
            return _Said(
                decisions.record(
                    log, asked, number, verdict.word, reason=verdict.reason, question=asked.questions[number].digest, planned=about
                )
            )

    def _note_failure(self, error: Exception, asked: Asked, number: int) -> str:
        """A local line with type and place of the error, never its message; the reason that may leave."""
        self._lines.failure("plan-failed", error, request=asked.id, number=number)
        return error.reason if isinstance(error, CollegiumError) and error.reason in FAILURES else "failed"


FAILURES = frozenset({"snapshot-gone", "not-confirmed", "restored"})
"""What a node says of a plan it could not finish; anything else is a plain failure."""
