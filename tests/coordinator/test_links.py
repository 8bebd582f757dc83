"""A country that connects within seconds: few are greeted at once, one transaction notes many, and all are taught in rounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from collegium.errors import Offline, Refused
from collegium.v1.node_pb2 import LearnReply, LearnRequest
from collegium_coordinator.links import AT_ONCE, Link, Links
from collegium_coordinator.nodes import Connection, Nodes

COUNTRY = 600


class Registry:
    """As much of a RegistryLog as Links asks for: a size, pages, and who is registered."""

    def __init__(self) -> None:
        self.size = 10
        self.revoked: set[str] = set()
        self.registry = self

    def party(self, name: str) -> Any:
        if name in self.revoked:
            raise Refused("revoked", by="identity", reason="identity")
        return SimpleNamespace(role="node")

    def page(self, first: int) -> tuple[list[bytes], bytes, bool]:
        return [b"entry"] * (self.size - first), b"", False


class Party:
    """A node that can be slow; counts what it is taught, and how many of all are at work at the same time."""

    busy = most = 0

    def __init__(self, registry: Registry, delay: Callable[[], Awaitable[None]]) -> None:
        self.registry, self.delay, self.learnt = registry, delay, 0
        self.caller: Any = None

    async def learn(self, request: LearnRequest, *, timeout: float | None = None) -> LearnReply:
        Party.busy += 1
        Party.most = max(Party.most, Party.busy)
        try:
            await self.delay()
        finally:
            Party.busy -= 1
        self.learnt += 1
        return LearnReply(registry_size=request.first + len(request.entries))


class NoStore:
    """A database in which nobody was connected before."""

    def rows(self, sql: str) -> list[Any]:
        return []


class Counted(Links[Link]):
    """Links that remember in a dictionary and count their transactions."""

    role = "node"

    def __init__(self, registry: Registry, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        super().__init__(registry, clock=clock, expected=(), on_ready=lambda _: None, sleep=sleep)  # type: ignore[arg-type]
        self.stored: dict[str, bool] = {}
        self.transactions = 0

    async def _greet(self, connection: Link) -> None:
        connection.known = 0

    def _remember(self, *connections: Link) -> None:
        self.transactions += 1
        self.stored.update({each.name: True for each in connections})

    def _forget(self, *names: str) -> None:
        self.transactions += 1
        self.stored.update(dict.fromkeys(names, False))


def clock() -> float:
    return asyncio.get_running_loop().time()


async def moment() -> None:
    await asyncio.sleep(0.002)


async def at_once() -> None:
    return None


async def no_close() -> None:
    return None


def link(number: int, registry: Registry, delay: Callable[[], Awaitable[None]] = at_once) -> Link:
    return Link(f"univ-{number:04}", Party(registry, delay), no_close)


@pytest.fixture(autouse=True)
def _nobody_is_busy() -> None:
    Party.busy = Party.most = 0


def test_a_country_that_comes_back_at_once_is_greeted_by_turns_and_noted_together() -> None:
    async def main() -> None:
        registry = Registry()
        links = Counted(registry)
        everybody = [link(number, registry, moment) for number in range(COUNTRY)]
        await asyncio.gather(*(links.attach(each) for each in everybody))
        assert 1 < Party.most <= AT_ONCE
        assert links.stored == {each.name: True for each in everybody}
        assert links.names() == [each.name for each in everybody]
        assert links.transactions < COUNTRY / 2
        await asyncio.gather(*(links.detach(each) for each in everybody))
        assert set(links.stored.values()) == {False}

    asyncio.run(main())


def test_who_goes_and_comes_while_a_transaction_is_written_is_noted_as_here() -> None:
    async def main() -> None:
        registry = Registry()
        links = Counted(registry)
        first, second = link(1, registry), link(1, registry)
        await links.attach(first)
        await asyncio.gather(links.detach(first), links.attach(second))
        assert links.stored == {"univ-0001": True}
        assert links.get("univ-0001") is second

    asyncio.run(main())


def test_one_that_went_away_while_it_waited_for_its_turn_is_not_greeted() -> None:
    async def main() -> None:
        registry, gate = Registry(), asyncio.Event()
        links = Counted(registry)

        async def stuck() -> None:
            await gate.wait()

        slow = [asyncio.create_task(links.attach(link(number, registry, stuck))) for number in range(AT_ONCE)]
        late = link(COUNTRY, registry)
        waiting = asyncio.create_task(links.attach(late))
        await asyncio.sleep(0.01)
        await links.detach(late)
        gate.set()
        with pytest.raises(Offline):
            await waiting
        await asyncio.gather(*slow)
        assert isinstance(late.client, Party)
        assert late.client.learnt == 0
        assert late.name not in links.names()

    asyncio.run(main())


def test_everybody_waits_for_one_party_and_is_woken_by_that_one_alone() -> None:
    async def main() -> None:
        registry = Registry()
        links = Counted(registry)
        until = clock() + 30
        awaited = {number: asyncio.create_task(links.wait_for(f"univ-{number:04}", until)) for number in range(50)}
        never = asyncio.create_task(links.wait_for("univ-9999", clock() + 0.05))
        for number in range(0, 50, 2):
            await links.attach(link(number, registry))
        await asyncio.sleep(0.01)
        assert [number for number, task in awaited.items() if task.done()] == list(range(0, 50, 2))
        for number in range(1, 50, 2):
            await links.attach(link(number, registry))
        assert [(await task).name for task in awaited.values()] == [f"univ-{number:04}" for number in range(50)]
        with pytest.raises(Offline):
            await never

    asyncio.run(main())


def test_a_registry_that_grows_entry_by_entry_is_taught_in_rounds() -> None:
    async def main() -> None:
        registry, pauses = Registry(), list[float]()

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0)

        links = Counted(registry, sleep=pause)
        everybody = [link(number, registry, moment) for number in range(200)]
        await asyncio.gather(*(links.attach(each) for each in everybody))
        before = {each.name: each.client.learnt for each in everybody}  # type: ignore[attr-defined]
        growing = []
        for _ in range(100):
            registry.size += 1
            growing.append(asyncio.create_task(links.registry_grew()))
            await asyncio.sleep(0)
        await asyncio.gather(*growing)
        assert {each.known for each in everybody} == {registry.size}
        assert max(each.client.learnt - before[each.name] for each in everybody) < 50  # type: ignore[attr-defined]
        assert Party.most <= AT_ONCE
        assert pauses
        assert all(seconds > 0 for seconds in pauses)

    asyncio.run(main())


def test_the_revoked_are_cut_off_also_while_others_are_being_taught() -> None:
    async def main() -> None:
        registry, gate = Registry(), asyncio.Event()
        links = Counted(registry)
        stays, goes = link(1, registry), link(2, registry)
        await links.attach(stays)
        await links.attach(goes)

        async def stuck() -> None:
            await gate.wait()

        assert isinstance(stays.client, Party)
        stays.client.delay = stuck
        registry.size += 1
        teaching = asyncio.create_task(links.registry_grew())
        await asyncio.sleep(0.01)
        registry.revoked.add(goes.name)
        registry.size += 1
        await links.registry_grew()  # returns at once: the round that runs goes on to the newest entry
        assert links.names() == [stays.name]
        gate.set()
        await teaching
        assert stays.known == registry.size

    asyncio.run(main())


def test_who_asks_how_the_nodes_are_makes_few_answer_those_unheard_of_the_longest() -> None:
    async def main() -> None:
        asked: list[str] = []

        class Silent(Nodes):
            async def _ask_status(self, connection: Connection, patience: float) -> None:
                asked.append(connection.name)
                connection.status_at = 1000.0
                raise Offline("silent")

        nodes = Silent(NoStore(), Registry(), clock=lambda: 1000.0, on_ready=lambda _: None)  # type: ignore[arg-type]
        for number in range(COUNTRY):
            connection = Connection(f"univ-{number:04}", Party(Registry(), at_once), no_close)  # type: ignore[arg-type]
            connection.status_at = 500.0 + number * 7 % COUNTRY
            nodes._connections[connection.name] = connection
        await nodes.freshen(60.0, patience=1.0)
        assert len(asked) == AT_ONCE
        rest = [each.status_at for each in nodes._connections.values() if each.name not in asked]
        assert min(rest) >= 500.0 + AT_ONCE
        for _ in range(COUNTRY // AT_ONCE):
            await nodes.freshen(60.0, patience=1.0)
        due = {name for name, each in nodes._connections.items() if name not in asked}
        assert all(nodes._connections[name].status_at >= 940.0 for name in due)  # heard of within the minute: not asked at all
        assert len(asked) == len(set(asked))

    asyncio.run(main())
