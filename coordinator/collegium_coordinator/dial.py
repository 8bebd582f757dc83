"""Nodes that listen: the coordinator dials them and keeps the channel open.

Which address a node has is the operator's own note (`invite node NAME --dial HOST:PORT`, `dial`), not part of the registry: mutual
TLS proves who answers there. A wrong address is a node that stays offline.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from collegium.errors import CollegiumError
from collegium.transport.channels import TlsFiles, client_channel
from collegium.transport.node_client import ChannelCaller, NodeClient
from collegium_coordinator.nodes import Connection, Nodes
from collegium_coordinator.store import Store

__all__ = ["Dialler"]

log = logging.getLogger("collegium.coordinator.dial")

LOOK = 2.0  # seconds between looks at the list of addresses
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between attempts
PULSE = 15.0  # seconds between looks at whether a connected node still answers


class Dialler:
    """One task for each address in the database."""

    def __init__(self, store: Store, nodes: Nodes, tls: Callable[[], TlsFiles], *, clock: Callable[[], float]) -> None:
        self._store = store
        self._nodes = nodes
        self._tls = tls
        self._clock = clock
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow the list of addresses until cancelled."""
        try:
            while True:
                wanted = {(str(node), str(address)) for node, address in self._store.rows("SELECT node, address FROM dial")}
                for key in self._tasks.keys() - wanted:
                    self._tasks.pop(key).cancel()
                for key in wanted - self._tasks.keys():
                    self._tasks[key] = asyncio.ensure_future(self._keep(*key))
                await asyncio.sleep(LOOK)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _keep(self, node: str, address: str) -> None:
        wait = FIRST_WAIT
        while True:
            channel = client_channel(address, ca=self._tls().ca, server=node, me=self._tls())
            connection = Connection(node, NodeClient(ChannelCaller(channel), name=node), channel.close)
            try:
                self._nodes.must_be_party(node)
                await self._nodes.attach(connection)
                wait = FIRST_WAIT
                while self._nodes.in_use(connection):
                    await asyncio.sleep(PULSE)
                    await connection.calls.status(timeout=PULSE)
            except CollegiumError as error:
                log.info("node %s at %s: %s", node, address, error)
            finally:
                await self._nodes.detach(connection)
                await channel.close()
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)
