"""The nodes that are connected now, and what each says of itself.

Trusted with nothing: what a connection says about itself (`NodeStatus`) is shown as its own word; the policy in it is used only
when the node's key has signed it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable

from collegium.errors import CollegiumError, Invalid
from collegium.statements import Policy
from collegium.transport.node_client import NodeClient
from collegium.v1.node_pb2 import AnswerReply, AnswerRequest, NodeStatus, SubmitReply, SubmitRequest
from collegium_coordinator.links import AT_ONCE, CALL_SECONDS, Link, Links
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store

__all__ = ["Connection", "Nodes"]

log = logging.getLogger("collegium.coordinator.nodes")


class Connection(Link):
    """One connection to one node, and what it last said of itself."""

    def __init__(self, name: str, calls: NodeClient, close: Callable[[], Awaitable[None]]) -> None:
        super().__init__(name, calls, close)
        self.calls = calls
        self.status: NodeStatus | None = None
        self.status_at = 0.0


class Nodes(Links[Connection]):
    """All connections, by node.

    Args:
        on_ready: called with a node's name when it has connected and knows the registry; asks it what it still owes.
    """

    role = "node"

    def __init__(self, store: Store, registry: RegistryLog, *, clock: Callable[[], float], on_ready: Callable[[str], None]) -> None:
        expected = [str(row[0]) for row in store.rows("SELECT node FROM seen WHERE connected = 1")]
        super().__init__(registry, clock=clock, expected=expected, on_ready=on_ready)
        self._store = store

    async def answer(self, name: str, request: AnswerRequest, *, timeout: float) -> AnswerReply:  # noqa: ASYNC109 - it travels
        """Ask a node. It is taught the newest registry first, so that it can verify who asks.

        Raises:
            Offline: it is not connected or did not answer. Other CollegiumErrors as the node reports them.
        """
        connection = await self.taught(name)
        return await connection.calls.answer(request, timeout=timeout)

    async def submit(self, name: str, request: SubmitRequest, *, timeout: float) -> SubmitReply:  # noqa: ASYNC109 - it travels
        """The same for its part of a national sum."""
        connection = await self.taught(name)
        return await connection.calls.submit(request, timeout=timeout)

    async def freshen(self, max_age: float, *, patience: float, most: int = AT_ONCE) -> None:
        """Ask nodes for their status again where what is known is older than `max_age` seconds; wait at most `patience` seconds.

        Only the `most` that were heard of the longest ago: anybody may ask how the nodes are, and must not make thousands answer.
        """
        stale = sorted(self._older(max_age, self._connections), key=lambda connection: connection.status_at)[:most]
        await self._ask_all(stale, patience)

    async def freshen_these(self, names: Iterable[str], max_age: float, *, patience: float) -> None:
        """The same for every one of these who is connected, however many: `AT_ONCE` at a time, each for at most `patience` seconds.

        Only for what this coordinator itself needs to know; see `freshen` for what others may make it ask.
        """
        await self._ask_all(self._older(max_age, names), patience)

    # -- inside ----------------------------------------------------------------------------------------------------------------

    def _older(self, max_age: float, names: Iterable[str]) -> list[Connection]:
        now = self._clock()
        found = [self._connections[name] for name in names if name in self._connections]
        return [connection for connection in found if now - connection.status_at > max_age]

    async def _ask_all(self, stale: list[Connection], patience: float) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(connection: Connection) -> bool:
            async with turns:
                return await self._ask_status_quietly(connection, patience)

        answered = await asyncio.gather(*map(ask, stale))
        fresh = [connection for connection, there in zip(stale, answered, strict=True) if there and self.in_use(connection)]
        if fresh:
            await asyncio.to_thread(self._remember, *fresh)

    async def _greet(self, connection: Connection) -> None:
        await self._ask_status(connection, CALL_SECONDS)
        assert connection.status is not None
        connection.known = connection.status.registry_size

    async def _ask_status(self, connection: Connection, patience: float) -> None:
        status = await connection.calls.status(timeout=patience)
        if status.name != connection.name:
            raise Invalid(f"the node {connection.name} says it is {status.name!r}", place="node status")
        connection.status_at = self._clock()
        connection.status = status

    async def _ask_status_quietly(self, connection: Connection, patience: float) -> bool:
        try:
            await self._ask_status(connection, patience)
        except CollegiumError as error:
            log.info("node %s gave no status: %s", connection.name, error)
            return False
        return True

    def _signed_policy(self, connection: Connection) -> bytes | None:
        """The policy statement of the status, if this node's own key has signed it."""
        assert connection.status is not None
        note = connection.status.policy
        if not note:
            return None
        try:
            Policy.open(note, [self._registry.registry.party(connection.name).statements])
        except CollegiumError as error:
            log.warning("node %s shows a policy that does not verify: %s", connection.name, error)
            return None
        return bytes(note)

    def _remember(self, *connections: Connection) -> None:
        rows = []
        for connection in connections:
            status = connection.status
            assert status is not None
            rows.append(
                (
                    connection.name,
                    int(self._clock()),
                    status.version[:100],
                    status.snapshot[:100],
                    json.dumps([dataset[:100] for dataset in status.datasets[:1000]]),
                    status.registry_size,
                    self._signed_policy(connection),
                )
            )
        with self._store.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO seen VALUES (?, 1, ?, ?, ?, ?, ?, ?)", rows)

    def _forget(self, *names: str) -> None:
        with self._store.transaction() as db:
            rows = [(int(self._clock()), name) for name in names]
            db.executemany("UPDATE seen SET connected = 0, last = ? WHERE node = ?", rows)
