"""The nodes that are connected now, however they came: down a tunnel they opened, or on a port this coordinator dials.

A node that connects is first asked who it is and taught the registry entries it lacks; only then are questions sent to it, so that
it can verify a researcher who joined a second ago. Whenever the registry grows, every connected node is taught the new entries,
and the connections of revoked ones are closed.

Trusted with nothing: what a connection says about itself (`NodeStatus`) is shown as its own word; the policy in it is used only
when the node's key has signed it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

from collegium.errors import CollegiumError, Invalid, Offline, Refused
from collegium.statements import Policy
from collegium.transport.node_client import NodeClient
from collegium.v1.node_pb2 import AnswerReply, AnswerRequest, LearnRequest, NodeStatus
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store

__all__ = ["Connection", "Nodes"]

log = logging.getLogger("collegium.coordinator.nodes")

CALL_SECONDS = 20.0  # for calls that read no data


class Connection:
    """One connection to one node. `known` is how much of the registry the node has verified."""

    def __init__(self, name: str, calls: NodeClient, close: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self.calls = calls
        self.close = close
        self.known = 0
        self.gone = False
        self.teaching = asyncio.Lock()
        self.status: NodeStatus | None = None
        self.status_at = 0.0


class Nodes:
    """All connections, by node.

    Args:
        on_ready: called with a node's name when it has connected and knows the registry; asks it what it still owes.
    """

    def __init__(self, store: Store, registry: RegistryLog, *, clock: Callable[[], float], on_ready: Callable[[str], None]) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._on_ready = on_ready
        self._connections: dict[str, Connection] = {}
        self._arrived = asyncio.Condition()
        # Connected when the last run ended: after a restart these are expected back, others are simply offline.
        self._expected = {str(row[0]) for row in store.rows("SELECT node FROM seen WHERE connected = 1")}

    # -- connections come and go -----------------------------------------------------------------------------------------------

    async def attach(self, connection: Connection) -> None:
        """Take a new connection into use. The newest of a node wins: the older one is closed.

        Raises:
            CollegiumError: the node could not be greeted; the connection is not in use.
        """
        await self._greet(connection)
        if connection.gone:
            raise Offline(f"the node {connection.name} went away while it was greeted", reason="offline")
        self.must_be_party(connection.name)  # revoked meanwhile
        older = self._connections.get(connection.name)
        self._connections[connection.name] = connection
        self._expected.discard(connection.name)
        if older is not None:
            await older.close()
        await asyncio.to_thread(self._remember, connection)
        log.info("node %s connected", connection.name)
        async with self._arrived:
            self._arrived.notify_all()
        self._on_ready(connection.name)

    async def detach(self, connection: Connection) -> None:
        """The connection is gone. Nothing happens when a newer one of the same node is in use."""
        connection.gone = True
        if self._connections.get(connection.name) is connection:
            del self._connections[connection.name]
            await asyncio.to_thread(self._forget, connection.name)
            log.info("node %s disconnected", connection.name)

    async def close(self) -> None:
        """Close all connections. They stay marked as connected, so that the next start expects them back."""
        connections, self._connections = list(self._connections.values()), {}
        await asyncio.gather(*(connection.close() for connection in connections), return_exceptions=True)

    # -- using them ------------------------------------------------------------------------------------------------------------

    def connected(self, name: str) -> bool:
        return name in self._connections

    def in_use(self, connection: Connection) -> bool:
        """Whether calls to its node go over this connection."""
        return self._connections.get(connection.name) is connection

    def must_be_party(self, name: str) -> None:
        """Raises Refused unless the registry has a node of this name that is not revoked."""
        if self._registry.registry.party(name).role != "node":
            raise Refused(f"{name!r} is no node", by="identity", reason="identity")

    def names(self) -> list[str]:
        """Names of the connected nodes, sorted."""
        return sorted(self._connections)

    def expected(self, name: str) -> bool:
        """Whether the node was connected before this start and has not come back yet."""
        return name in self._expected

    async def wait_for(self, name: str, until: float) -> Connection:
        """The connection of a node; waits for it until `until` (this coordinator's clock). Raises Offline."""
        try:
            async with asyncio.timeout(max(0.0, until - self._clock())), self._arrived:
                await self._arrived.wait_for(lambda: name in self._connections)
        except TimeoutError:
            pass
        return self.get(name)

    def get(self, name: str) -> Connection:
        """The connection of a node. Raises Offline."""
        connection = self._connections.get(name)
        if connection is None:
            raise Offline(f"the node {name} is not connected", remedy="Ask again later.", reason="offline")
        return connection

    async def answer(self, name: str, request: AnswerRequest, *, timeout: float) -> AnswerReply:  # noqa: ASYNC109 - it travels
        """Ask a node. It is taught the newest registry first, so that it can verify who asks.

        Raises:
            Offline: it is not connected or did not answer. Other CollegiumErrors as the node reports them.
        """
        connection = self.get(name)
        await self._teach(connection)
        return await connection.calls.answer(request, timeout=timeout)

    async def registry_grew(self) -> None:
        """Teach every node what is new; close the connections of those who are revoked."""
        revoked = [c for name, c in self._connections.items() if not self._is_party(name)]
        for connection in revoked:
            log.warning("node %s is revoked; its connection is closed", connection.name)
            await connection.close()
            await self.detach(connection)
        await asyncio.gather(*(self._teach_quietly(connection) for connection in list(self._connections.values())))

    async def freshen(self, max_age: float, *, patience: float) -> None:
        """Ask nodes for their status again where what is known is older than `max_age` seconds; wait at most `patience` seconds."""
        now = self._clock()
        stale = [c for c in self._connections.values() if now - c.status_at > max_age]
        answered = await asyncio.gather(*(self._ask_status_quietly(connection, patience) for connection in stale))
        fresh = [connection for connection, there in zip(stale, answered, strict=True) if there and self.in_use(connection)]
        if fresh:
            await asyncio.to_thread(self._remember, *fresh)

    # -- inside ----------------------------------------------------------------------------------------------------------------

    def _is_party(self, name: str) -> bool:
        try:
            self.must_be_party(name)
        except CollegiumError:
            return False
        return True

    async def _greet(self, connection: Connection) -> None:
        await self._ask_status(connection, CALL_SECONDS)
        assert connection.status is not None
        connection.known = connection.status.registry_size
        await self._teach(connection)

    async def _teach(self, connection: Connection) -> None:
        """Send the entries the node lacks, page by page, each page with the checkpoint over the tree that ends with it."""
        async with connection.teaching:
            while connection.known < self._registry.size:
                entries, checkpoint, _ = await asyncio.to_thread(self._registry.page, connection.known)
                request = LearnRequest(first=connection.known, entries=entries, checkpoint=checkpoint)
                reply = await connection.calls.learn(request, timeout=CALL_SECONDS)
                if reply.registry_size <= connection.known:
                    raise Invalid(f"the node {connection.name} does not take the registry's entries", place="registry")
                connection.known = reply.registry_size

    async def _teach_quietly(self, connection: Connection) -> None:
        try:
            await self._teach(connection)
        except CollegiumError as error:
            log.warning("node %s could not be taught the registry: %s", connection.name, error)

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

    def _forget(self, name: str) -> None:
        with self._store.transaction() as db:
            db.execute("UPDATE seen SET connected = 0, last = ? WHERE node = ?", (int(self._clock()), name))
