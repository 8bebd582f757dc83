"""The same servicer behind a tunnel: its messages, its context, and what of its errors leaves."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import pytest

from collegium.errors import Failed, Invalid, NotReleased, Refused
from collegium.transport.dispatch import handlers_of
from collegium.transport.node_client import NodeClient
from collegium.transport.peer import Peer, only_role, peer_of
from collegium.transport.status import TunnelError, from_rpc, to_public_status
from collegium.v1 import federation_pb2, node_pb2

NODE = node_pb2.DESCRIPTOR.services_by_name["Node"]
COORDINATOR = Peer("demo", "coordinator", "coordinator")


class Node:
    """A node that answers by the text of the request."""

    async def Status(self, _request: node_pb2.NodeStatusRequest, context: Any) -> node_pb2.NodeStatus:
        return node_pb2.NodeStatus(name=peer_of(context).name, version=f"{context.time_remaining() or -1:.0f}")

    async def Learn(self, request: node_pb2.LearnRequest, _context: Any) -> node_pb2.LearnReply:
        return node_pb2.LearnReply(registry_size=request.first + len(request.entries))

    async def Answer(self, request: node_pb2.AnswerRequest, context: Any) -> node_pb2.AnswerReply:
        if request.request == b"refuse":
            raise Refused("The node's own words CANARY", by="policy", place="CANARY", reason="not-allowed")
        if request.request == b"abort":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "held")
        raise ValueError("CANARY row 17")

    async def Submit(self, request: node_pb2.SubmitRequest, context: Any) -> node_pb2.SubmitReply:
        raise ValueError("CANARY row 17")

    async def Closed(self, request: node_pb2.ClosedRequest, context: Any) -> node_pb2.ClosedReply:
        raise ValueError("CANARY row 17")


def test_calls_reach_the_servicer_with_peer_and_deadline(line: Any) -> None:
    async def main() -> None:
        async with line(near=handlers_of(Node(), NODE, peer=COORDINATOR)) as made:
            node = NodeClient(made.far, name="north")
            status = await node.status(timeout=100)
            assert (status.name, status.version) == ("coordinator", "100")
            assert (await node.status(timeout=None)).version == "-1"
            assert (await node.learn(node_pb2.LearnRequest(first=3, entries=[b"a", b"b"]))).registry_size == 5

    asyncio.run(main())


@pytest.mark.parametrize("public", [False, True])
def test_errors_leave_as_the_side_decides(line: Any, public: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        status = {"status": to_public_status} if public else {}
        async with line(near=handlers_of(Node(), NODE, **status)) as made:
            node = NodeClient(made.far, name="north")
            with pytest.raises(Refused) as refused:
                await node.answer(node_pb2.AnswerRequest(request=b"refuse"), timeout=5)
            assert (refused.value.by, refused.value.reason) == ("policy", "not-allowed")
            assert ("CANARY" in str(refused.value)) is not public
            with pytest.raises(NotReleased):
                await node.answer(node_pb2.AnswerRequest(request=b"abort"), timeout=5)
            with pytest.raises(Failed) as failed:
                await node.answer(node_pb2.AnswerRequest(request=b"break"), timeout=5)
            assert "CANARY" not in str(failed.value)
            assert failed.value.place == "north"

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())
    assert "ValueError" in caplog.text  # the operator learns what and where
    assert "test_dispatch.py" in caplog.text
    assert "CANARY" not in caplog.text  # and no log learns data


def test_garbage_instead_of_a_message_is_malformed_on_either_side(line: Any) -> None:
    async def main() -> None:
        async def garbage(_payload: bytes, _deadline: float | None) -> bytes:
            return b"\xff\xff\xff"

        handlers = handlers_of(Node(), NODE) | {"/collegium.v1.Node/Status": garbage}
        async with line(near=handlers) as made:
            node = NodeClient(made.far)
            with pytest.raises(Failed, match="cannot be read"):
                await node.status()
            raw = {"/collegium.v1.Node/Answer": b"\xff\xff\xff", "/collegium.v1.Node/Learn": _nested(50_000)}
            for method, payload in raw.items():
                with pytest.raises(Invalid) as caught:
                    await _readable(made.far.call(method, payload, timeout=5))
                assert caught.value.reason == "malformed"

    asyncio.run(main())


async def _readable(call: Any) -> bytes:
    try:
        return await call  # type: ignore[no-any-return]
    except TunnelError as error:
        raise from_rpc(error) from None


def _nested(depth: int) -> bytes:
    """An unknown field that is a group in a group in a group."""
    return b"\xa3\x06" * depth + b"\xa4\x06" * depth


def test_only_methods_of_one_message_each_way_travel_in_a_tunnel() -> None:
    class Federation:
        async def Registry(self, _request: Any, _context: Any) -> Any: ...

        Nodes = Requests = Registry

    service = federation_pb2.DESCRIPTOR.services_by_name["Federation"]
    assert set(handlers_of(Federation(), service)) == {
        f"/collegium.v1.Federation/{name}" for name in ("Registry", "Nodes", "Requests")
    }


@pytest.mark.parametrize(
    ("peer", "welcome"),
    [
        (Peer("demo", "node", "north"), True),
        (Peer("demo", "researcher", "li"), False),
        (Peer("demo", "coordinator", "coordinator"), False),
        (Peer("other", "node", "north"), False),
    ],
)
def test_admission_is_by_federation_and_role(peer: Peer, welcome: bool) -> None:
    admit = only_role("demo", "node")
    if welcome:
        admit(peer)
    else:
        with pytest.raises(Refused) as refused:
            admit(peer)
        assert refused.value.by == "identity"
