"""Calls to a trustee of national sums, down the tunnel that it has opened."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import Message

from collegium.transport.node_client import Caller, call_typed
from collegium.v1.node_pb2 import LearnReply, LearnRequest
from collegium.v1.trustee_pb2 import (
    BeginReply,
    BeginRequest,
    PrepareReply,
    PrepareRequest,
    RecomputeReply,
    RecomputeRequest,
    TrusteeStatus,
    TrusteeStatusRequest,
    UnmaskReply,
    UnmaskRequest,
)

__all__ = ["TrusteeClient"]

Reply = TypeVar("Reply", bound=Message)


class TrusteeClient:
    """A trustee as its coordinator sees it. Every method raises CollegiumError with the trustee's name as `place`.

    `timeout` is in seconds and enforced on both sides. Nothing in a reply is trusted before its signatures are verified. What each
    call does, and that all of them are idempotent, stands in trustee.proto.
    """

    def __init__(self, caller: Caller, *, name: str = "") -> None:
        self.caller = caller
        self.name = name

    async def status(self, *, timeout: float | None = 10.0) -> TrusteeStatus:  # noqa: ASYNC109
        """Who it is, how much of the registry it has verified, and its newest sealing key."""
        return await self._call("Status", TrusteeStatusRequest(), TrusteeStatus, timeout)

    async def learn(self, request: LearnRequest, *, timeout: float | None = 30.0) -> LearnReply:  # noqa: ASYNC109
        """Hands over registry entries; the trustee verifies them."""
        return await self._call("Learn", request, LearnReply, timeout)

    async def begin(self, request: BeginRequest, *, timeout: float | None) -> BeginReply:  # noqa: ASYNC109
        """Hands over a plan."""
        return await self._call("Begin", request, BeginReply, timeout)

    async def prepare(self, request: PrepareRequest, *, timeout: float | None) -> PrepareReply:  # noqa: ASYNC109
        """A page of submissions; with the last one the signed PREPARE."""
        return await self._call("Prepare", request, PrepareReply, timeout)

    async def unmask(self, request: UnmaskRequest, *, timeout: float | None) -> UnmaskReply:  # noqa: ASYNC109
        """The sum of its masks over the participants of one CLOSE."""
        return await self._call("Unmask", request, UnmaskReply, timeout)

    async def recompute(self, request: RecomputeRequest, *, timeout: float | None) -> RecomputeReply:  # noqa: ASYNC109
        """A page of masked vectors; with the last one the signed CHECK."""
        return await self._call("Recompute", request, RecomputeReply, timeout)

    async def _call(self, method: str, request: Message, reply: type[Reply], timeout: float | None) -> Reply:  # noqa: ASYNC109
        return await call_typed(self.caller, f"/collegium.v1.Trustee/{method}", request, reply, timeout=timeout, place=self.name)
