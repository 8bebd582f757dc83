"""The accepting end of tunnels: a node has dialled, and from now on calls go down to it.

Trusted with: nothing but availability. An attacker in its place can withhold calls; the node checks every signature itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from collegium.transport.endpoint import Endpoint, Handler, Limits, StreamLost
from collegium.transport.peer import Peer, peer_of
from collegium.transport.status import to_status
from collegium.v1.tunnel_pb2 import Frame

__all__ = ["ADMITTED", "OPEN", "TunnelServicer", "add_tunnel"]

OPEN = "/collegium.v1.Tunnel/Open"
ADMITTED = ("collegium-tunnel", "open")  # in the initial metadata; a refusal has initial metadata too, empty ones
_log = logging.getLogger(__name__)


class TunnelServicer:
    """Accepts tunnels.

    Args:
        admit: who may open one; raises Refused (or another error of ours) for the rest, and gives what the peer may call up it.
        opened: called when calls can go down. A node that dials again before its old stream is known to be dead has two for a
            while; the newest is the one that works.
        closed: called once for each `opened`, with the same Endpoint, when it can carry no more calls.
    """

    def __init__(
        self,
        admit: Callable[[Peer], Mapping[str, Handler]],
        opened: Callable[[Peer, Endpoint], None],
        closed: Callable[[Peer, Endpoint], None],
        *,
        limits: Limits | None = None,
    ) -> None:
        self._admit = admit
        self._opened = opened
        self._closed = closed
        self._limits = limits
        self._live: set[Endpoint] = set()
        self._stopping = False

    async def Open(self, _frames: object, context: Any) -> None:
        """(1) Who is it. (2) May it. (3) Be ready, then say so: the node waits for it. (4) Carry calls until one side ends."""
        try:
            peer = peer_of(context)  # (1)
            handlers = self._admit(peer)  # (2)
        except Exception as error:
            status = to_status(error)
            await context.abort(status.grpc, status.details)
            return
        if self._stopping:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "stopping")
        endpoint = Endpoint(context.write, dialled=False, handlers=handlers, limits=self._limits)

        async def receive() -> Frame | None:
            frame = await context.read()
            return None if frame is grpc.aio.EOF else frame

        self._live.add(endpoint)
        self._opened(peer, endpoint)  # (3)
        try:
            await context.send_initial_metadata((ADMITTED,))
            await endpoint.run(receive)  # (4)
        except StreamLost as lost:
            _log.info("tunnel of %s ended: %s", peer.name, lost)
        except Exception as error:
            _log.info("tunnel of %s broke: %s", peer.name, type(error).__name__)
        finally:
            self._live.discard(endpoint)
            self._closed(peer, endpoint)

    async def close(self, *, grace: float) -> None:
        """Accepts no more and ends all, with `grace` seconds for calls in flight. Before the server's own `stop`."""
        self._stopping = True
        await asyncio.gather(*(endpoint.close(grace=grace) for endpoint in self._live))


def add_tunnel(server: Any, servicer: TunnelServicer) -> None:
    """Serves the Tunnel service on a `grpc.aio` server."""
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.Open, request_deserializer=Frame.FromString, response_serializer=Frame.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("collegium.v1.Tunnel", {"Open": handler}),))
