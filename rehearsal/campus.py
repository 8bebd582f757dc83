"""One university of many in a process: its own keys, log, ledger, policy, certificate and tunnel; `collegium-node`'s own parts.

Three things differ from a `collegium-node serve` of its own. The registry is verified once for all universities of the process
(`SharedMembers`): at 3,074 universities each copy would be verified in some seconds and weigh some 30 MB, 3,074 times over. Few of
them compute at once (`TakingTurns`). And nobody looks whether a certificate is due: none is within a rehearsal.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from collegium.keys import load_signer
from collegium.log.statement import read_statement
from collegium.party.cosigning import Cosigning
from collegium.party.dialling import Dialling
from collegium.party.home import Opened
from collegium.party.journal import Journal
from collegium.party.lines import Lines
from collegium.party.logservice import LogService, WitnessService
from collegium.party.members import Members
from collegium.party.permit import Permit
from collegium.party.quorum import Quorum
from collegium.party.receipts import Receipts
from collegium.party.serving import Stop
from collegium.party.store import Store
from collegium.party.witness import Witnessing
from collegium.registry import Registry
from collegium.v1 import log_pb2, node_pb2, witness_pb2
from collegium_node import shelf
from collegium_node.answer import Answering
from collegium_node.embedded import Embedded
from collegium_node.home import Home, Node
from collegium_node.policy import Policy, Rule
from collegium_node.service import NodeService
from collegium_node.steward import InForce, sign_if_changed
from rehearsal.rows import Kind

__all__ = ["Campus", "SharedMembers"]

NODE = node_pb2.DESCRIPTOR.services_by_name["Node"]
LOG = log_pb2.DESCRIPTOR.services_by_name["Log"]
WITNESS = witness_pb2.DESCRIPTOR.services_by_name["Witness"]
POLL = 30.0  # seconds: no steward's command writes to these databases, and 3,074 looks a second would be all that is done here
BUDGET = 10**12  # nano-rho: a rehearsal is not to end because a budget does


class SharedMembers(Members):
    """A university's copy of the registry, verified once in this process and shared by all of its universities."""

    one = Registry(None)
    before = Registry(None)
    """The registry before any witness was assigned: a steward signs the first policy then, with nobody to wait for."""
    lock = threading.Lock()

    def __init__(self, store: Store, key: str, name: str, role: str, own_key: str) -> None:
        super().__init__(store, key, name, role, own_key)
        self._store, self._lock, self._registry = store, self.lock, self.one

    @classmethod
    def begin(cls, entries: Sequence[bytes], checkpoint: bytes, key: str) -> None:
        """Verify what the registry holds at the beginning."""
        cls.one = cls.before = Registry(key)
        cls.one.extend(entries, checkpoint)
        assigned = next((at for at, entry in enumerate(entries) if read_statement(entry)[1].get("what") == "witnesses"), None)
        if assigned is not None:
            cls.before = Registry(key)
            cls.before.extend(entries[:assigned])

    @property
    def registry(self) -> Registry:
        return self._registry

    def look_at(self, registry: Registry) -> None:
        self._registry = registry

    def learn(self, first: int, entries: Sequence[bytes], checkpoint: bytes) -> int:
        """What is new is verified by whoever hears of it first; each university notes the checkpoint in its own database."""
        with self._store.write("learn") as db, self._lock:
            if first + len(entries) > self._registry.size:
                self._registry.extend(entries, checkpoint, first=first)
            view = self._registry.view()
            note = self._registry.checkpoint or checkpoint
            db.execute("INSERT OR REPLACE INTO registry_head VALUES (1, ?, ?, ?)", (view.size, view.root, note))
            return self._registry.size


def open_node(home: Home, clock: Callable[[], float] = time.time) -> Node:
    """As `Home.open` does, with the shared registry."""
    membership = home.membership()
    statements, log = load_signer(home.keys.statements), load_signer(home.keys.log)
    store = Store(home.database, home.steps, program=home.program)
    journal = Journal(store, statements, log, clock)
    members = SharedMembers(store, membership.registry, membership.name, home.role, statements.vkey)
    permit = Permit(store, members, journal.origin, home.serve_lock, home.program)
    journal.guard = permit
    return Opened(home, membership, store, journal, members, permit, Quorum(journal, members, clock))


class TellingLines(Lines):
    """A university's log lines, in the file of its process; its tunnel's coming and going is told to the process."""

    def __init__(self, stream: TextIO, name: str, told: Callable[[int], None]) -> None:
        super().__init__(stream)
        self._name, self._told, self._connected = name, told, False

    def event(self, event: str, /, **fields: str | int | bool) -> None:
        if event in ("connected", "disconnected"):
            now = event == "connected"
            self._told(now - self._connected)
            self._connected = now
        super().event(event, node=self._name, **fields)


class TakingTurns(NodeService):
    """Few universities of a process compute at once: a thousand threads that all want to would leave its tunnels no turn."""

    turns = asyncio.Semaphore(4)

    async def Answer(self, request: node_pb2.AnswerRequest, context: Any) -> node_pb2.AnswerReply:
        async with self.turns:
            return await super().Answer(request, context)

    async def Submit(self, request: node_pb2.SubmitRequest, context: Any) -> node_pb2.SubmitReply:
        async with self.turns:
            return await super().Submit(request, context)

    async def Closed(self, request: node_pb2.ClosedRequest, context: Any) -> node_pb2.ClosedReply:
        async with self.turns:
            return await super().Closed(request, context)


class Campus:
    """A university that serves while `run` runs.

    Args:
        kind: its rows.
        stream: where its log lines go.
        told: called with +1 when its tunnel has been opened and -1 when it has ended.
    """

    def __init__(self, home: Home, kind: Kind, researcher: str, stream: TextIO, told: Callable[[int], None]) -> None:
        self.node = node = open_node(home)
        self.name = node.membership.name
        self.lines = lines = TellingLines(stream, self.name, told)
        node.members.learn(0, (), b"")  # notes the shared registry's checkpoint as its own
        assert isinstance(node.members, SharedMembers)
        node.members.look_at(SharedMembers.before)
        self._policy(kind, researcher)
        node.members.look_at(SharedMembers.one)
        answering = Answering(
            name=self.name, journal=node.journal, members=node.members, policy=InForce(node.journal),
            engine=Embedded(kind.root, kind.secret), receipts=Receipts(node.journal, node.quorum), clock=time.time, lines=lines,
        )  # fmt: skip
        service = TakingTurns(node, answering, lines, max_parallel=1, on_broken=lambda: lines.event("broken"))
        self.services = (
            (service, NODE),
            (LogService(node, service.small), LOG),
            (WitnessService(Witnessing(node, time.time), service.small), WITNESS),
        )

    def _policy(self, kind: Kind, researcher: str) -> None:
        """The steward's word, signed into the log: the snapshot, and that this researcher may ask anything."""
        snapshot, rule = kind.snapshot, {"researcher": researcher, "key": self.node.members.researcher(researcher)}
        if "release" in Rule.model_fields:
            rule["release"] = ("per_node", "national")  # type: ignore[assignment]
        budget = {"student": {"period": "year", "rho": BUDGET, "lifetime": BUDGET}}
        policy = Policy.from_json({"budget": budget, "allow": [{**rule, "datasets": ["*"]}]})
        with self.node.journal.write("policy") as log:
            shelved = shelf.Shelved(
                snapshot.id, snapshot.name, snapshot.time, snapshot.schema, tuple(snapshot.datasets), True, snapshot.absent
            )
            shelf.add(log.db, shelved)
            sign_if_changed(log, policy)

    async def run(self, stop: Stop) -> None:
        """Dial, again for ever, and keep the log cosigned, until `stop`."""
        line = Dialling(self.node, self.services, self.lines, proxy="")
        cosigning = asyncio.create_task(Cosigning(self.node, line.relay, self.lines, poll=POLL).run())
        try:
            await line.run(stop)
        finally:
            cosigning.cancel()
            await asyncio.gather(cosigning, return_exceptions=True)
