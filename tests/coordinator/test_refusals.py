"""What the coordinator does not take: every bad request is refused with its place, and nothing is logged or asked."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from collegium.errors import CollegiumError, Invalid, NotVerified, Refused
from collegium.log.statement import sign_statement
from collegium.statements import RegistryView, Request
from collegium.transport.status import from_rpc
from collegium.v1.federation_pb2 import AskRequest


async def refused(federation: Any, stub: Any, request: AskRequest) -> CollegiumError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await federation.ask(stub, request)
    return from_rpc(caught.value)


async def _drain(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


def test_each_bad_request_is_refused_with_its_place(federation: Any, make_question: Any) -> None:
    async def run() -> None:
        async with federation.serving(max_validity_days=1.0) as coordinator, AsyncExitStack() as stack:
            node = await federation.node("u1")
            alice, bob = await federation.researcher("alice"), await federation.researcher("bob")
            await stack.enter_async_context(federation.link(node))
            await federation.all_connected(node)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            registry = await alice.registry(stub)
            now = int(time.time())
            good = alice.request(registry, ["u1"])
            other = alice.request(registry, ["u1"], nonce="1" * 32)
            no_column = make_question().model_copy(update={"dataset": "teachers"})
            changed = good.request.replace(b'"nonce":"0', b'"nonce":"1')
            body = Request.read(good.request).to_body()
            body["views"][0]["measures"][0]["parts"] = [3]
            odd = AskRequest(request=sign_statement("request", body, alice.signer), details=good.details)
            cases: dict[str, tuple[AskRequest, type[CollegiumError], str]] = {
                "another's note": (bob.request(registry, ["u1"]), Refused, "another researcher"),
                "changed by one byte": (AskRequest(request=changed, details=good.details), NotVerified, "signature"),
                "no note": (AskRequest(request=b"hello", details=b""), Invalid, ""),
                "signed by another key": (
                    AskRequest(request=Request.read(good.request).sign(bob.signer), details=good.details),
                    NotVerified,
                    "not signed",
                ),
                "expired": (alice.request(registry, ["u1"], time=now - 20, expiry=now - 10), Invalid, "expired"),
                "from the future": (alice.request(registry, ["u1"], time=now + 3000), Invalid, "future"),
                "valid for too long": (alice.request(registry, ["u1"], expiry=now + 2 * 86_400), Invalid, "more than 1 days"),
                "unknown node": (alice.request(registry, ["u1", "u9"]), Invalid, "no node 'u9'"),
                "a researcher as node": (alice.request(registry, ["bob"]), Invalid, "no node 'bob'"),
                "another registry": (
                    alice.request(registry, ["u1"], registry=RegistryView(size=2, root="A" * 43 + "=")),
                    NotVerified,
                    "another registry",
                ),
                "unknown dataset": (alice.request(registry, ["u1"], question=no_column), Invalid, "no dataset"),
                "a view of what was not asked": (odd, Invalid, "no component 3"),
                "other details": (AskRequest(request=good.request, details=other.details), Invalid, "details"),
                "no details": (AskRequest(request=good.request, details=b""), Invalid, "details"),
            }
            for name, (request, kind, text) in cases.items():
                error = await refused(federation, stub, request)
                assert type(error) is kind, (name, error)
                assert text in str(error), (name, error)
            assert coordinator.store.row("SELECT COUNT(*) FROM entries") == (0,)
            assert coordinator.store.row("SELECT COUNT(*) FROM blobs") == (0,)
            assert node.asked == 0
            assert (await federation.ask(stub, good)).released == 1

    asyncio.run(run())


def test_too_many_questions_are_refused(federation: Any) -> None:
    async def run() -> None:
        async with federation.serving(max_questions=2), AsyncExitStack() as stack:
            await federation.node("u1")
            alice = await federation.researcher()
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            registry = await alice.registry(stub)
            one = Request.read(alice.request(registry, ["u1"]).request)
            request = alice.request(registry, ["u1"], questions=one.questions * 3, views=one.views * 3)
            assert "more than 2 questions" in str(await refused(federation, stub, request))

    asyncio.run(run())


def test_a_node_is_no_researcher_and_a_stranger_is_nobody(federation: Any, messages: Any) -> None:
    async def run() -> None:
        async with federation.serving(), AsyncExitStack() as stack:
            node = await federation.node("u1")
            alice = await federation.researcher()
            alice.keys = node.keys  # connects with the node's certificate
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Requests(messages.requests())
            assert isinstance(from_rpc(caught.value), Refused)
            # The main port without a client certificate: no connection at all.
            from collegium.transport.channels import client_channel
            from collegium.v1.federation_pb2_grpc import FederationStub

            channel = client_channel(f"127.0.0.1:{federation.ports.main}", ca=federation.ca, server="coordinator")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await FederationStub(channel).Nodes(messages.nodes(), timeout=5)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            await channel.close()

    asyncio.run(run())


def test_a_revoked_researcher_is_refused_and_his_open_stream_ends(federation: Any, messages: Any) -> None:
    async def run() -> None:
        async with federation.serving(), AsyncExitStack() as stack:
            node = await federation.node("u1")
            node.gate = asyncio.Event()
            alice = await federation.researcher()
            await stack.enter_async_context(federation.link(node))
            await federation.all_connected(node)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            request = alice.request(await alice.registry(stub), ["u1"])
            call = stub.Ask(request)
            await call.read()
            await asyncio.to_thread(federation.revoke, "alice")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _drain(call)
            assert isinstance(from_rpc(caught.value), Refused)
            with pytest.raises(grpc.aio.AioRpcError, match="revoked"):
                await stub.Requests(messages.requests())
            assert isinstance(await refused(federation, stub, request), Refused)

    asyncio.run(run())


def test_a_revoked_nodes_tunnel_is_closed_and_not_opened_again(federation: Any) -> None:
    async def run() -> None:
        async with federation.serving() as coordinator, AsyncExitStack() as stack:
            bad, good = await federation.node("u1"), await federation.node("u2")
            alice = await federation.researcher()
            for node in (bad, good):
                await stack.enter_async_context(federation.link(node))
            await federation.all_connected(bad, good)
            await asyncio.to_thread(federation.revoke, "u1")
            await federation.until(lambda: not coordinator.nodes.connected("u1"))
            with pytest.raises(Refused, match="revoked"):
                async with federation.link(bad):
                    pass
            # The others have learnt of it, and go on.
            await federation.until(lambda: good.registry.size == coordinator.registry.size)
            with pytest.raises(Refused):
                good.registry.party("u1")
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            assert (await federation.ask(stub, alice.request(await alice.registry(stub), ["u2"]))).released == 1

    asyncio.run(run())
