"""How a signed question becomes a signed release. Beside national sums (`collegium_node.submitting`) the only way from rows to the
outside.

    (1) verify    the researcher's signature and registration, by this node itself, against the newest registry it has verified;
                  and the receipt by which the coordinator is bound to the request
    (2) policy    apply the steward's signed policy: allow, refuse, or hold for a person's approval
    (3) compile   the question to a tally layout: its shape, its sensitivity and its cost follow from schema and question alone
    (4) charge    ONE durable transaction: look up (question digest, snapshot id); not there: charge the budgets, log the decision
    (5) tally     the exact integers, on the charged row's own snapshot
    (6) noise     one discrete Gaussian for each component, at the scale its charged rho pays for
    (7) store     ONE durable transaction: sign, log and keep the release, unless the row has one already
    (8) gate      once a quorum of the log's witnesses has confirmed it, the stored release leaves, with the decision that paid for
                  it or names it as a reuse, and a receipt for each; until then the answer is `pending`

Why it holds. Noise is drawn only for a row that is charged already, so whatever leaves has been paid for. A row has one release for
ever, and only stored releases leave, so one question on one snapshot never goes out with two noises: not when asked a hundred times
at once, not by two processes on one database, not after a crash. What is refused in (1) to (4) is decided before data are touched.
A question with release mode `national` ends after (3) with READY: what follows is done for its plan.

A crash before (4) leaves nothing, between (4) and (7) a charge without a release, after (7) both. Recovery is the same path: the
repeated request finds its row in (4), pays nothing, and goes on from where the row stands. Nothing is signed, so nothing charged,
before the witnesses have confirmed after a start that this is the newest log there is (`collegium.party.permit`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from collegium.errors import CollegiumError, Failed, Invalid, Refused, public_text
from collegium.layout import Layout
from collegium.party.journal import Clock, Journal
from collegium.party.lines import Lines
from collegium.party.members import Members
from collegium.party.receipts import Receipts
from collegium.party.store import StorageBroken
from collegium.party.turns import Turns
from collegium.question import Question
from collegium.schema import Schema
from collegium.served import absent_from
from collegium.statements import Blob, Original, PartNoise, Release
from collegium.v1.node_pb2 import AnswerReply, QuestionAnswer
from collegium_node import decisions, gate, ledger, steps
from collegium_node.asked import Asked, check_request
from collegium_node.gate import SignedDecision, SignedRelease
from collegium_node.ledger import OverBudget, Row
from collegium_node.policy import Policy, Verdict
from collegium_node.ready import check_ready
from collegium_node.requests import apply_steward
from collegium_node.shape import shape_of
from collegium_node.shelf import Shelf
from collegium_node.submitting import Submitting

if TYPE_CHECKING:  # the engine and OpenDP are loaded by whoever builds one
    from collegium.log.note import Verifier
    from collegium.national.statements import Plan
    from collegium.national.submission import Hidden
    from collegium_node.engine.exact import ExactTally
    from collegium_node.noise import NoisyTally

__all__ = ["Answering", "Engine"]


class Engine(Protocol):
    """Counts exactly and adds noise. Production passes `embedded.Embedded`; tests pass one they can watch."""

    def has(self, snapshot: str, dataset: str) -> bool: ...
    def tally(self, layout: Layout, schema: Schema, snapshot: str) -> ExactTally: ...
    def add_noise(self, layout: Layout, tally: ExactTally) -> NoisyTally: ...
    def hide_share(self, tally: ExactTally, plan_note: bytes, plan: Plan, member: int, node: Verifier) -> Hidden: ...


@dataclass(frozen=True, slots=True)
class _Paid:
    """A charged row; `decision` is its charge if it belongs to this very question, None if another request has paid for it."""

    row: Row
    decision: SignedDecision | None


@dataclass(frozen=True, slots=True)
class _Said:
    """What steps (1) to (7) came to for one question; all of it is stored. `failure`: a reason why they could not be finished."""

    decision: SignedDecision | None
    release: SignedRelease | None = None
    failure: str = ""
    ready: bool = False  # for the plan of a national sum


class Answering:
    """The answer path of one node; safe to call from many threads. `submitting` is its path for plans of national sums."""

    def __init__(
        self,
        *,
        name: str,
        journal: Journal,
        members: Members,
        policy: Callable[[], Policy],
        engine: Engine,
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
        self.submitting = Submitting(
            name=name, journal=journal, members=members, policy=policy, engine=engine, receipts=receipts, clock=clock, lines=lines
        )

    def answer(self, note: bytes, details: bytes, receipt: bytes) -> AnswerReply:
        """The reply to one request. Idempotent: the same bytes give the same releases.

        Args:
            receipt: the coordinator's proof that its log holds the request.

        Raises:
            Invalid, NotVerified, Refused: the request failed (1); nothing of it was logged.
            StorageBroken: the disk refused; the process must end.
        """
        # (1) verify
        steps.at(1)
        self._members.check_own()
        asked = check_request(note, details, receipt, self._members.registry, self._name)
        if asked.expiry < self._clock() and not decisions.is_bound(self._journal, asked):
            raise Invalid(public_text("expired"), place="expiry", reason="expired")
        steps.of(asked.id)
        answers = self._leave([self._alone(asked, number) for number in range(len(asked.questions))])
        verdicts = " ".join(QuestionAnswer.Verdict.Name(answer.verdict) for answer in answers)
        self._lines.event("answered", request=asked.id, researcher=asked.researcher, verdicts=verdicts)
        return gate.reply(answers)

    def _alone(self, asked: Asked, number: int) -> _Said:
        """One question; whatever goes wrong with it touches no other question of the request."""
        try:
            try:
                return self._question(asked, number)
            except Refused as refusal:
                return self._say(asked, number, Verdict("refuse", refusal.reason))
        except StorageBroken:
            raise
        except Exception as error:
            return _Said(None, failure=self._note_failure(error, asked, number))

    def _question(self, asked: Asked, number: int) -> _Said:
        question = asked.questions[number]
        # (2) policy: the rules first, then what the steward has said to this very request
        steps.at(2, number)
        policy = self._policy()
        verdict = policy.verdict(
            researcher=asked.researcher, key=asked.key, dataset=question.dataset, purpose=asked.purpose, rho=question.rho,
            mode=question.mode,
        )  # fmt: skip
        verdict = apply_steward(self._journal, asked.id, verdict)
        if verdict.word != "allow":
            return self._say(asked, number, verdict)
        # (3) compile, for the snapshot to which this question of this request is bound, or else for the current one
        steps.at(3, number)
        bound = decisions.bound_row(self._journal, asked, number)
        snapshot = self._shelf.get(bound.snapshot) if bound else self._shelf.current()
        layout, schema = shape_of(question, snapshot, self._members.registry)
        if question.mode == "national":  # charged, counted and hidden when its plan comes: see `collegium_node.submitting`
            check_ready(asked, number, layout, self._members.registry, policy, self._journal, self._name, self._clock())
            return _Said(None, ready=True)
        # (4) charge
        steps.at(4, number)
        paid = self._charge(asked, number, layout, snapshot.id)
        if isinstance(paid, SignedDecision):
            return _Said(paid)
        # (5) (6) (7)
        try:
            release = self._release(paid.row, layout, schema)
        except StorageBroken:
            raise
        except Exception as error:
            return _Said(paid.decision, failure=self._note_failure(error, asked, number))
        return _Said(paid.decision or self._reuse(asked, number, paid.row, release), release)

    def _leave(self, said: Sequence[_Said]) -> list[QuestionAnswer]:
        """(8) gate: what is stored leaves once the quorum has confirmed it. Waits once for all questions, at most two seconds."""
        steps.at(8)
        found = [
            (each.decision.index, *each.release.indices) for each in said if each.release is not None and each.decision is not None
        ]
        receipts = self._receipts.confirmed(index for indices in found for index in indices)
        answers = []
        for each in said:
            decision, release = each.decision, each.release
            if each.ready:
                answers.append(gate.ready())
            elif decision is None:
                answers.append(gate.failed(each.failure))
            elif release is not None and receipts.keys() >= {decision.index, *release.indices}:
                answers.append(gate.released(decision, release, receipts))
            elif release is not None:  # stored, and this very release goes out when the coordinator asks again
                answers.append(gate.failed("pending", decision, self._receipts.plain(decision.index)))
            elif each.failure:
                answers.append(gate.failed(each.failure, decision, self._receipts.plain(decision.index)))
            else:
                answers.append(gate.refused_or_held(decision, self._receipts.plain(decision.index)))
        return answers

    def _charge(self, asked: Asked, number: int, layout: Layout, snapshot: str) -> _Paid | SignedDecision:
        """The row that pays for the question, or a refusal when a limit does not cover it."""
        digest, question = layout.question.digest, layout.question
        with self._journal.write("charge") as log:
            # Looked up again: since (3) the same request may have been charged by another thread, and on another snapshot.
            row = ledger.bound_row(log.db, asked.id, number, digest) or ledger.find(log.db, digest, snapshot)
            if row is not None:
                ours = (row.request, row.number) == (asked.id, number)
                return _Paid(row, decisions.at(log.db, row.decision) if ours else None)
            if asked.expiry < log.now:  # another question of the request was charged in time; this one is not begun any more
                return decisions.record(log, asked, number, "refuse", reason="expired", question=digest)
            if not self._engine.has(snapshot, question.dataset):  # nobody pays for a snapshot that is lost already
                raise Failed("the current snapshot is gone", place=f"snapshots/{snapshot}", remedy="Make a new one.")
            unit, dataset, rho, limits = layout.unit, question.dataset, question.rho, self._policy().figures
            try:
                period = ledger.check(
                    log.db, limits, unit=unit, dataset=dataset, researcher=asked.researcher, rho=rho, time=log.now
                )
            except OverBudget as over:
                return decisions.record(log, asked, number, "refuse", reason=over.reason, question=digest)
            decision = decisions.record(
                log, asked, number, "charge", question=digest, snapshot=snapshot, unit=unit, period=period, dataset=dataset, rho=rho
            )
            row = Row(
                digest=digest, snapshot=snapshot, unit=unit, period=period, time=log.now, dataset=dataset, rho=rho,
                researcher=asked.researcher, request=asked.id, number=number, decision=decision.index,
            )  # fmt: skip
            ledger.insert(log.db, row)
            # Crash here: the transaction is not there; nothing was charged, nothing drawn, nothing said.
        # Crash here: charged and logged, nothing drawn. Whoever repeats the request finds this row and goes on with (5), free.
        return _Paid(row, decision)

    def _release(self, row: Row, layout: Layout, schema: Schema) -> SignedRelease:
        """The one release of a charged row: the stored one, or a new one, stored before anybody sees it."""
        with self._turns.of(row.digest, row.snapshot):  # a hundred at once: one counts, the others wait and find
            found = decisions.release_of(self._journal, row)
            if found is not None:
                return found
            # (5) tally. Reads the row's own snapshot, also when there is a newer one; gone: snapshot-gone, and the charge stays.
            steps.at(5, row.number)
            exact = self._engine.tally(layout, schema, row.snapshot)
            # (6) noise
            steps.at(6, row.number)
            noisy = self._engine.add_noise(layout, exact)
            absent = self._absent(layout.question, row.snapshot)
            # Crash here: the noise is lost with the process and nobody has seen it. The retry draws anew: still one release.
            # (7) store
            steps.at(7, row.number)
            with self._journal.write("release") as log:
                now_there = ledger.find(log.db, row.digest, row.snapshot)
                if now_there is None or now_there.release is None:  # another process may have been faster: its release is the one
                    payload = Blob(sha256=log.blob(noisy.payload, published=True), size=len(noisy.payload))
                    parts = tuple(PartNoise(cells=p.width, scale=repr(s)) for p, s in zip(layout.parts, noisy.scales, strict=True))
                    signed = Release(
                        log=log.place, registry=log.registry, time=log.now, request=row.request, number=row.number,
                        question=row.digest, snapshot=row.snapshot, schema_id=schema.id, decision=row.decision,
                        parts=parts, payload=payload, absent=absent,
                    )  # fmt: skip
                    entry = log.sign(signed, request=row.request)
                    ledger.release(log.db, row, entry.index)
            # Crash here: stored and not yet sent. The retry sends exactly this one.
            stored = decisions.release_of(self._journal, row)
            assert stored is not None
            return stored

    def _absent(self, question: Question, snapshot: str) -> tuple[str, ...] | None:
        """Columns that the question looks at and the snapshot does not serve: of the steward's configuration alone."""
        return absent_from(question, self._shelf.get(snapshot).absent.get(question.dataset, ()))

    def _reuse(self, asked: Asked, number: int, row: Row, release: SignedRelease) -> SignedDecision:
        """A signed decision that charges nothing and names the release that another request has paid for."""
        original = Original(index=release.index, sha256=release.id)
        with self._journal.write("reuse") as log:
            return decisions.record(log, asked, number, "reuse", question=row.digest, snapshot=row.snapshot, original=original)

    def _say(self, asked: Asked, number: int, verdict: Verdict) -> _Said:
        """A signed refusal, or a signed hold for the steward's list."""
        assert verdict.word != "allow"
        with self._journal.write(verdict.word) as log:
            digest = asked.questions[number].digest
            return _Said(decisions.record(log, asked, number, verdict.word, reason=verdict.reason, question=digest))

    def _note_failure(self, error: Exception, asked: Asked, number: int) -> str:
        """A local line with type and place of the error, never its message; the reason that may leave."""
        self._lines.failure("question-failed", error, request=asked.id, number=number)
        return error.reason if isinstance(error, CollegiumError) and error.reason in _FAILURES else "failed"


_FAILURES = frozenset({"snapshot-gone", "not-confirmed", "restored"})
"""What a node says of a question it could not finish; anything else is a plain failure."""
