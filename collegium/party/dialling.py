"""A party that calls out: a tunnel to the coordinator, opened again whenever it ends. What it serves comes down that tunnel, and up
it the party reaches its witnesses and the coordinator's copy of its log. It needs no inbound port.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from collegium.errors import rule_of
from collegium.party.fetch import coordinator_channel
from collegium.party.home import Party
from collegium.party.lines import Lines
from collegium.party.mirrored import check_copy
from collegium.party.relay import TunnelRelay
from collegium.party.serving import GRACE, Stop
from collegium.transport.dial import dial_forever, dial_once, spread_of
from collegium.transport.dispatch import handlers_of
from collegium.transport.endpoint import Endpoint
from collegium.transport.peer import COORDINATOR, Peer
from collegium.transport.status import to_public_status

__all__ = ["Dialling", "Services"]

Services = Sequence[tuple[Any, Any]]
"""Servicers and the descriptors of their services."""


class Dialling:
    """Serves `services` to the coordinator, and to nobody else. `proxy`: an HTTP proxy to call through, or ""."""

    def __init__(self, party: Party, services: Services, lines: Lines, *, proxy: str) -> None:
        self._party, self._proxy, self._lines = party, proxy, lines
        peer = Peer(party.membership.federation, COORDINATOR, COORDINATOR)
        self._handlers = {
            method: handler
            for servicer, service in services
            for method, handler in handlers_of(servicer, service, peer=peer, status=to_public_status).items()
        }
        self._live: list[Endpoint] = []
        self._asking: asyncio.Task[None] | None = None
        self.relay = TunnelRelay(self._live)

    async def run(self, stop: Stop) -> None:
        membership = self._party.membership
        self._lines.event("serving", mode="dial", name=membership.name, coordinator=membership.service)
        dialling = asyncio.create_task(self._dial())
        await stop.event.wait()
        for endpoint in self._live:
            await endpoint.close(grace=stop.grace)
        dialling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await dialling

    async def _dial(self) -> None:
        await dial_forever(self._attempt, admitted=lambda: bool(self._live), failed=self._failed, spread=self._spread)

    async def renewed(self) -> None:
        """Calls in flight end on the old tunnel; the next one is opened with the new certificate."""
        for endpoint in list(self._live):
            await endpoint.close(grace=GRACE)

    def _spread(self) -> float:
        """The registry says how many lose the coordinator when it stops: they shall not all come back in one moment."""
        return spread_of(len(self._party.members.registry.nodes()))

    async def _attempt(self) -> None:
        home, membership = self._party.home, self._party.membership
        await dial_once(
            lambda: coordinator_channel(home, membership, self._proxy), self._handlers, self._opened, place=membership.service
        )

    def _opened(self, endpoint: Endpoint) -> None:
        self._live[:] = [endpoint]
        self._asking = asyncio.create_task(check_copy(endpoint, self._party, self._lines))
        self._lines.event("connected", coordinator=self._party.membership.service)

    def _failed(self, error: Exception | None, wait: float) -> None:
        self._live.clear()
        kind = rule_of(error).error.kind if error is not None else "ended"
        self._lines.event("disconnected", kind=kind, retry_ms=round(wait * 1000))
