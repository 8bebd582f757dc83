"""A federation for attacks: a real coordinator, real nodes with real ledgers and logs, and an auditor who gets the folders.

Only the counting is not real: the engine draws random integers, because no attack here is about what a tally holds.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from onenode import WatchedEngine

from collegium.audit.run import audit
from collegium.audit.verdict import Findings, Word
from collegium.bundle import KINDS, Bundle
from collegium.enrolment import redeem
from collegium.keys import load_signer
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.export import export as write_log
from collegium.log.merkle import leaf_hash, root
from collegium.party import publish
from collegium.party.cosigning import Cosigning
from collegium.party.lines import Lines
from collegium.party.logservice import WitnessService
from collegium.party.receipts import Receipts
from collegium.party.relay import TunnelRelay
from collegium.party.witness import Witnessing
from collegium.registry import Registry
from collegium.transport.channels import TlsFiles, client_channel
from collegium.transport.dial import dial_once
from collegium.transport.dispatch import handlers_of
from collegium.transport.peer import COORDINATOR, Peer
from collegium.transport.status import to_public_status
from collegium.trustfile import trust_of
from collegium.v1.federation_pb2 import RegistryRequest, ResultRequest
from collegium_coordinator.indicator import national_table
from collegium_coordinator.logs import export_logs
from collegium_node.answer import Answering
from collegium_node.home import Home, Membership
from collegium_node.serve import NODE, WITNESS
from collegium_node.service import NodeService
from collegium_node.shelf import Shelved, add
from collegium_node.steward import InForce, sign_draft


def _small_federation() -> Any:
    """The coordinator's own test federation: found, invite, serve, join."""
    path = Path(__file__).parents[1] / "coordinator" / "conftest.py"
    spec = importlib.util.spec_from_file_location("coordinator_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


COORDINATOR_TESTS = _small_federation()
POLICY = '[budget.student]\nperiod = "year"\nrho = 1000\nlifetime_rho = 10000\n[[allow]]\nresearcher = "alice"\ndatasets = "*"\n'
SNAPSHOT = "00000000000000a1"


class Lying:
    """A node's service whose answers pass through `lie` when there is one."""

    def __init__(self, honest: NodeService) -> None:
        self.Status, self.Learn, self._answer = honest.Status, honest.Learn, honest.Answer
        self.Submit, self.Closed = honest.Submit, honest.Closed
        self.lie: Callable[[Any], Any] | None = None

    async def Answer(self, request: Any, context: Any) -> Any:
        reply = await self._answer(request, context)
        return self.lie(reply) if self.lie is not None else reply


class Node:
    """One real node on its own tunnel. `said.lie` makes it a dishonest one."""

    def __init__(self, home: Home, fed: Any) -> None:
        self.home = home
        self.name = home.membership().name
        self.fed = fed
        self.node = home.open(time.time, verify=True)
        self.engine = WatchedEngine()
        self.lines = Lines(io.StringIO())
        self.answering = Answering(
            name=self.name, journal=self.node.journal, members=self.node.members, policy=InForce(self.node.journal),
            engine=self.engine, receipts=Receipts(self.node.journal, self.node.quorum), clock=time.time, lines=self.lines,
        )  # fmt: skip
        self.service = NodeService(self.node, self.answering, self.lines, max_parallel=2, on_broken=lambda: None)
        self.said = Lying(self.service)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        peer = Peer("demo", COORDINATOR, COORDINATOR)
        handlers = handlers_of(self.said, NODE, peer=peer, status=to_public_status)
        witnessing = WitnessService(Witnessing(self.node, time.time), self.service.small)
        handlers |= handlers_of(witnessing, WITNESS, peer=peer, status=to_public_status)
        live: list[Any] = []
        up = asyncio.Event()

        def opened(endpoint: Any) -> None:
            live[:] = [endpoint]
            up.set()

        chain, key = self.home.keys.tls()
        me = TlsFiles(self.fed.ca, chain, key)
        channel = partial(client_channel, f"127.0.0.1:{self.fed.ports.main}", ca=self.fed.ca, server="coordinator", me=me)
        tasks = [
            asyncio.ensure_future(dial_once(channel, handlers, opened)),
            asyncio.ensure_future(Cosigning(self.node, TunnelRelay(live), self.lines).run()),
        ]
        try:
            await asyncio.wait_for(up.wait(), 10)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.service.drain()

    def prepare(self) -> None:
        """A snapshot and a policy, signed. The registry with the researcher in it must have been learnt."""
        with self.node.journal.write("snapshot") as log:
            add(log.db, Shelved(SNAPSHOT, "one", int(time.time()), "small/1", ("graduate",), True))
        self.home.policy_file.write_text(POLICY)
        sign_draft(self.node)


class Fed:
    """The running federation, from the attacker's and the auditor's chairs."""

    def __init__(self, small: Any, nodes: list[Node], alice: Any, stub: Any) -> None:
        self.small = small
        self.nodes = nodes
        self.alice = alice
        self.stub = stub
        self.asked = 0

    @property
    def coordinator(self) -> Any:
        return self.small.coordinator

    @property
    def registry(self) -> Registry:
        return self.coordinator.registry.registry  # type: ignore[no-any-return]

    async def request(self, *audience: str, **changes: Any) -> Any:
        self.asked += 1
        registry = await self.alice.registry(self.stub)
        return self.alice.request(registry, list(audience) or [n.name for n in self.nodes], nonce=f"{self.asked:032x}", **changes)

    async def ask(self, *audience: str, **changes: Any) -> Any:
        done = await self.small.ask(self.stub, await self.request(*audience, **changes))
        await self.bundle(done.request_id)
        return done

    async def bundle(self, identity: str, **more: Any) -> Bundle:
        bundle = Bundle()
        async for part in self.stub.Result(ResultRequest(request_id=identity, **({"wait_seconds": 5.0} | more))):
            kind = part.WhichOneof("part")
            if kind == "receipt":
                bundle.add("receipt", part.receipt.proof, part.receipt.statement)
            elif kind in KINDS:
                bundle.add(kind, getattr(part, kind))
        return bundle

    async def export(self, folder: Path) -> Path:
        """What every party publishes, each from its own database."""
        sources = self.coordinator.logs._sources
        named = {"registry": sources["demo/registry"], "coordinator": sources["demo/coordinator"]}
        await asyncio.to_thread(export_logs, named, folder)
        for node in self.nodes:
            await asyncio.to_thread(publish.export, node.node, folder)
        return folder

    async def audit(self, folder: Path) -> Findings:
        registry = Registry(self.small.founded.registry_vkey)
        reply = await self.stub.Registry(RegistryRequest(first=0))
        registry.extend(list(reply.entries), reply.checkpoint)
        return (await asyncio.to_thread(audit, folder, trust_of(registry), workers=1)).findings

    def forge(self, folder: Path, honest: Any, entries: list[bytes], key: Path) -> None:
        """Publish, instead of the log `honest`, one of these entries, properly signed by the log's own key."""
        log = load_signer(key)
        leaves = [leaf_hash(entry) for entry in entries]

        class Forged:
            blobs, blob, receipts = honest.blobs, honest.blob, honest.receipts

            def checkpoint(self) -> bytes:
                return sign_checkpoint(log.name, len(entries), root(leaves), log)

            def entries(self, first: int, count: int) -> list[bytes]:
                return entries[first : first + count]

            def leaves(self, first: int, count: int) -> list[bytes]:
                return leaves[first : first + count]

        shutil.rmtree(folder)
        write_log(Forged(), log.verifier, folder)


def failures(findings: Findings) -> set[tuple[str, str]]:
    """(check, party) of every proven violation."""
    return {(each.check, each.party) for each in findings.list if each.word is Word.FAIL}


def scene(folder: Path, play: Callable[[Fed], Any], *, nodes: int = 2, witnessed: bool = False, **serving: Any) -> None:
    async def run() -> None:
        small = COORDINATOR_TESTS.Federation(folder / "federation")
        settings = {"combine": national_table, "again_seconds": 600.0} | serving
        async with small.serving(**settings), AsyncExitStack() as stack:
            alice = await small.researcher()
            members = []
            for number in range(1, nodes + 1):
                name = f"u{number}"
                token = await asyncio.to_thread(small.invite, "node", name)
                home = Home(folder / name)
                home.root.mkdir()
                await asyncio.to_thread(redeem, small.at_home(token), home.keys, clock=time.time)
                home.remember(Membership("demo", name, "x:1", "x:2", small.founded.registry_vkey, small.ca.decode(), "0" * 64))
                node = Node(home, small)
                stack.callback(node.node.close)
                await stack.enter_async_context(node.connected())
                members.append(node)
            await small.all_connected(*members)
            if witnessed:
                registrar = small.registrar()
                await asyncio.to_thread(registrar.assign_witnesses, 3)
                registrar.close()
                await asyncio.to_thread(small.coordinator.registry.refresh)
                small.coordinator._grown()
            await small.until(lambda: all(n.node.members.registry.size == small.coordinator.registry.size for n in members))
            if witnessed:
                await small.until(lambda: all(n.node.permit.confirmed for n in members), 20.0)
            for node in members:
                await asyncio.to_thread(node.prepare)
            stub = await stack.enter_async_context(alice.line(small.ports.main))
            await play(Fed(small, members, alice, stub))

    asyncio.run(run())
