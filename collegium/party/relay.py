"""How a party reaches its witnesses: the coordinator hands the call on. It can delay and drop, and forge nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from collegium.errors import Failed, Offline, public_text
from collegium.transport.endpoint import Endpoint
from collegium.transport.node_client import Caller, ChannelCaller
from collegium.transport.status import TunnelError, from_rpc
from collegium.v1.witness_pb2 import CosignReply, CosignRequest, RelayRequest

__all__ = ["ChannelRelay", "TunnelRelay"]

METHOD = "/collegium.v1.Relay/Cosign"


class TunnelRelay:
    """Up the tunnel. `live` holds the endpoint while there is one; whoever opens tunnels changes it."""

    def __init__(self, live: Sequence[Endpoint]) -> None:
        self._live = live

    async def cosign(self, witness: str, request: CosignRequest, *, timeout: float) -> CosignReply:  # noqa: ASYNC109 - it travels
        if not self._live:
            raise Offline("there is no connection to the coordinator", place=witness, reason="offline")
        return await _cosign(self._live[0], witness, request, timeout)


class ChannelRelay:
    """By a channel to the coordinator's port, opened when it is first needed and again after `close`."""

    def __init__(self, open_channel: Callable[[], Any]) -> None:
        self._open = open_channel
        self._channel: Any = None

    async def cosign(self, witness: str, request: CosignRequest, *, timeout: float) -> CosignReply:  # noqa: ASYNC109 - gRPC enforces it
        if self._channel is None:
            self._channel = self._open()
        return await _cosign(ChannelCaller(self._channel), witness, request, timeout)

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()


async def _cosign(caller: Caller, witness: str, request: CosignRequest, timeout: float) -> CosignReply:  # noqa: ASYNC109
    relayed = RelayRequest(witness=witness, request=request)
    try:
        answer = await caller.call(METHOD, relayed.SerializeToString(), timeout=timeout)
    except TunnelError as error:
        raise from_rpc(error, place=witness) from None
    try:
        return CosignReply.FromString(answer)
    except DecodeError:
        raise Failed(public_text("failed"), place=witness, reason="failed") from None
