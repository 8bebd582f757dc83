"""A small federation on loopback: a real coordinator, fake nodes that sign real answers, a researcher.

The fake nodes are honest unless a test sets `spoil`, which changes an answer before it leaves. The table of a sum is a plain sum,
so that these tests are of the coordinator and not of the estimation.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collegium.accounting import noise_scale
from collegium.enrolment import Keys, redeem
from collegium.errors import Invalid
from collegium.keys import load_cosigner, load_signer
from collegium.layout import compile_layout
from collegium.log.checkpoint import read_checkpoint, sign_checkpoint
from collegium.log.cosign import add_cosignatures
from collegium.log.merkle import leaf_hash
from collegium.log.note import Signer
from collegium.log.receipt import make_receipt
from collegium.log.statement import statement_id
from collegium.log.tree import LeafHashes, Tree
from collegium.log.witness import Cosign, Known, consider
from collegium.question import Bounds, Component, Question
from collegium.registry import Registry
from collegium.statements import Accounts, Blob, Decision, Details, Indicator, LogPlace, Original, PartNoise, Release, Request
from collegium.token import parse_token
from collegium.transport.channels import TlsFiles, client_channel
from collegium.transport.dial import dial_once
from collegium.transport.dispatch import handlers_of
from collegium.v1 import node_pb2, witness_pb2
from collegium.v1.federation_pb2 import AskRequest, NodesRequest, RegistryRequest, RequestsRequest, ResultRequest
from collegium.v1.federation_pb2_grpc import FederationStub
from collegium.v1.node_pb2 import AnswerReply, LearnReply, NodeStatus, QuestionAnswer
from collegium.v1.witness_pb2 import CosignReply, CosignRequest, RelayRequest
from collegium_coordinator.config import Home, Listen, Public, read_config
from collegium_coordinator.registrar import Registrar, init
from collegium_coordinator.serve import Coordinator, serving
from collegium_coordinator.store import Store

SCHEMA = """
name = "small"
version = 1
title = {en = "Small"}
[units.student]
title = {en = "student"}
[codes.sex]
1 = {en = "male"}
2 = {en = "female"}
[codes.province]
11 = {en = "Beijing"}
31 = {en = "Shanghai"}
[facts.province]
title = {en = "province"}
codes = "province"
[datasets.graduate]
title = {en = "graduates"}
unit = "student"
person = "student_id"
[datasets.graduate.columns.sex]
type = "category"
codes = "sex"
title = {en = "sex"}
"""


def plain_sum(layout: Any, _view: Any, _schema: Any, releases: Any, asked: Any) -> bytes:
    """Stands for collegium.combine: the summed tally as JSON."""
    total = np.zeros(layout.length, dtype="<i8")
    for release in releases:
        assert len(release.scales) == len(layout.parts)
        total += np.frombuffer(release.payload, dtype="<i8")
    tree = {"sum": total.tolist() if releases else None, "asked": [node.node for node in asked]}
    return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


class FakeNode:
    """Signs what a node signs, keeps the log that a node keeps, and witnesses other logs. Its tally is `value` in every cell."""

    def __init__(self, keys: Keys, registry_key: str, *, value: int = 1) -> None:
        self.statements = load_signer(keys.statements)
        self.log = load_signer(keys.log)
        self.cosigner = load_cosigner(keys.witness)
        self.keys = keys
        self.name = self.log.name.split("/")[1]
        self.registry = Registry(registry_key)
        self.value = value
        self.entries: list[bytes] = []
        self.tree = Tree(LeafHashes(lambda first, count: [leaf_hash(each) for each in self.entries[first : first + count]]))
        self.released: dict[str, tuple[bytes, bytes, bytes, int]] = {}  # by digest: decision, release, payload, index
        self.answered: dict[str, AnswerReply] = {}
        self.requests: list[Any] = []  # every AnswerRequest, as it came
        self.asked = 0
        self.hold = False
        self.gate: asyncio.Event | None = None
        self.spoil: Callable[[AnswerReply], AnswerReply] | None = None
        self.broken: Exception | None = None
        self.withdrawals: list[bytes] = []
        self.policy = b""
        self.learning: asyncio.Event | None = None
        self.endpoint: Any = None  # of the tunnel, while it is up
        self.witnessed: dict[str, Known] = {}
        self.deaf = False  # as a witness
        self.pending = 0  # so many answers are pending before the real one

    async def Status(self, _request: Any, _context: Any) -> NodeStatus:
        return NodeStatus(
            name=self.name,
            version="0",
            registry_size=self.registry.size,
            datasets=["graduate"],
            snapshot="ab" * 8,
            policy=self.policy,
        )

    async def Learn(self, request: Any, _context: Any) -> LearnReply:
        if self.learning is not None:
            await self.learning.wait()
        self.registry.extend(list(request.entries), request.checkpoint, first=request.first)
        return LearnReply(registry_size=self.registry.size)

    async def Answer(self, request: Any, _context: Any) -> AnswerReply:
        self.asked += 1
        self.requests.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if self.broken is not None:
            raise self.broken
        claimed = Request.read(request.request)
        body = Request.open(request.request, [self.registry.party(claimed.researcher).statements])
        identity = statement_id(request.request)
        if self.pending:
            self.pending -= 1
            return AnswerReply(
                answers=[QuestionAnswer(verdict=QuestionAnswer.FAILED, reason="pending") for _ in range(len(body.questions))]
            )
        reply = AnswerReply()
        if self.hold:
            reply.answers.extend(self._held(identity, n) for n in range(len(body.questions)))
        else:
            if identity not in self.answered:
                answers = [self._answer(identity, n, q) for n, q in enumerate(body.questions)]
                self.answered[identity] = AnswerReply(answers=answers)
            reply.CopyFrom(self.answered[identity])
        for answer in reply.answers:
            answer.withdrawals.extend(self.withdrawals)
        reply = await self.proven(reply)
        return self.spoil(reply) if self.spoil is not None else reply

    async def Cosign(self, request: Any, _context: Any) -> CosignReply:
        """As a witness: every origin has its key in the registry."""
        if self.deaf:
            await asyncio.sleep(60)
        origin = read_checkpoint(request.checkpoint).origin
        keys = {
            self.registry.coordinator_log.name: self.registry.coordinator_log,
            self.registry.registry_log.name: self.registry.registry_log,
        }
        keys |= {node.log.name: node.log for node in self.registry.nodes() if node.log is not None}
        known = self.witnessed.get(origin)
        verdict = consider(known, request.checkpoint, request.old_size, list(request.proof), keys[origin])
        if isinstance(verdict, Cosign):
            self.witnessed[origin] = verdict.known
            return CosignReply(
                cosignature=self.cosigner.cosign(request.checkpoint, int(time.time())), known_size=verdict.known.size
            )
        return CosignReply(known_size=known.size if known else 0, known_checkpoint=known.checkpoint if known else b"")

    # -- its log ---------------------------------------------------------------------------------------------------------------

    def sign(self, make: Callable[[LogPlace], Any]) -> bytes:
        """A statement of this node, appended to its log."""
        note: bytes = make(LogPlace(origin=self.log.name, index=len(self.entries))).sign(self.statements)
        self.entries.append(note)
        return note

    def head(self) -> bytes:
        size = len(self.entries)
        return sign_checkpoint(self.log.name, size, self.tree.root(size), self.log)

    async def checkpoint(self) -> bytes:
        """The head, cosigned by a quorum of its witnesses through the coordinator, where the registry has assigned some."""
        head = self.head()
        witnesses, quorum = self.registry.witnesses_of(self.log.name)
        lines = []
        for name in witnesses:
            old, reply = 0, CosignReply()
            while len(lines) < quorum and not reply.cosignature:
                asked = CosignRequest(checkpoint=head, old_size=old, proof=self.tree.consistency(old, len(self.entries)))
                payload = RelayRequest(witness=name, request=asked).SerializeToString()
                reply = CosignReply.FromString(await self.endpoint.call("/collegium.v1.Relay/Cosign", payload, timeout=5.0))
                old = reply.known_size
            lines += [reply.cosignature] if reply.cosignature else []
        return add_cosignatures(head, lines)

    async def proven(self, reply: AnswerReply) -> AnswerReply:
        """The reply with the receipts of this log as it is now."""
        checkpoint = await self.checkpoint()
        places = {note: index for index, note in enumerate(self.entries)}
        for answer in reply.answers:
            answer.decision_receipt = make_receipt(self.tree, places[answer.decision], checkpoint)
            if answer.release:
                answer.release_receipt = make_receipt(self.tree, places[answer.release], checkpoint)
        return reply

    def log_again(self, reply: AnswerReply) -> AnswerReply:
        """For a liar: what the reply says stands in its log where it says so, proven by receipts; the log is rewritten."""
        for answer in reply.answers:
            for note, read, receipt in (
                (answer.decision, Decision.read, "decision_receipt"),
                (answer.release, Release.read, "release_receipt"),
            ):
                with contextlib.suppress(Invalid):
                    index = read(note).log.index
                    self.entries[index : index + 1] = [note]
                    setattr(answer, receipt, make_receipt(self.tree, min(index, len(self.entries) - 1), self.head()))
        return reply

    def _held(self, identity: str, number: int) -> QuestionAnswer:
        decision = self.sign(
            lambda place: Decision(
                log=place, registry=self.registry.view(), time=1, request=identity, number=number, verdict="hold"
            )
        )
        return QuestionAnswer(verdict=QuestionAnswer.HELD, reason="held", decision=decision)

    def _answer(self, identity: str, number: int, question: Question) -> QuestionAnswer:
        layout = compile_layout(question, self.registry.schema)
        frame = {"registry": self.registry.view(), "time": 1, "request": identity, "number": number, "question": question.digest}
        old = self.released.get(question.digest)
        if old is not None:
            original = Original(index=old[3], sha256=statement_id(old[1]))
            decision = self.sign(lambda place: Decision(log=place, verdict="reuse", snapshot="ab" * 8, original=original, **frame))
            return QuestionAnswer(verdict=QuestionAnswer.RELEASED, decision=decision, release=old[1], payload=old[2])
        charged = len(self.entries)
        decision = self.sign(
            lambda place: Decision(
                log=place,
                verdict="charge",
                snapshot="ab" * 8,
                unit=layout.unit,
                period="2026",
                dataset=question.dataset,
                rho=question.rho,
                **frame,
            )
        )
        payload = np.full(layout.length, self.value, dtype="<i8").tobytes()
        release = self.sign(
            lambda place: Release(
                log=place,
                snapshot="ab" * 8,
                schema_id=question.schema_id,
                decision=charged,
                parts=tuple(PartNoise(cells=part.width, scale=repr(noise_scale(part))) for part in layout.parts),
                payload=Blob(sha256=hashlib.sha256(payload).hexdigest(), size=len(payload)),
                **frame,
            )
        )
        self.released[question.digest] = (decision, release, payload, charged + 1)
        return QuestionAnswer(verdict=QuestionAnswer.RELEASED, decision=decision, release=release, payload=payload)

    async def dial(self, port: int, ca: bytes, opened: Callable[[Any], None]) -> None:
        """One tunnel to the coordinator on this port, from dialling to its end."""
        chain, key = self.keys.tls()
        handlers = handlers_of(self, node_pb2.DESCRIPTOR.services_by_name["Node"])
        handlers |= handlers_of(self, witness_pb2.DESCRIPTOR.services_by_name["Witness"])
        me = TlsFiles(ca, chain, key)

        def up(endpoint: Any) -> None:
            self.endpoint = endpoint
            opened(endpoint)

        await dial_once(lambda: client_channel(f"127.0.0.1:{port}", ca=ca, server="coordinator", me=me), handlers, up)

    @asynccontextmanager
    async def connected(self, port: int, ca: bytes) -> AsyncIterator[None]:
        """A tunnel to the coordinator on this port while the block runs."""
        up = asyncio.Event()
        task = asyncio.ensure_future(self.dial(port, ca, lambda _: up.set()))
        waiting = asyncio.ensure_future(up.wait())
        try:
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            yield
        finally:
            for each in (task, waiting):
                each.cancel()
            await asyncio.gather(task, waiting, return_exceptions=True)


class Researcher:
    """Builds, signs and sends requests."""

    def __init__(self, keys: Keys, ca: bytes, registry_key: str) -> None:
        self.keys = keys
        self.ca = ca
        self.signer: Signer = load_signer(keys.statements)
        self.name = self.signer.name.split("/")[1]
        self.registry_key = registry_key

    @asynccontextmanager
    async def line(self, port: int) -> AsyncIterator[Any]:
        chain, key = self.keys.tls()
        channel = client_channel(f"127.0.0.1:{port}", ca=self.ca, server="coordinator", me=TlsFiles(self.ca, chain, key))
        try:
            yield FederationStub(channel)
        finally:
            await channel.close()

    async def registry(self, stub: Any) -> Registry:
        registry = Registry(self.registry_key)
        reply = await stub.Registry(RegistryRequest(first=0))
        registry.extend(list(reply.entries), reply.checkpoint, first=0)
        return registry

    def request(self, registry: Registry, audience: list[str], /, **changes: Any) -> AskRequest:
        details = Details.of(changes.pop("purpose", "a test"))
        question = changes.pop("question", None) or question_of()
        now = int(time.time())
        body = {
            "researcher": self.name,
            "audience": tuple(sorted(audience)),
            "time": now,
            "expiry": now + 3600,
            "nonce": "0" * 32,
            "details": details.digest,
            "questions": (question,),
            "views": ({"measures": [{"label": "n", "kind": "value", "parts": [0]}], "columns": [{"measure": 0}], "facts": []},),
            "registry": registry.view(),
        } | changes
        return AskRequest(request=Request(**body).sign(self.signer), details=details.to_blob())


def question_of(rho: int = 10**7) -> Question:
    return Question(
        dataset="graduate",
        components=(Component(kind="people", rho=rho),),
        bounds=Bounds(max_groups=1, max_rows=1),
        schema_id="small/1",
    )


class Federation:
    """A founded federation in a folder, and what tests do with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "coordinator")
        self.registry_folder = folder / "registry-key"
        self.offset = 0.0  # added to the coordinator's clock
        self.founded = init(
            self.home,
            self.registry_folder,
            federation="demo",
            schema=SCHEMA,
            delta="1e-6",
            listen=Listen(main="127.0.0.1:0", enrolment="127.0.0.1:0"),
            public=Public(main="127.0.0.1:1", enrolment="127.0.0.1:1", hosts=("127.0.0.1", "localhost")),
            clock=self.clock,
        )
        self.ca = self.home.ca_certificate.read_bytes()
        self.ports: Any = None
        self.coordinator: Any = None

    def clock(self) -> float:
        return time.time() + self.offset

    def registrar(self) -> Registrar:
        return Registrar(self.home, self.registry_folder, clock=self.clock)

    def invite(self, role: str, name: str, **more: Any) -> str:
        registrar = self.registrar()
        try:
            facts = {"province": "11"} if role == "node" else {}
            return registrar.invite(
                role, name, **({"facts": facts, "enrolment": 100 if role == "node" else 0, "expires": 3600} | more)
            )
        finally:
            registrar.close()

    def revoke(self, name: str) -> None:
        registrar = self.registrar()
        try:
            registrar.revoke(name, "test")
        finally:
            registrar.close()

    @asynccontextmanager
    async def serving(self, **asking: Any) -> AsyncIterator[Any]:
        config = read_config(self.home)
        settings = {"deadline_seconds": 10.0, "again_seconds": 0.2, "reconnect_seconds": 5.0} | asking
        combine = settings.pop("combine", plain_sum)
        config = config.model_copy(update={"asking": config.asking.model_copy(update=settings)})
        with serving(self.home):
            coordinator = Coordinator(self.home, config, combine=combine, clock=self.clock)
            self.ports = await coordinator.start(config.listen)
            self.coordinator = coordinator
            try:
                yield coordinator
            finally:
                await coordinator.stop(grace=0.2)

    async def join(self, role: str, name: str, **more: Any) -> Keys:
        """Invite and redeem over the real enrolment port."""
        token = await asyncio.to_thread(self.invite, role, name, **more)
        keys = Keys(self.folder / "parties" / name)
        await asyncio.to_thread(redeem, self.at_home(token), keys, clock=time.time)
        return keys

    def at_home(self, token: str) -> Any:
        """The token with the port that the operating system gave."""
        return dataclasses.replace(parse_token(token), address=f"127.0.0.1:{self.ports.enrolment}")

    async def node(self, name: str, **more: Any) -> FakeNode:
        value = more.pop("value", 1)
        return FakeNode(await self.join("node", name, **more), self.founded.registry_vkey, value=value)

    async def researcher(self, name: str = "alice") -> Researcher:
        return Researcher(await self.join("researcher", name), self.ca, self.founded.registry_vkey)

    def link(self, node: FakeNode) -> Any:
        return node.connected(self.ports.main, self.ca)

    async def until(self, holds: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for a state; fails when it does not come."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "the state did not come"
            await asyncio.sleep(0.02)

    async def all_connected(self, *nodes: FakeNode) -> None:
        await self.until(lambda: all(self.coordinator.nodes.connected(node.name) for node in nodes))

    async def ask(self, stub: Any, request: AskRequest) -> Any:
        """The last progress."""
        last = None
        async for progress in stub.Ask(request):
            last = progress
        return last

    def seen(self, parts: dict[str, list[Any]]) -> Seen:
        """The first question's indicator in a bundle, verified, with its accounts."""
        return Seen(parts, Indicator.open(parts["indicator"][0], [self.coordinator.registry.registry.coordinator]))

    @staticmethod
    def read(parts: dict[str, list[Any]]) -> Seen:
        """The same without the signature: the coordinator is another process."""
        return Seen(parts, Indicator.read(parts["indicator"][0]))

    async def result(self, stub: Any, identity: str, **more: Any) -> dict[str, list[Any]]:
        """All parts of a bundle by kind."""
        parts: dict[str, list[Any]] = {}
        async for part in stub.Result(ResultRequest(request_id=identity, **({"wait_seconds": 5.0} | more))):
            kind = part.WhichOneof("part")
            parts.setdefault(kind, []).append(getattr(part, kind))
        return parts

    def open_store(self) -> Store:
        """The database of a coordinator that is not serving."""
        return Store(self.home.database)


class Seen:
    """A signed indicator together with the accounts it names."""

    def __init__(self, parts: dict[str, list[Any]], indicator: Indicator) -> None:
        blobs = {hashlib.sha256(blob).hexdigest(): blob for blob in parts["blob"]}
        self.indicator = indicator
        self.accounts = Accounts.from_blob(blobs[indicator.accounts.sha256], indicator)
        self.releases = self.accounts.releases
        self.missing = self.accounts.missing

    def __getattr__(self, name: str) -> Any:
        return getattr(self.indicator, name)


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(tmp_path)


@pytest.fixture
def messages() -> Any:
    """Message classes for tests that call the service directly."""

    class Messages:
        nodes = NodesRequest
        requests = RequestsRequest
        registry = RegistryRequest
        result = ResultRequest
        ask = AskRequest

    return Messages


@pytest.fixture
def make_question() -> Callable[..., Question]:
    return question_of


@pytest.fixture
def schema_text() -> str:
    return SCHEMA
