"""Nodes and trustees that do the real protocol of national sums in memory, and a country of them around a real coordinator.

They are honest unless a test changes one. A node's noise is zero, so that a total can be compared to the digit; that of real nodes
is the node's own matter and tested there.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fakenode import FakeNode

from collegium.body import Blob
from collegium.errors import Failed, Offline, Refused
from collegium.layout import compile_layout
from collegium.log.note import Signer, encode_base64
from collegium.log.receipt import make_receipt, verify_receipt
from collegium.log.statement import statement_id
from collegium.national.addition import Total, vector_digest
from collegium.national.closing import CloseEvidence, Logs, check_close, may_unmask
from collegium.national.groups import groups_of
from collegium.national.lists import Participants, Prepared, Rejected, Roster, Submitted
from collegium.national.plan import check_plan, check_roster, check_trustees
from collegium.national.seal import SealingKey
from collegium.national.share import Tolerance
from collegium.national.statements import Check, Close, Plan, Prepare, Submit, TrusteeKey, Unmask, lot
from collegium.national.submission import hide, mask_total, open_submission
from collegium.national.travelling import roster_from_bits
from collegium.national.verify import Known, Round
from collegium.national.wanted import homes_of, wanted
from collegium.question import Question
from collegium.registry import Registry
from collegium.statements import Decision, Request
from collegium.transport.dispatch import handlers_of
from collegium.v1 import trustee_pb2, witness_pb2
from collegium.v1.node_pb2 import ClosedReply, LearnReply, QuestionAnswer, SubmitReply
from collegium.v1.trustee_pb2 import BeginReply, PrepareReply, RecomputeReply, TrusteeStatus, UnmaskReply

__all__ = ["Country", "FakeTrustee", "NationalNode"]

Changed = Callable[[SubmitReply], SubmitReply]


def logs_of(registry: Registry) -> Logs:
    witnesses, quorum = registry.witnesses_of(registry.coordinator_log.name)
    return Logs(registry.coordinator, registry.coordinator_log, witnesses, quorum)


def check_receipt(registry: Registry, receipt: bytes, note: bytes) -> None:
    logs = logs_of(registry)
    verify_receipt(receipt, note, logs.log, witnesses=logs.witnesses, quorum=logs.quorum)


def roster_of(request: Any, body: Request, registry: Registry) -> Roster:
    """As a node makes it, from the bits that came."""
    plan = Plan.read(request.plan)
    (members,) = (each.members for each in groups_of(body, plan.number, registry) if each.codes == plan.group)
    known = {party.name: party.statements for party in registry.nodes_at(plan.registry.size)}
    return roster_from_bits(request.chosen, members, known, plan.roster)


def check_whole_plan(note: bytes, roster: bytes, checkpoint: bytes, request: Request, registry: Registry) -> tuple[Plan, Roster]:
    """What node and trustee both check of a plan."""
    plan = Plan.open(note, [registry.coordinator])
    trustees = {party.name: party for party in registry.trustees()}
    check_trustees(plan, {name: party.statements for name, party in trustees.items()})
    cosigners = {each.trustee: trustees[each.trustee].cosigner for each in plan.trustees}
    known = {party.name: party.statements for party in registry.nodes_at(plan.registry.size)}
    typed = check_roster(plan, roster, checkpoint, registry.registry_log, cosigners, known)  # type: ignore[arg-type]
    layout = compile_layout(request.questions[plan.number], registry.schema)
    homes = homes_of(layout, registry.schema)
    check_plan(plan, wanted(layout, plan.nodes, Tolerance(plan.dropout, plan.colluding), homes), homes)
    group = next(each for each in groups_of(request, plan.number, registry) if each.codes == plan.group)
    assert {each.node for each in typed.nodes} <= set(group.members)
    return plan, typed


class NationalNode(FakeNode):
    """Its tally is `value` in every cell."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.silent = False  # to a plan
        self.refuses = ""  # a reason: to a plan
        self.refuses_request = ""  # a reason: to a request
        self.busy_first = 0  # so many times to a plan
        self.spoil_submit: Changed | None = None
        self.submitted: dict[str, SubmitReply] = {}  # by plan id: the same bytes for ever
        self.submits = 0  # calls
        self.plans: list[Plan] = []
        self.charged = 0
        self.closed: list[Any] = []
        self.at_submit: Callable[[], Any] | None = None

    def _answer(self, identity: str, number: int, question: Question) -> QuestionAnswer:
        if self.refuses_request:
            return self._refusal(identity, number, self.refuses_request)
        if question.mode == "national":
            return QuestionAnswer(verdict=QuestionAnswer.READY)
        return super()._answer(identity, number, question)

    def _refusal(self, identity: str, number: int, reason: str, plan: str | None = None) -> QuestionAnswer:
        view = self.registry.view()
        note = self.sign(
            lambda place: Decision(
                log=place, registry=view, time=1, request=identity, number=number, verdict="refuse", reason=reason, plan=plan
            )
        )
        return QuestionAnswer(verdict=QuestionAnswer.REFUSED, reason=reason, decision=note)

    async def Submit(self, request: Any, _context: Any) -> SubmitReply:
        self.submits += 1
        if self.at_submit is not None:
            await self.at_submit()
        if self.silent:
            raise Offline("not now")
        if self.busy_first:
            self.busy_first -= 1
            return SubmitReply(verdict=QuestionAnswer.FAILED, reason="pending")
        plan_id, identity = statement_id(request.plan), statement_id(request.request)
        if plan_id not in self.submitted:
            self.submitted[plan_id] = self._first(request, plan_id, identity)
        reply = SubmitReply.FromString(self.submitted[plan_id].SerializeToString())
        checkpoint = await self.checkpoint()
        places = {note: index for index, note in enumerate(self.entries)}
        reply.decision_receipt = make_receipt(self.tree, places[reply.decision], checkpoint)
        if reply.submit:
            reply.submit_receipt = make_receipt(self.tree, places[reply.submit], checkpoint)
        return self.spoil_submit(reply) if self.spoil_submit is not None else reply

    def _first(self, request: Any, plan_id: str, identity: str) -> SubmitReply:
        body = Request.open(request.request, [self.registry.party(Request.read(request.request).researcher).statements])
        roster_list = roster_of(request, body, self.registry).to_blob()
        plan, roster = check_whole_plan(request.plan, roster_list, request.registry_checkpoint, body, self.registry)
        check_receipt(self.registry, request.receipt, request.request)
        check_receipt(self.registry, request.plan_receipt, request.plan)
        for each, note in zip(plan.trustees, request.keys, strict=True):
            key = TrusteeKey.open(note, [self.registry.party(each.trustee).statements])
            assert key.sealing == each.sealing
            assert key.until >= plan.deadline
        if time.time() >= plan.deadline:
            raise Refused("the round is over", by="policy", reason="round-over")
        question = body.questions[plan.number]
        if self.refuses:
            refusal = self._refusal(identity, plan.number, self.refuses, plan_id)
            return SubmitReply(verdict=QuestionAnswer.REFUSED, reason=self.refuses, decision=refusal.decision)
        self.plans.append(plan)
        self.charged += question.rho
        layout = compile_layout(question, self.registry.schema)
        frame: dict[str, Any] = {"registry": self.registry.view(), "time": 1}
        charged = len(self.entries)
        decision = self.sign(
            lambda place: Decision(
                log=place, verdict="charge", request=identity, number=plan.number, question=question.digest,
                snapshot=self.snapshot, unit=layout.unit, period="2026", dataset=question.dataset, rho=question.rho, plan=plan_id,
                **frame,
            )
        )  # fmt: skip
        member = [each.node for each in roster.nodes].index(self.name)
        hidden = hide(request.plan, plan, member, self.statements.verifier, self.unmasked(plan))
        submit = self.sign(
            lambda place: Submit(
                log=place, plan=plan_id, member=member, decision=charged, commitment=hidden.commitment,
                seeds=tuple(hashlib.sha256(each).hexdigest() for each in hidden.sealed),
                vector=Blob(sha256=vector_digest(hidden.vector), size=8 * plan.length), **frame,
            )
        )  # fmt: skip
        return SubmitReply(
            verdict=QuestionAnswer.RELEASED, decision=decision, submit=submit, sealed=hidden.sealed,
            vector=hidden.vector.astype("<u8").tobytes(),
        )  # fmt: skip

    def unmasked(self, plan: Plan) -> np.ndarray:
        """2^f·tally, and no noise."""
        parts = [np.full(part.cells, self.value << part.fine, dtype=np.uint64) for part in plan.parts]
        return np.concatenate(parts)

    async def Closed(self, request: Any, _context: Any) -> ClosedReply:
        reply = self.submitted[request.plan]
        check_receipt(self.registry, request.submit_receipt, reply.submit)
        if request.close:
            check_receipt(self.registry, request.close_receipt, request.close)
        self.closed.append(request)
        return ClosedReply()


class FakeTrustee(FakeNode):
    """A trustee's state is in memory and outlives the coordinator's restarts."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.sealing = SealingKey.generate()
        self.key = b""
        self.rounds: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.fails: set[str] = set()  # methods
        self.at: Callable[[str], Any] | None = None
        self.rejects: set[int] = set()  # members
        self.lists: set[str] = set()

    def new_key(self, days: int = 40) -> None:
        now = int(time.time())
        self.key = self.sign(
            lambda place: TrusteeKey(
                log=place, registry=self.registry.view(), time=now, sealing=encode_base64(self.sealing.public),
                until=now + days * 86_400,
            )
        )  # fmt: skip

    def handlers(self) -> dict[str, Any]:
        trustee = handlers_of(self, trustee_pb2.DESCRIPTOR.services_by_name["Trustee"])
        return trustee | handlers_of(self, witness_pb2.DESCRIPTOR.services_by_name["Witness"])

    async def Status(self, _request: Any, _context: Any) -> TrusteeStatus:
        status = TrusteeStatus(name=self.name, version="0", registry_size=self.registry.size)
        if self.registry.size and not self.key:
            self.new_key()
        if self.key:
            status.key, status.key_receipt = self.key, await self.receipt(self.key)
        return status

    async def Learn(self, request: Any, context: Any) -> LearnReply:
        return await super().Learn(request, context)

    async def receipt(self, note: bytes) -> bytes:
        return make_receipt(self.tree, self.entries.index(note), await self.checkpoint())

    async def _called(self, method: str) -> None:
        self.calls.append(method)
        if self.at is not None:
            await self.at(method)
        if method in self.fails:
            raise Failed("not now")

    async def Begin(self, request: Any, _context: Any) -> BeginReply:
        await self._called("begin")
        body = Request.open(request.request, [self.registry.party(Request.read(request.request).researcher).statements])
        plan, roster = check_whole_plan(request.plan, request.roster, request.registry_checkpoint, body, self.registry)
        check_receipt(self.registry, request.plan_receipt, request.plan)
        place = [each.trustee for each in plan.trustees].index(self.name)
        assert plan.trustees[place].sealing == encode_base64(self.sealing.public)
        fresh = {"note": request.plan, "plan": plan, "roster": roster, "place": place, "submits": {}, "seeds": {}, "bad": {}}
        self.rounds.setdefault(statement_id(request.plan), fresh)
        return BeginReply()

    async def Prepare(self, request: Any, _context: Any) -> PrepareReply:
        await self._called("prepare")
        held = self.rounds[request.plan]
        assert len(request.submissions) <= 256
        if "prepare" not in held:
            for each in request.submissions:
                submit, seed = open_submission(each.submit, each.sealed, held["note"], held["roster"], held["place"], self.sealing)
                held["submits"][submit.member] = each.submit
                held["seeds"][submit.member] = seed
            if not request.last:
                return PrepareReply()
            pairs = sorted((member, statement_id(note)) for member, note in held["submits"].items())
            listed = Prepared(
                accepted=tuple(Submitted(member=m, submit=s) for m, s in pairs if m not in self.rejects),
                rejected=tuple(Rejected(member=m, submit=s, reason="seed") for m, s in pairs if m in self.rejects),
            )
            held["prepared"] = listed.to_blob()
            held["prepare"] = self.sign(
                lambda place: Prepare(
                    log=place, registry=self.registry.view(), time=1, plan=request.plan, trustee=held["place"], prepared=listed.blob
                )
            )
        if not request.last:
            return PrepareReply()
        return PrepareReply(prepare=held["prepare"], prepare_receipt=await self.receipt(held["prepare"]), prepared=held["prepared"])

    async def Unmask(self, request: Any, _context: Any) -> UnmaskReply:
        await self._called("unmask")
        held = self.rounds[request.plan]
        self.lists.add(statement_id(request.close))
        evidence = CloseEvidence(
            request.close, request.close_receipt, request.participants, tuple(request.prepares), tuple(request.prepared)
        )
        notes = {statement_id(note): note for note in held["submits"].values()}
        listed = check_close(held["note"], held["plan"], held["roster"], evidence, notes.__getitem__, logs_of(self.registry))
        earlier = [held["unmask"]] if "unmask" in held else []
        if may_unmask(request.plan, statement_id(request.close), earlier, self.statements.verifier) is None:
            masks = mask_total(held["note"], held["plan"].length, held["place"], listed, held["seeds"])
            held["masks"], held["close"], held["listed"] = masks.astype("<u8").tobytes(), request.close, listed
            named = Blob(sha256=vector_digest(masks), size=8 * held["plan"].length)
            held["unmask"] = self.sign(
                lambda place: Unmask(
                    log=place, registry=self.registry.view(), time=1, plan=request.plan, close=statement_id(request.close),
                    trustee=held["place"], masks=named,
                )
            )  # fmt: skip
        return UnmaskReply(unmask=held["unmask"], unmask_receipt=await self.receipt(held["unmask"]), masks=held["masks"])

    async def Recompute(self, request: Any, _context: Any) -> RecomputeReply:
        await self._called("recompute")
        held = self.rounds[request.plan]
        length, listed = held["plan"].length, held["listed"]
        if request.first == 0 and request.vectors:
            held["total"], held["next"] = Total(length), 0
        if request.first != held.get("next"):
            return RecomputeReply(next=held.get("next", 0))
        for each, data in zip(listed.members[request.first :], request.vectors, strict=False):
            assert hashlib.sha256(data).hexdigest() == each.vector
            held["total"].add([np.frombuffer(data, dtype="<u8")])
            held["next"] += 1
        if not request.unmasks:
            return RecomputeReply(next=held["next"])
        for place, (note, masks) in enumerate(zip(request.unmasks, request.masks, strict=True)):
            unmask = Unmask.open(note, [self.registry.party(held["plan"].trustees[place].trustee).statements])
            assert unmask.masks.sha256 == hashlib.sha256(masks).hexdigest()
            held["total"].subtract([np.frombuffer(masks, dtype="<u8")])
        total = held["total"].signed().astype("<i8").tobytes()
        ids = tuple(statement_id(note) for note in request.unmasks)
        assert lot(ids) == held["place"]
        if "check" not in held:
            held["check"] = self.sign(
                lambda place: Check(
                    log=place, registry=self.registry.view(), time=1, plan=request.plan, close=statement_id(held["close"]),
                    unmasks=ids, trustee=held["place"], total=Blob(sha256=hashlib.sha256(total).hexdigest(), size=len(total)),
                )
            )  # fmt: skip
        check = held["check"]
        return RecomputeReply(next=held["next"], check=check, check_receipt=await self.receipt(check), total=total)


class Country:
    """A founded federation with nodes, three trustees and a researcher, and its coordinator served as often as a test likes."""

    def __init__(self, federation: Any) -> None:
        self.federation = federation
        self.nodes: list[NationalNode] = []
        self.trustees: list[FakeTrustee] = []
        self.alice: Any = None
        self.lines: dict[str, AsyncExitStack] = {}
        self.stub: Any = None

    @property
    def coordinator(self) -> Any:
        return self.federation.coordinator

    @property
    def registry(self) -> Registry:
        registry: Registry = self.coordinator.registry.registry
        return registry

    async def settle(self, nodes: int, trustees: int = 3, provinces: list[str] | None = None) -> None:
        """Everybody joins. Call it while the coordinator serves."""
        key = self.federation.founded.registry_vkey
        for number in range(1, nodes + 1):
            facts = {"province": provinces[number - 1]} if provinces else {"province": "11"}
            keys = await self.federation.join("node", f"u{number}", facts=facts)
            self.nodes.append(NationalNode(keys, key, value=number))
        for letter in "abcdef"[:trustees]:
            self.trustees.append(FakeTrustee(await self.federation.join("trustee", f"trustee-{letter}"), key))
        self.alice = await self.federation.researcher()

    async def partition(self, *groups: tuple[str, ...]) -> None:
        """The registry's groups."""
        registrar = self.federation.registrar()
        try:
            await asyncio.to_thread(registrar.partition, "province", groups)
        finally:
            registrar.close()
        await asyncio.to_thread(self.coordinator.registry.refresh)
        self.coordinator._grown()

    @asynccontextmanager
    async def serving(self, **settings: Any) -> AsyncIterator[Any]:
        """The coordinator, with everybody who has settled connected."""
        settings = {"national": {"dropout": 0.34, "colluding": 0.1, "seconds": 8.0}} | settings
        async with self.federation.serving(**settings) as coordinator:
            try:
                if self.nodes:
                    await self.connect()
                yield coordinator
            finally:
                for name in list(self.lines):
                    await self.disconnect(name)

    async def connect(self, *names: str) -> None:
        parties = {party.name: party for party in (*self.nodes, *self.trustees)}
        for name in names or parties:
            if name not in self.lines:
                stack = self.lines[name] = AsyncExitStack()
                await stack.enter_async_context(self.federation.link(parties[name]))
        connected = [self.coordinator.nodes.connected, self.coordinator.trustees.connected]
        await self.federation.until(lambda: all(any(each(name) for each in connected) for name in self.lines if name != "alice"))
        if self.alice is not None and "alice" not in self.lines:
            stack = self.lines["alice"] = AsyncExitStack()
            self.stub = await stack.enter_async_context(self.alice.line(self.federation.ports.main))

    async def disconnect(self, name: str) -> None:
        await self.lines.pop(name).aclose()
        await self.federation.until(
            lambda: not self.coordinator.nodes.connected(name) and not self.coordinator.trustees.connected(name)
        )

    async def request(self, make_question: Callable[..., Question], **changes: Any) -> Any:
        """A signed request, to everybody unless it says otherwise."""
        registry = await self.alice.registry(self.stub)
        question = make_question().model_copy(update={"mode": "national"})
        facts = changes.pop("facts", {})
        return self.alice.request(registry, [], **({"audience": None, "facts": facts, "question": question} | changes))

    async def ask(self, request: Any) -> Any:
        return await self.federation.ask(self.stub, request)

    # -- what it came to -------------------------------------------------------------------------------------------------------

    def rows(self, request: str = "") -> list[Any]:
        rounds = self.coordinator.rounds.rounds
        found = rounds.store.rows("SELECT id FROM rounds WHERE request LIKE ? ORDER BY id", (f"{request}%",))
        return [rounds.row(identity) for (identity,) in found]

    def notes(self, kind: str) -> list[bytes]:
        return [
            bytes(row[0]) for row in self.coordinator.store.rows("SELECT entry FROM entries WHERE kind = ? ORDER BY idx", (kind,))
        ]

    def evidence(self, row: Any) -> Round:
        """A round as it stands in the coordinator's log and files: nothing is asked of anybody."""
        store, rounds = self.coordinator.store, self.coordinator.rounds.rounds
        prepares, unmasks = rounds.kept(row, "prepare"), rounds.kept(row, "unmask")
        own = self.coordinator.journal
        closed = CloseEvidence(
            rounds.closing(row), make_receipt(own.tree, row.closing, own.head()), rounds.participants(row),
            [each.note for each in prepares], [store.blob(each.payload) for each in prepares],
        )  # fmt: skip
        submits = {statement_id(note): note for note in self.notes("national-submit")}
        folder: Path = self.federation.home.vectors
        return Round(
            rounds.note(row), store.blob(row.roster), store.blob(row.checkpoint), closed, submits.__getitem__,
            [each.note for each in unmasks], rounds.kept(row, "check")[0].note, rounds.result(row),
            lambda sha: io.BytesIO((folder / sha[:2] / sha).read_bytes()),
        )  # fmt: skip

    def known(self, row: Any, question: Question) -> Known:
        registry, plan = self.registry, self.coordinator.rounds.rounds.plan(row)
        layout = compile_layout(question, registry.schema)
        homes = homes_of(layout, registry.schema)
        trustees = {party.name: party for party in registry.trustees() if party.name in {each.trustee for each in plan.trustees}}
        return Known(
            Logs(registry.coordinator, registry.coordinator_log, {}, 0), registry.registry_log,
            {party.name: party.statements for party in registry.parties()},
            {name: party.statements for name, party in trustees.items()},
            {name: party.cosigner for name, party in trustees.items() if party.cosigner is not None},
            wanted(layout, plan.nodes, Tolerance(plan.dropout, plan.colluding), homes), homes,
        )  # fmt: skip

    def participants(self, row: Any) -> list[str]:
        rounds = self.coordinator.rounds.rounds
        roster = rounds.roster(row)
        listed = Participants.from_blob(rounds.participants(row), Close.read(rounds.closing(row)).participants)
        return [roster.nodes[each.member].node for each in listed.members]


def signer_of(party: FakeNode) -> Signer:
    return party.statements
