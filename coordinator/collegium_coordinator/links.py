"""Connections of parties of one role, however they came: down a tunnel they opened, or on a port this coordinator dials.

A party that connects is first greeted and taught the registry entries it lacks; only then is it asked anything, so that it can
verify a researcher who joined a second ago. Whenever the registry grows, everybody who is connected is taught the new entries, and
the connections of the revoked are closed. `Nodes` and `Trustees` add what they ask.

Made for a country whose parties may all connect within seconds, as after a restart of this coordinator: few are greeted or taught
at once and the others wait their turn; whoever has come while one transaction was written is noted by the next; and a registry that
grows entry by entry is taught in rounds, not once for every entry.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Protocol, TypeVar

from collegium.errors import CollegiumError, Invalid, Offline, Refused
from collegium.registration import Role
from collegium.transport.node_client import Caller
from collegium.v1.node_pb2 import LearnReply, LearnRequest
from collegium_coordinator.registrylog import RegistryLog

__all__ = ["CALL_SECONDS", "Client", "Link", "Links"]

log = logging.getLogger("collegium.coordinator.links")

CALL_SECONDS = 20.0  # for calls that read no data
AT_ONCE = 64  # parties that are greeted, taught or asked how they are at the same time
PAUSE = 0.002  # seconds for each connected party between two rounds of teaching all: a third of what a round takes


class Client(Protocol):
    """What every party can be asked."""

    @property
    def caller(self) -> Caller: ...

    async def learn(self, request: LearnRequest, *, timeout: float | None = ...) -> LearnReply: ...  # noqa: ASYNC109


class Link:
    """One connection to one party. `known` is how much of the registry the party has verified."""

    def __init__(self, name: str, client: Client, close: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self.client = client
        self.close = close
        self.known = 0
        self.gone = False
        self.teaching = asyncio.Lock()


L = TypeVar("L", bound=Link)


class Links(Generic[L]):
    """All connections of one role, by name. Trusted with nothing: what a connection says about itself is its own word.

    Args:
        expected: who was connected when the last run ended: after a restart these are awaited, others are simply offline.
        on_ready: called with a party's name when it has connected and knows the registry.
    """

    role: Role

    def __init__(
        self,
        registry: RegistryLog,
        *,
        clock: Callable[[], float],
        expected: Iterable[str],
        on_ready: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._on_ready = on_ready
        self._connections: dict[str, L] = {}
        self._arrived = asyncio.Condition()
        self._awaited: dict[str, asyncio.Event] = {}  # by name: one who waits for one party is not woken by every other
        self._expected = set(expected)
        self._sleep = sleep
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._unwritten: dict[str, L | None] = {}  # who has come, or gone (None), since the last transaction began
        self._writing = asyncio.Lock()
        self._teaching_all = False
        self._grew = False  # the registry, while all were being taught

    # -- connections come and go -----------------------------------------------------------------------------------------------

    async def attach(self, connection: L) -> None:
        """Take a new connection into use. The newest of a party wins: the older one is closed.

        Raises:
            CollegiumError: the party could not be greeted; the connection is not in use.
        """
        async with self._turns:
            if not connection.gone:
                await self._greet(connection)
                await self._teach(connection)
        if connection.gone:
            raise Offline(f"the {self.role} {connection.name} went away while it was greeted", reason="offline")
        self.must_be_party(connection.name)  # revoked meanwhile
        older = self._connections.get(connection.name)
        self._connections[connection.name] = connection
        self._expected.discard(connection.name)
        if older is not None:
            await older.close()
        await self._note(connection.name, connection)
        log.info("%s %s connected", self.role, connection.name)
        awaited = self._awaited.pop(connection.name, None)
        if awaited is not None:
            awaited.set()
        async with self._arrived:
            self._arrived.notify_all()
        self._on_ready(connection.name)

    async def detach(self, connection: L) -> None:
        """The connection is gone. Nothing happens when a newer one of the same party is in use."""
        connection.gone = True
        if self._connections.get(connection.name) is connection:
            del self._connections[connection.name]
            await self._note(connection.name, None)
            log.info("%s %s disconnected", self.role, connection.name)

    async def close(self) -> None:
        """Close all connections. They stay marked as connected, so that the next start expects them back."""
        connections, self._connections = list(self._connections.values()), {}
        await asyncio.gather(*(connection.close() for connection in connections), return_exceptions=True)

    # -- using them ------------------------------------------------------------------------------------------------------------

    def connected(self, name: str) -> bool:
        return name in self._connections

    def in_use(self, connection: L) -> bool:
        """Whether calls to its party go over this connection."""
        return self._connections.get(connection.name) is connection

    def must_be_party(self, name: str) -> None:
        """Raises Refused unless the registry has a party of this name and role that is not revoked."""
        if self._registry.registry.party(name).role != self.role:
            raise Refused(f"{name!r} is no {self.role}", by="identity", reason="identity")

    def names(self) -> list[str]:
        """Names of those who are connected, sorted."""
        return sorted(self._connections)

    def expected(self, name: str) -> bool:
        """Whether the party was connected before this start and has not come back yet."""
        return name in self._expected

    async def wait_for(self, name: str, until: float) -> L:
        """The connection of a party; waits for it until `until` (this coordinator's clock). Raises Offline."""
        if name not in self._connections:
            arrived = self._awaited.setdefault(name, asyncio.Event())
            try:
                async with asyncio.timeout(max(0.0, until - self._clock())):
                    await arrived.wait()
            except TimeoutError:
                pass
        return self.get(name)

    async def wait_until(self, holds: Callable[[], bool], until: float) -> bool:
        """Whether something that arrivals bring about holds; waits for it until `until` (this coordinator's clock)."""
        try:
            async with asyncio.timeout(max(0.0, until - self._clock())), self._arrived:
                await self._arrived.wait_for(holds)
        except TimeoutError:
            return holds()
        return True

    def get(self, name: str) -> L:
        """The connection of a party. Raises Offline."""
        connection = self._connections.get(name)
        if connection is None:
            raise Offline(f"the {self.role} {name} is not connected", remedy="Ask again later.", reason="offline")
        return connection

    async def taught(self, name: str) -> L:
        """The same, when the party has verified the newest registry: it can then judge whoever asks."""
        connection = self.get(name)
        await self._teach(connection)
        return connection

    async def registry_grew(self) -> None:
        """Teach everybody what is new; close the connections of those who are revoked.

        While a round of teaching runs, another growth begins no second one: all are taught again after it, and after a pause.
        """
        revoked = [c for name, c in self._connections.items() if not self._is_party(name)]
        for connection in revoked:
            log.warning("%s %s is revoked; its connection is closed", self.role, connection.name)
            await connection.close()
            await self.detach(connection)
        self._grew = True
        if self._teaching_all:
            return
        self._teaching_all = True
        try:
            while self._grew:
                self._grew = False
                await asyncio.gather(*(self._teach_quietly(connection) for connection in list(self._connections.values())))
                if self._grew:
                    await self._sleep(PAUSE * len(self._connections))
        finally:
            self._teaching_all = False

    # -- inside ----------------------------------------------------------------------------------------------------------------

    async def _greet(self, connection: L) -> None:
        """Ask it who it is, and set `known`. Raises CollegiumError."""
        raise NotImplementedError

    def _remember(self, *connections: L) -> None:
        """Store who is connected, and what it says of itself."""
        raise NotImplementedError

    def _forget(self, *names: str) -> None:
        """Store that they are connected no more."""
        raise NotImplementedError

    async def _note(self, name: str, connection: L | None) -> None:
        """Store that a party has come or, with None, gone. One transaction for all that came while the last one was written."""
        self._unwritten[name] = connection
        async with self._writing:
            batch, self._unwritten = self._unwritten, {}
            come = [each for each in batch.values() if each is not None]
            gone = [each for each, now in batch.items() if now is None]
            if come:
                await asyncio.to_thread(self._remember, *come)
            if gone:
                await asyncio.to_thread(self._forget, *gone)

    def _is_party(self, name: str) -> bool:
        try:
            self.must_be_party(name)
        except CollegiumError:
            return False
        return True

    async def _teach(self, connection: L) -> None:
        """Send the entries the party lacks, page by page, each page with the checkpoint over the tree that ends with it."""
        async with connection.teaching:
            while connection.known < self._registry.size:
                entries, checkpoint, _ = await asyncio.to_thread(self._registry.page, connection.known)
                request = LearnRequest(first=connection.known, entries=entries, checkpoint=checkpoint)
                reply = await connection.client.learn(request, timeout=CALL_SECONDS)
                if reply.registry_size <= connection.known:
                    raise Invalid(f"the {self.role} {connection.name} does not take the registry's entries", place="registry")
                connection.known = reply.registry_size

    async def _teach_quietly(self, connection: L) -> None:
        try:
            async with self._turns:
                await self._teach(connection)
        except CollegiumError as error:
            log.warning("%s %s could not be taught the registry: %s", self.role, connection.name, error)
