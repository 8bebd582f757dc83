"""The tunnels that nodes and trustees open: who may, what they may call up them, and where the calls down them begin."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from collegium.errors import CollegiumError
from collegium.transport.accept import TunnelServicer
from collegium.transport.dispatch import handlers_of
from collegium.transport.endpoint import Endpoint, Handler
from collegium.transport.node_client import NodeClient
from collegium.transport.peer import Peer
from collegium.transport.status import to_status
from collegium.transport.trustee_client import TrusteeClient
from collegium.v1 import federation_pb2, log_pb2, witness_pb2
from collegium_coordinator.door import Door
from collegium_coordinator.links import Link, Links
from collegium_coordinator.logs import LogService
from collegium_coordinator.nodes import Connection, Nodes
from collegium_coordinator.relay import RelayService
from collegium_coordinator.service import FederationService
from collegium_coordinator.trustees import TrusteeLink, Trustees

__all__ = ["LOG", "RELAY", "Tunnels"]

log = logging.getLogger("collegium.coordinator.tunnels")

LOG = log_pb2.DESCRIPTOR.services_by_name["Log"]
RELAY = witness_pb2.DESCRIPTOR.services_by_name["Relay"]
FEDERATION = federation_pb2.DESCRIPTOR.services_by_name["Federation"]


class Tunnels(TunnelServicer):
    """Accepts tunnels, and hands each connection to `Nodes` or `Trustees` by the role in its certificate.

    It also refuses certificates of replaced registrations, which only the call's own context shows.
    """

    def __init__(
        self, door: Door, nodes: Nodes, trustees: Trustees, service: FederationService, logs: LogService, relay: RelayService
    ) -> None:
        super().__init__(self._admit_peer, self._is_open, self._is_closed)
        self._door, self._nodes, self._trustees = door, nodes, trustees
        self._service, self._logs, self._relay = service, logs, relay
        self._links: dict[Endpoint, tuple[Links[Any], Link]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def Open(self, frames: object, context: Any) -> None:
        """See tunnel.proto."""
        try:
            self._door.enter(context, "node", "trustee")
        except CollegiumError as error:
            status = to_status(error)
            await context.abort(status.grpc, status.details)
        await super().Open(frames, context)

    def calls_in_flight(self) -> int:
        """On all tunnels, in both directions; from any thread."""
        return sum(endpoint.calls_in_flight for endpoint in list(self._links))

    async def stop(self, *, grace: float) -> None:
        """Accept no more, end all, and wait until that is noted."""
        await self.close(grace=grace)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- inside ----------------------------------------------------------------------------------------------------------------

    def _admit_peer(self, peer: Peer) -> Mapping[str, Handler]:
        """Nodes and trustees of the registry may open a tunnel, and up it read the registry and the logs, and reach witnesses."""
        self._door.judge(peer, "node", "trustee")
        handlers = handlers_of(self._service, FEDERATION, peer=peer)
        registry = {method: handler for method, handler in handlers.items() if method.endswith("/Registry")}
        return registry | handlers_of(self._logs, LOG, peer=peer) | handlers_of(self._relay, RELAY, peer=peer)

    def _is_open(self, peer: Peer, endpoint: Endpoint) -> None:
        links: Links[Any]
        link: Link
        if peer.role == "trustee":
            links, link = self._trustees, TrusteeLink(peer.name, TrusteeClient(endpoint, name=peer.name), endpoint.close)
        else:
            links, link = self._nodes, Connection(peer.name, NodeClient(endpoint, name=peer.name), endpoint.close)
        self._links[endpoint] = (links, link)
        self._spawn(self._attach(links, link))

    def _is_closed(self, _peer: Peer, endpoint: Endpoint) -> None:
        links, link = self._links.pop(endpoint, (None, None))
        if links is not None:
            self._spawn(links.detach(link))

    async def _attach(self, links: Links[Any], link: Link) -> None:
        try:
            await links.attach(link)
        except CollegiumError as error:
            log.warning("%s %s connected and could not be greeted: %s", links.role, link.name, error)
            await link.close()

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
