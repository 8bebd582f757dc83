"""The serving process: nodes that listen, health and reflection, budgets recorded, certificates that renew themselves."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from collegium.errors import Failed
from collegium.log.note import Signer
from collegium.statements import LogPlace, Policy, RegistryView
from collegium.tls import renew_at
from collegium.transport.channels import TlsFiles, client_channel, listen, new_server, server_credentials
from collegium.transport.dispatch import add_service
from collegium.transport.peer import only_role
from collegium.transport.status import from_rpc
from collegium.v1 import node_pb2
from collegium.v1.enrolment_pb2 import JoinRequest
from collegium.v1.enrolment_pb2_grpc import EnrolmentStub
from collegium_coordinator.ca import Authority
from collegium_coordinator.config import read_config
from collegium_coordinator.report import budget_tree, nodes_tree

EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def test_a_node_that_listens_is_dialled_and_dialled_again(federation: Any) -> None:
    async def run() -> None:
        async with federation.serving() as coordinator, AsyncExitStack() as stack:
            node = await federation.node("u1", value=5)
            chain, key = node.keys.tls()

            async def start(port: int) -> tuple[Any, int]:
                server = new_server()
                add_service(server, node, node_pb2.DESCRIPTOR.services_by_name["Node"], admit=only_role("demo", "coordinator"))
                files = TlsFiles(federation.ca, chain, key)
                bound = listen(server, f"127.0.0.1:{port}", server_credentials(lambda: files))
                await server.start()
                return server, bound

            server, port = await start(0)
            with coordinator.store.transaction() as db:
                db.execute("INSERT INTO dial VALUES ('u1', ?)", (f"127.0.0.1:{port}",))
            await federation.all_connected(node)
            alice = await federation.researcher()
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            assert (await federation.ask(stub, alice.request(await alice.registry(stub), ["u1"]))).released == 1
            await server.stop(0)
            request = alice.request(await alice.registry(stub), ["u1"], nonce="1" * 32)
            assert (await federation.ask(stub, request)).missing == 1

    asyncio.run(run())


def test_health_and_reflection_answer_on_the_main_port(federation: Any) -> None:
    async def run() -> None:
        async with federation.serving():
            alice = await federation.researcher()
            chain, key = alice.keys.tls()
            me = TlsFiles(federation.ca, chain, key)
            channel = client_channel(f"127.0.0.1:{federation.ports.main}", ca=federation.ca, server="coordinator", me=me)
            for service in ("", "collegium.v1.Federation"):
                reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
                assert reply.status == health_pb2.HealthCheckResponse.SERVING
            call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            listed = {service.name for service in (await call.read()).list_services_response.service}
            assert {"collegium.v1.Federation", "collegium.v1.Tunnel", "grpc.health.v1.Health"} <= listed
            await call.done_writing()
            call.cancel()
            await channel.close()

    asyncio.run(run())


def test_the_enrolment_port_serves_nothing_else(federation: Any, messages: Any) -> None:
    async def run() -> None:
        async with federation.serving():
            from collegium.v1.federation_pb2_grpc import FederationStub

            channel = client_channel(f"127.0.0.1:{federation.ports.enrolment}", ca=federation.ca, server="coordinator")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await FederationStub(channel).Nodes(messages.nodes(), timeout=10)
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
            await channel.close()

    asyncio.run(run())


def test_a_port_that_is_taken_is_a_clear_error(federation: Any) -> None:
    from collegium_coordinator.config import Listen
    from collegium_coordinator.serve import Coordinator

    async def run() -> None:
        async with federation.serving():
            other = Coordinator(federation.home, read_config(federation.home))
            taken = Listen(main=f"127.0.0.1:{federation.ports.main}", enrolment="127.0.0.1:0")
            with pytest.raises(Failed, match="listen"):
                await other.start(taken)
            await other.stop(grace=0)

    asyncio.run(run())


def test_nodes_and_budgets_are_shown_from_the_database(federation: Any, make_question: Any) -> None:
    async def run() -> None:
        async with federation.serving() as coordinator, AsyncExitStack() as stack:
            nodes = [await federation.node(name) for name in ("u1", "u2")]
            alice = await federation.researcher()
            budget = {"budget": {"student": {"period": "year", "rho": 10**9, "lifetime": 3 * 10**9}}}
            nodes[0].policy = _policy(nodes[0], budget, nodes[0].statements)
            await stack.enter_async_context(federation.link(nodes[0]))
            await federation.all_connected(nodes[0])
            await asyncio.to_thread(federation.invite, "node", "u3")
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            registry = await alice.registry(stub)
            await federation.ask(stub, alice.request(registry, ["u1"], question=make_question(10**7)))
            await federation.ask(stub, alice.request(registry, ["u1"], question=make_question(3 * 10**7)))
            for serving, connected in ((True, [True, False, None]), (False, [None, None, None])):
                lines = nodes_tree(coordinator.store, coordinator.registry.registry, serving=serving, now=federation.clock())
                assert [(line["name"], line["state"]) for line in lines] == [
                    ("u1", "registered"),
                    ("u2", "registered"),
                    ("u3", "invited"),
                ]
                assert [line.get("connected") for line in lines] == connected
            (line,) = budget_tree(coordinator.store, coordinator.registry.registry)
            assert (line["node"], line["unit"], line["charged"], line["charged_in_all"]) == (
                "u1",
                "student",
                {"2026": 4 * 10**7},
                4 * 10**7,
            )
            assert (line["period"], line["period_budget"], line["lifetime_budget"]) == ("year", 10**9, 3 * 10**9)

    asyncio.run(run())


def test_a_policy_that_the_node_has_not_signed_is_not_shown(federation: Any) -> None:
    async def run() -> None:
        async with federation.serving() as coordinator, AsyncExitStack() as stack:
            node = await federation.node("u1")
            node.policy = _policy(node, {"budget": {}}, Signer.generate(node.statements.name))
            await stack.enter_async_context(federation.link(node))
            await federation.all_connected(node)
            await federation.until(lambda: coordinator.store.row("SELECT 1 FROM seen WHERE node = 'u1'") is not None)
            assert coordinator.store.row("SELECT policy FROM seen") == (None,)

    asyncio.run(run())


def _policy(node: Any, policy: dict[str, Any], signer: Signer) -> bytes:
    place = LogPlace(origin=node.log.name, index=0)
    view = RegistryView(size=0, root=EMPTY)
    return Policy(log=place, registry=view, time=1, policy=policy, snapshots=()).sign(signer)


def test_stopping_ends_open_streams_and_says_why(federation: Any) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            async with federation.serving():
                node = await federation.node("u1")
                node.gate = asyncio.Event()
                alice = await federation.researcher()
                await stack.enter_async_context(federation.link(node))
                await federation.all_connected(node)
                stub = await stack.enter_async_context(alice.line(federation.ports.main))
                call = stub.Ask(alice.request(await alice.registry(stub), ["u1"]))
                await call.read()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert "goes on with the question" in str(from_rpc(caught.value))

    asyncio.run(run())


def test_a_huge_message_to_the_enrolment_port_is_refused(federation: Any) -> None:
    async def run() -> None:
        async with federation.serving():
            channel = client_channel(f"127.0.0.1:{federation.ports.enrolment}", ca=federation.ca, server="coordinator")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await EnrolmentStub(channel).Join(JoinRequest(csr=b"\0" * 1_000_000), timeout=10)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            await channel.close()

    asyncio.run(run())


def test_the_coordinators_own_certificate_renews_itself(federation: Any) -> None:
    now = federation.clock()
    authority = Authority(federation.home, "demo", lifetime=90 * 86_400.0, clock=lambda: now)
    first = authority.own_certificate(["127.0.0.1"])
    assert authority.own_certificate(["127.0.0.1"]) == first
    now = renew_at(first[1]) + 1
    second = authority.own_certificate(["127.0.0.1"])
    assert second[1] != first[1]
    assert renew_at(second[1]) > now
    # A crash between the two writes leaves a key without its certificate: both are made anew.
    federation.home.tls_key.write_bytes(first[0])
    third = authority.own_certificate(["127.0.0.1"])
    assert third[1] not in (first[1], second[1])
    # And so is a certificate that lacks a name of the settings.
    assert authority.own_certificate(["127.0.0.1", "data.example.edu"])[1] != third[1]
