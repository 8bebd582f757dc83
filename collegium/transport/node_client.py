"""Calls to a node, the same over its tunnel and over a channel to its own port."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from collegium.errors import Failed
from collegium.transport.status import TunnelError, from_rpc
from collegium.v1.node_pb2 import (
    AnswerReply,
    AnswerRequest,
    ClosedReply,
    ClosedRequest,
    LearnReply,
    LearnRequest,
    NodeStatus,
    NodeStatusRequest,
    SubmitReply,
    SubmitRequest,
)

__all__ = ["Caller", "ChannelCaller", "NodeClient", "call_typed"]

Reply = TypeVar("Reply", bound=Message)


class Caller(Protocol):
    """What carries a call: an `Endpoint` or a `ChannelCaller`."""

    async def call(self, method: str, payload: bytes, *, timeout: float | None) -> bytes:  # noqa: ASYNC109
        """The answer's bytes; raises TunnelError."""
        ...


class ChannelCaller:
    """Calls over a `grpc.aio` channel."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._methods: dict[str, Any] = {}

    async def call(self, method: str, payload: bytes, *, timeout: float | None) -> bytes:  # noqa: ASYNC109 - gRPC enforces it
        """The answer's bytes; raises TunnelError."""
        multicallable = self._methods.get(method)
        if multicallable is None:
            multicallable = self._methods[method] = self._channel.unary_unary(method)
        try:
            answer: bytes = await multicallable(payload, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise TunnelError(error.code().value[0], error.details() or "") from None
        return answer


class NodeClient:
    """A node as its coordinator sees it. Every method raises CollegiumError with the node's name as `place`.

    `timeout` is in seconds and enforced on both sides. Nothing in a reply is trusted before its signatures are verified.
    """

    def __init__(self, caller: Caller, *, name: str = "") -> None:
        self.caller = caller
        self.name = name

    async def status(self, *, timeout: float | None = 10.0) -> NodeStatus:  # noqa: ASYNC109
        """Who the node is and how much of the registry it has verified."""
        return await self._call("Status", NodeStatusRequest(), NodeStatus, timeout)

    async def learn(self, request: LearnRequest, *, timeout: float | None = 30.0) -> LearnReply:  # noqa: ASYNC109
        """Hands over registry entries; the node verifies them."""
        return await self._call("Learn", request, LearnReply, timeout)

    async def answer(self, request: AnswerRequest, *, timeout: float | None) -> AnswerReply:  # noqa: ASYNC109
        """The node's verdict and release for each question of the request."""
        return await self._call("Answer", request, AnswerReply, timeout)

    async def submit(self, request: SubmitRequest, *, timeout: float | None) -> SubmitReply:  # noqa: ASYNC109
        """The node's masked vector for one plan of a national sum."""
        return await self._call("Submit", request, SubmitReply, timeout)

    async def closed(self, request: ClosedRequest, *, timeout: float | None = 30.0) -> ClosedReply:  # noqa: ASYNC109
        """Tells the node how a round has ended, with the proof that its submission was logged."""
        return await self._call("Closed", request, ClosedReply, timeout)

    async def _call(self, method: str, request: Message, reply: type[Reply], timeout: float | None) -> Reply:  # noqa: ASYNC109
        return await call_typed(self.caller, f"/collegium.v1.Node/{method}", request, reply, timeout=timeout, place=self.name)


async def call_typed(
    caller: Caller,
    method: str,
    request: Message,
    reply: type[Reply],
    *,
    timeout: float | None,  # noqa: ASYNC109 - the caller enforces it
    place: str,
) -> Reply:
    """One call with typed messages. Raises CollegiumError with `place`, who was called."""
    try:
        answer = await caller.call(method, request.SerializeToString(), timeout=timeout)
    except TunnelError as error:
        raise from_rpc(error, place=place) from None
    try:
        return reply.FromString(answer)
    except DecodeError:
        raise Failed("The reply cannot be read.", place=place, remedy="The other side may need a newer version.") from None
