"""What the serving coordinator does now and then: looks at what other processes wrote, at its nodes, at its own certificate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from collegium.errors import CollegiumError
from collegium_coordinator.nodes import Nodes
from collegium_coordinator.registrylog import RegistryLog

__all__ = ["look_at_nodes", "renew", "watch_registry"]

log = logging.getLogger("collegium.coordinator.background")

POLL = 0.5  # seconds between looks at what the registrar's commands wrote
LOOK = 60.0  # seconds between looks at what a node says of itself
LOOKS = 12  # portions in which all are looked at within that time: never a whole country in one moment
RENEWAL_CHECK = 3600.0  # seconds


async def watch_registry(registry: RegistryLog, grown: Callable[[], None]) -> None:
    """Take over what `invite`, `revoke` and `schema` wrote in their own processes; `grown` is called after every look."""
    while True:
        await asyncio.sleep(POLL)
        try:
            await asyncio.to_thread(registry.refresh)
            grown()
        except CollegiumError:
            log.exception("the registry in the database does not verify; it is not used beyond entry %d", registry.size)


async def look_at_nodes(nodes: Nodes) -> None:
    """Snapshots and policies change while a node stays connected; `nodes` and `budget` show them from the database."""
    while True:
        await asyncio.sleep(LOOK / LOOKS)
        try:
            await nodes.freshen(LOOK, patience=10.0, most=len(nodes.names()) // LOOKS + 1)
        except CollegiumError:
            log.exception("what the nodes say of themselves could not be stored")


async def renew(take: Callable[[], None]) -> None:
    """Now and then, `take` the coordinator's own certificate: it is made anew when it is old."""
    while True:
        await asyncio.sleep(RENEWAL_CHECK)
        try:
            take()
        except CollegiumError:
            log.exception("the coordinator's own certificate could not be renewed")
