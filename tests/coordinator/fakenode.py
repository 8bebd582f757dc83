"""A node of these tests: it signs what a node signs, and keeps the log that a node keeps."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from collegium.accounting import noise_scale
from collegium.enrolment import Keys
from collegium.errors import Invalid
from collegium.keys import load_cosigner, load_signer
from collegium.layout import compile_layout
from collegium.log.checkpoint import read_checkpoint, sign_checkpoint
from collegium.log.cosign import add_cosignatures
from collegium.log.merkle import leaf_hash
from collegium.log.receipt import make_receipt
from collegium.log.statement import statement_id
from collegium.log.tree import LeafHashes, Tree
from collegium.log.witness import Cosign, Known, consider
from collegium.question import Question
from collegium.registry import Registry
from collegium.statements import Blob, Decision, LogPlace, Original, PartNoise, Release, Request
from collegium.transport.channels import TlsFiles, client_channel
from collegium.transport.dial import dial_once
from collegium.transport.dispatch import handlers_of
from collegium.v1 import node_pb2, witness_pb2
from collegium.v1.node_pb2 import AnswerReply, LearnReply, NodeStatus, QuestionAnswer
from collegium.v1.node_pb2_grpc import NodeServicer
from collegium.v1.witness_pb2 import CosignReply, CosignRequest, RelayRequest

__all__ = ["FakeNode"]


class FakeNode(NodeServicer):
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
        self.snapshot = "ab" * 8
        self.pending = 0  # so many answers are pending before the real one

    async def Status(self, _request: Any, _context: Any) -> NodeStatus:
        return NodeStatus(
            name=self.name,
            version="0",
            registry_size=self.registry.size,
            datasets=["graduate"],
            snapshot=self.snapshot,
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
        parties = [*self.registry.nodes(), *self.registry.trustees()]
        keys |= {party.log.name: party.log for party in parties if party.log is not None}
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
            if not answer.decision:
                continue
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
            decision = self.sign(
                lambda place: Decision(log=place, verdict="reuse", snapshot=self.snapshot, original=original, **frame)
            )
            return QuestionAnswer(verdict=QuestionAnswer.RELEASED, decision=decision, release=old[1], payload=old[2])
        charged = len(self.entries)
        decision = self.sign(
            lambda place: Decision(
                log=place,
                verdict="charge",
                snapshot=self.snapshot,
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
                snapshot=self.snapshot,
                schema_id=question.schema_id,
                decision=charged,
                parts=tuple(PartNoise(cells=part.width, scale=repr(noise_scale(part))) for part in layout.parts),
                payload=Blob(sha256=hashlib.sha256(payload).hexdigest(), size=len(payload)),
                **frame,
            )
        )
        self.released[question.digest] = (decision, release, payload, charged + 1)
        return QuestionAnswer(verdict=QuestionAnswer.RELEASED, decision=decision, release=release, payload=payload)

    def handlers(self) -> dict[str, Any]:
        """What the coordinator may call down the tunnel."""
        node = handlers_of(self, node_pb2.DESCRIPTOR.services_by_name["Node"])
        return node | handlers_of(self, witness_pb2.DESCRIPTOR.services_by_name["Witness"])

    async def dial(self, port: int, ca: bytes, opened: Callable[[Any], None]) -> None:
        """One tunnel to the coordinator on this port, from dialling to its end."""
        chain, key = self.keys.tls()
        handlers = self.handlers()
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
