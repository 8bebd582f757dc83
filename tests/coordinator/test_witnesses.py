"""Witnesses of the coordinator's two logs and of the nodes' logs, through real tunnels.

Counts as failure: a figure that goes out without its quorum, a request sent to nodes without one, an answer taken without one, a
restored database that signs on, a relay that reaches more than witnesses.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from collegium.enrolment import Keys, redeem
from collegium.errors import CollegiumError, Failed, Invalid
from collegium.log.cosign import check_quorum
from collegium.log.receipt import Receipt, verify_receipt
from collegium.proof import LogRule, Prover
from collegium.registration import least_quorum
from collegium.transport.status import TunnelError
from collegium.v1.witness_pb2 import CosignReply, CosignRequest, RelayRequest
from collegium.v1.witness_pb2_grpc import RelayStub
from collegium_coordinator.cosigning import REFRESH
from collegium_coordinator.permit import CONFIRMED
from collegium_coordinator.registrar import Registrar, _parts, assignments
from collegium_coordinator.witnesses import log_lines


class Scene:
    def __init__(self, federation: Any, nodes: list[Any], alice: Any, stub: Any) -> None:
        self.federation = federation
        self.nodes = nodes
        self.alice = alice
        self.stub = stub

    @property
    def registry(self) -> Any:
        return self.federation.coordinator.registry.registry

    async def request(self, **changes: Any) -> Any:
        return self.alice.request(await self.alice.registry(self.stub), [node.name for node in self.nodes], **changes)

    async def ask(self, **changes: Any) -> Any:
        return await self.federation.ask(self.stub, await self.request(**changes))


async def assign(federation: Any, each: int = 3) -> None:
    registrar = federation.registrar()
    try:
        await asyncio.to_thread(registrar.assign_witnesses, each)
    finally:
        registrar.close()
    await asyncio.to_thread(federation.coordinator.registry.refresh)
    federation.coordinator._grown()


def scene(federation: Any, play: Callable[[Scene], Any], *, nodes: int = 4, assigned: bool = True, **asking: Any) -> None:
    async def run() -> None:
        async with federation.serving(**asking), AsyncExitStack() as stack:
            members = [await federation.node(f"u{n}", value=n) for n in range(1, nodes + 1)]
            alice = await federation.researcher()
            for node in members:
                await stack.enter_async_context(federation.link(node))
            await federation.all_connected(*members)
            if assigned:
                await assign(federation)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            await play(Scene(federation, members, alice, stub))

    asyncio.run(run())


# -- who witnesses what --------------------------------------------------------------------------------------------------------


def test_every_log_has_three_witnesses_other_than_its_owner_and_assigning_again_changes_nothing(federation: Any) -> None:
    async def play(s: Scene) -> None:
        origins = ["demo/registry", "demo/coordinator", *(f"demo/u{n}" for n in range(1, 5))]
        for origin in origins:
            keys, quorum = s.registry.witnesses_of(origin)
            assert len(keys) == 3
            assert quorum == least_quorum(3)
            assert origin.split("/")[1] not in keys
        assert assignments(s.registry, 3) == []
        # One leaves: its logs get another witness, and keep those they have.
        before = {origin: set(s.registry.witnesses_of(origin)[0]) for origin in origins}
        await s.federation.node("u5")
        await asyncio.to_thread(s.federation.revoke, "u1")
        await assign(s.federation)
        for origin in [*origins[:2], *origins[3:], "demo/u5"]:
            now = set(s.registry.witnesses_of(origin)[0])
            assert len(now) == 3
            assert "u1" not in now
            assert before.get(origin, now) - {"u1"} <= now

    scene(federation, play)


def test_too_few_nodes_go_without_and_a_country_takes_several_entries(federation: Any) -> None:
    async def play(s: Scene) -> None:
        assert assignments(s.registry, 3) == []
        await s.federation.node("u3")
        changed = {log.origin: log.witnesses for log in assignments(s.registry, 3)}
        assert changed == {"demo/coordinator": ("u1", "u2", "u3"), "demo/registry": ("u1", "u2", "u3")}

    scene(federation, play, nodes=2, assigned=False)
    from collegium.registration import WitnessedLog

    logs = [WitnessedLog(origin=f"demo/{'u' * 50}{n:04d}", witnesses=("a", "b", "c"), quorum=2) for n in range(3000)]
    parts = list(_parts(logs))
    assert [log for part in parts for log in part] == logs
    assert len(parts) > 1


# -- receipts with the quorum --------------------------------------------------------------------------------------------------


def test_everything_goes_out_with_the_quorum_of_its_log(federation: Any) -> None:
    async def play(s: Scene) -> None:
        done = await s.ask()
        assert done.released == 4
        parts = await s.federation.result(s.stub, done.request_id)
        receipts = {each.statement: each.proof for each in parts["receipt"]}
        assert len(receipts) == 2 + 2 * 4  # request, indicator; a decision and a release of each node
        own = LogRule.of(s.registry, s.registry.coordinator_log)
        assert own.quorum
        prover = Prover()
        for note in (*parts["request"], *parts["indicator"]):
            prover.prove(receipts[_id(note)], note, own)
        for kind in ("decision", "release"):
            for note in parts[kind]:
                name = note.split(b'"origin":"demo/')[1].split(b'"')[0].decode()
                rule = LogRule.of(s.registry, s.registry.party(name).log)
                assert rule.quorum
                prover.prove(receipts[_id(note)], note, rule)
        # What the nodes got: the proof that the request is in the coordinator's log.
        keys, quorum = s.registry.witnesses_of("demo/coordinator")
        for node in s.nodes:
            verify_receipt(node.requests[0].receipt, parts["request"][0], s.registry.coordinator_log, witnesses=keys, quorum=quorum)

    scene(federation, play)


def test_both_logs_are_confirmed_and_the_lines_say_so(federation: Any) -> None:
    async def play(s: Scene) -> None:
        await s.ask()
        coordinator = s.federation.coordinator

        def lines() -> dict[str, Any]:
            found = log_lines(coordinator.store, s.registry, s.federation.clock())
            return {line["origin"]: line for line in found}

        await s.federation.until(lambda: all(lines()[o]["backlog"] == 0 for o in ("demo/coordinator", "demo/registry")))
        for origin, line in lines().items():
            assert line["quorum"] == 2, origin
            assert line["backlog"] == 0, origin
            assert line["age"] is not None, origin
            assert line["age"] < 60, origin
            assert line["reachable"] == 3, origin
        coordinator.metrics.write()
        text = s.federation.home.metrics.read_text()
        for figure in ("log_backlog_entries", "log_quorum_age_seconds", "log_witnesses_reachable", "log_may_sign"):
            assert text.count(f"collegium_coordinator_{figure}{{log=") == 2, figure
        assert 'collegium_coordinator_log_witnesses_reachable{log="demo/registry"} 3.0\n' in text
        assert 'collegium_coordinator_log_may_sign{log="demo/coordinator"} 1.0\n' in text
        # A witness that is gone is counted out, and a quiet log is confirmed again.
        before = coordinator.store.row("SELECT time FROM cosigned WHERE origin = 'demo/registry'")[0]
        s.federation.offset = REFRESH + 1
        await s.federation.until(
            lambda: coordinator.store.row("SELECT time FROM cosigned WHERE origin = 'demo/registry'")[0] > before + REFRESH
        )
        gone = s.nodes[0]
        await gone.endpoint.close()
        await s.federation.until(lambda: not coordinator.nodes.connected(gone.name))
        await s.federation.until(lambda: lines()["demo/u2"]["reachable"] == 2)
        assert all(line["reachable"] is None for line in log_lines(coordinator.store, s.registry, 0.0, serving=False))
        note = coordinator.store.row("SELECT note FROM cosigned WHERE origin = 'demo/registry'")[0]
        check_quorum(note, *s.registry.witnesses_of("demo/registry"))
        # Researchers get the registry with these cosignatures.
        reply = await s.alice.registry(s.stub)
        check_quorum(reply.checkpoint, *s.registry.witnesses_of("demo/registry"))

    scene(federation, play)


def test_without_its_quorum_no_node_is_asked_and_the_question_goes_on_by_itself(federation: Any) -> None:
    async def play(s: Scene) -> None:
        keys, _ = s.registry.witnesses_of("demo/coordinator")
        for node in s.nodes:
            node.deaf = node.name in keys
        done = await s.ask()
        assert (done.released, done.missing) == (0, 4)
        assert [node.asked for node in s.nodes] == [0] * 4
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await s.federation.result(s.stub, done.request_id, wait_seconds=0.0)
        assert "witnesses have not yet confirmed" in refused.value.details()
        for node in s.nodes:
            node.deaf = False
        assert await s.federation.coordinator.cosigning.confirmed("demo/coordinator", 2, 20.0)
        s.federation.offset = 5.0
        parts = await s.federation.result(s.stub, done.request_id, refresh=True, wait_seconds=10.0)
        assert len(parts["release"]) == 4

    scene(federation, play, deadline_seconds=2.0, again_seconds=1.0)


def test_a_node_whose_log_waits_for_witnesses_is_asked_again_within_the_deadline(federation: Any) -> None:
    async def play(s: Scene) -> None:
        s.nodes[0].pending = 2
        done = await s.ask()
        assert done.released == 4
        assert s.nodes[0].asked == 3
        assert s.nodes[1].asked == 1

    scene(federation, play, assigned=False)


def test_a_pending_node_is_missing_when_the_deadline_ends_and_joins_later(federation: Any) -> None:
    async def play(s: Scene) -> None:
        s.nodes[0].pending = 1000
        done = await s.ask()
        assert (done.released, done.missing) == (3, 1)
        seen = s.federation.seen(await s.federation.result(s.stub, done.request_id))
        assert [(each.node, each.reason) for each in seen.missing] == [("u1", "pending")]
        s.nodes[0].pending = 0
        s.federation.offset = 5.0
        parts = await s.federation.result(s.stub, done.request_id, refresh=True)
        assert len(s.federation.seen(parts).releases) == 4

    scene(federation, play, assigned=False, deadline_seconds=1.5, again_seconds=600.0)


def test_a_release_without_the_quorum_is_not_taken(federation: Any) -> None:
    async def play(s: Scene) -> None:
        liar = s.nodes[0]

        def bare(reply: Any) -> Any:
            return liar.log_again(reply)  # receipts under the head that only the node itself has signed

        liar.spoil = bare
        done = await s.ask()
        seen = s.federation.seen(await s.federation.result(s.stub, done.request_id))
        assert [(each.node, each.reason) for each in seen.missing] == [("u1", "bad-answer")]

    scene(federation, play, again_seconds=600.0)


def test_a_cosignature_counts_once_and_only_from_a_witness_of_that_log(federation: Any) -> None:
    """One witness's cosignatures, repeated, and one of a node that is no witness of the log, are no quorum."""

    async def play(s: Scene) -> None:
        keys, quorum = s.registry.witnesses_of("demo/coordinator")
        assert quorum == 2
        one = s.federation.coordinator.nodes.get(sorted(keys)[0]).calls.caller

        class Echo:  # every witness's call is answered by the same one
            async def call(self, method: str, payload: bytes, *, timeout: float | None) -> bytes:
                return await one.call(method, payload, timeout=timeout)

        for name in keys:
            s.federation.coordinator.nodes.get(name).calls.caller = Echo()
        request = await s.request()
        last = await s.federation.ask(s.stub, request)
        assert last.released == 0

    scene(federation, play, deadline_seconds=2.0, again_seconds=600.0)


# -- the relay -----------------------------------------------------------------------------------------------------------------


def test_the_relay_reaches_a_witness_for_nodes_only_and_for_nothing_large(federation: Any) -> None:
    async def play(s: Scene) -> None:
        asking, witness = s.nodes[:2]
        head = asking.head()
        asked = RelayRequest(witness=witness.name, request=CosignRequest(checkpoint=head, old_size=0))
        reply = CosignReply.FromString(
            await asking.endpoint.call("/collegium.v1.Relay/Cosign", asked.SerializeToString(), timeout=5.0)
        )
        assert reply.cosignature

        async def refused(request: RelayRequest) -> str:
            with pytest.raises(TunnelError) as error:
                await asking.endpoint.call("/collegium.v1.Relay/Cosign", request.SerializeToString(), timeout=5.0)
            return error.value.message

        large = CosignRequest(checkpoint=b"x" * 100_000)
        assert "larger" in await refused(RelayRequest(witness=witness.name, request=large))
        many = CosignRequest(checkpoint=head, proof=[b"x" * 32] * 64)
        assert "larger" in await refused(RelayRequest(witness=witness.name, request=many))
        assert "identity" in await refused(RelayRequest(witness="alice", request=asked.request))
        assert "identity" in await refused(RelayRequest(witness="nobody", request=asked.request))
        # A researcher is let through to nobody.
        async with s.alice.line(s.federation.ports.main) as stub:
            del stub
        from collegium.transport.channels import TlsFiles, client_channel

        chain, key = s.alice.keys.tls()
        channel = client_channel(
            f"127.0.0.1:{s.federation.ports.main}", ca=s.alice.ca, server="coordinator", me=TlsFiles(s.alice.ca, chain, key)
        )
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await RelayStub(channel).Cosign(asked)
        assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
        await channel.close()

    scene(federation, play, assigned=False)


# -- a restored backup ---------------------------------------------------------------------------------------------------------


def test_the_registry_is_signed_on_only_while_its_witnesses_vouch_for_the_database(federation: Any) -> None:
    async def play(s: Scene) -> None:
        await s.federation.until(lambda: s.federation.home.lock.read_text() == CONFIRMED)
        tokens.append(await asyncio.to_thread(s.federation.invite, "researcher", "bob"))

    tokens: list[str] = []
    scene(federation, play)
    with pytest.raises(Failed) as refused:  # nobody serves: who knows whether this is the newest copy
        federation.invite("researcher", "carol")
    assert refused.value.reason == "not-confirmed"

    async def without_witnesses() -> None:
        async with federation.serving() as coordinator:
            with pytest.raises(Failed) as refused:
                await asyncio.to_thread(federation.invite, "researcher", "carol")
            assert refused.value.reason == "not-confirmed"
            size = coordinator.registry.size
            with pytest.raises(Failed):
                await asyncio.to_thread(redeem, federation.at_home(tokens[0]), Keys(federation.folder / "bob"), clock=time.time)
            assert coordinator.registry.size == size

    asyncio.run(without_witnesses())
    registrar = Registrar(federation.home, federation.registry_folder, clock=federation.clock, unconfirmed=True)
    registrar.revoke("u1", "its keys were stolen")  # the operator knows: this is the newest database
    registrar.close()


def test_a_restored_database_stops_at_the_first_witness_that_knows_more(federation: Any) -> None:
    """A14 at the coordinator: its own signed larger checkpoint, shown by a witness, ends writing; nothing was signed before."""

    async def run() -> None:
        database = federation.home.database
        async with AsyncExitStack() as outer:
            async with federation.serving() as coordinator, AsyncExitStack() as stack:
                nodes = [await federation.node(f"u{n}", value=n) for n in range(1, 5)]
                alice = await federation.researcher()
                for node in nodes:
                    await stack.enter_async_context(federation.link(node))
                await federation.all_connected(*nodes)
                await assign(federation)
                stub = await stack.enter_async_context(alice.line(federation.ports.main))
                registry = await alice.registry(stub)
                audience = [node.name for node in nodes]
                await federation.ask(stub, alice.request(registry, audience, nonce="1" * 32))
                backup = coordinator.store.path.with_suffix(".old")
                from collegium_coordinator.backup import backup as write

                await asyncio.to_thread(write, federation.home, backup)
                done = await federation.ask(stub, alice.request(registry, audience, nonce="2" * 32))
                await federation.result(stub, done.request_id)
                size = len(coordinator.store.rows("SELECT idx FROM entries"))
            for suffix in ("", "-wal", "-shm"):
                database.with_name(database.name + suffix).unlink(missing_ok=True)
            shutil.copy(backup, database)
            coordinator = await outer.enter_async_context(federation.serving())
            restored = len(coordinator.store.rows("SELECT idx FROM entries"))
            assert restored < size
            for node in nodes:
                await outer.enter_async_context(federation.link(node))
            await federation.all_connected(*nodes)
            stub = await outer.enter_async_context(alice.line(federation.ports.main))
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await federation.ask(stub, alice.request(registry, audience, nonce="3" * 32))
            assert refused.value.code() == grpc.StatusCode.INTERNAL
            await federation.until(lambda: coordinator.journal._stopped is not None)
            with pytest.raises(CollegiumError) as stopped, coordinator.journal.write():
                pass
            assert stopped.value.reason == "restored"
            assert len(coordinator.store.rows("SELECT idx FROM entries")) == restored

    asyncio.run(run())


def test_a_claim_that_our_key_has_not_signed_stops_nothing(federation: Any) -> None:
    async def play(s: Scene) -> None:
        keys, _ = s.registry.witnesses_of("demo/coordinator")
        liar = next(node for node in s.nodes if node.name in keys)
        claims = {"none": b"", "its own": liar.head(), "garbage": b"hello\n\n"}
        for nonce, claim in enumerate(claims.values()):

            async def lie(_request: Any, _context: Any, claim: bytes = claim) -> CosignReply:
                return CosignReply(known_size=10**6, known_checkpoint=claim)

            liar.Cosign, honest = lie, liar.Cosign
            task = asyncio.ensure_future(s.ask(nonce=f"{nonce:032x}"))
            await asyncio.sleep(0.3)
            assert s.federation.coordinator.journal._stopped is None
            liar.Cosign = honest
            await task

    scene(federation, play, deadline_seconds=3.0)


def test_the_stop_of_a_restart_lasts_until_the_witnesses_have_spoken(federation: Any) -> None:
    """After a start nothing is signed before the quorum has confirmed: first refused, then taken."""

    async def run() -> None:
        async with AsyncExitStack() as outer:
            async with federation.serving(), AsyncExitStack() as stack:
                nodes = [await federation.node(f"u{n}", value=n) for n in range(1, 5)]
                alice = await federation.researcher()
                for node in nodes:
                    await stack.enter_async_context(federation.link(node))
                await federation.all_connected(*nodes)
                await assign(federation)
                stub = await stack.enter_async_context(alice.line(federation.ports.main))
                registry = await alice.registry(stub)
                await federation.ask(stub, alice.request(registry, ["u1"], nonce="1" * 32))
            coordinator = await outer.enter_async_context(federation.serving())
            with pytest.raises(CollegiumError) as refused, coordinator.journal.write():
                pass
            assert refused.value.reason == "not-confirmed"
            for node in nodes:
                await outer.enter_async_context(federation.link(node))
            await federation.until(lambda: coordinator.cosigning.is_ready("demo/coordinator"))
            stub = await outer.enter_async_context(alice.line(federation.ports.main))
            done = await federation.ask(stub, alice.request(registry, ["u1"], nonce="2" * 32))
            assert done.released == 1

    asyncio.run(run())


def test_a_receipt_names_one_entry_and_holds_only_under_the_rule(federation: Any) -> None:
    async def play(s: Scene) -> None:
        done = await s.ask()
        parts = await s.federation.result(s.stub, done.request_id)
        receipts = {each.statement: each.proof for each in parts["receipt"]}
        note = parts["request"][0]
        proof = receipts[_id(note)]
        rule = LogRule.of(s.registry, s.registry.coordinator_log)
        index = Receipt.parse(proof).index
        Prover().prove(proof, note, rule, index=index)
        with pytest.raises(Invalid):
            Prover().prove(proof, note, rule, index=index + 1)
        with pytest.raises(Invalid):
            Prover().prove(proof, parts["indicator"][0], rule)
        with pytest.raises(Invalid):
            Prover().prove(proof, note, LogRule(rule.log, rule.witnesses, 4))
        with pytest.raises(Invalid):
            Prover().prove(proof, note, LogRule(s.registry.registry_log, rule.witnesses, 0))

    scene(federation, play)


def _id(note: bytes) -> str:
    return hashlib.sha256(note.rpartition(b"\n\n")[0] + b"\n").hexdigest()
