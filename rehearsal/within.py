"""The coordinator and universities in one process: `python -m rehearsal.within ROOT MAIN ENROLMENT FIRST COUNT PERSONS`.

For universities beyond what the machine bears as tunnels. They are called through the servicer that stands behind a tunnel, by the
coordinator's own code from `Nodes` downwards, and call up what a tunnel lets them; TLS, gRPC and the frames between are left out.
Reports and signals are those of `rehearsal.host`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from collegium.errors import CollegiumError
from collegium.party.cosigning import Cosigning
from collegium.party.relay import TunnelRelay
from collegium.party.serving import Stop
from collegium.transport.dispatch import handlers_of
from collegium.transport.endpoint import Handler
from collegium.transport.files import raise_file_limit
from collegium.transport.limits import TOO_LATE, UNKNOWN_METHOD
from collegium.transport.node_client import NodeClient
from collegium.transport.peer import COORDINATOR, Peer
from collegium.transport.status import TunnelError, to_public_status
from collegium_coordinator.config import read_config
from collegium_coordinator.nodes import Connection
from collegium_coordinator.serve import Coordinator, serving
from collegium_coordinator.tunnels import LOG, RELAY
from collegium_node.engine import warm_up
from rehearsal.campus import POLL, Campus, SharedMembers
from rehearsal.country import FEDERATION, RESEARCHER, Country
from rehearsal.host import say
from rehearsal.rows import kind_of, prepare_kinds

__all__ = ["Direct", "main"]


class Direct:
    """What an Endpoint is to its caller, with nothing in between."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    async def call(self, method: str, payload: bytes, *, timeout: float | None) -> bytes:  # noqa: ASYNC109 - as Endpoint.call
        """See `Endpoint.call`."""
        handler = self._handlers.get(method)
        if handler is None:
            raise TunnelError(*UNKNOWN_METHOD)
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                return await handler(payload, deadline)
        except TimeoutError:
            raise TunnelError(*TOO_LATE) from None


async def take_in(coordinator: Coordinator, campus: Campus, work: list[asyncio.Task[None]]) -> None:
    """A university into use, as if its tunnel had been opened."""
    peer = Peer(FEDERATION, COORDINATOR, COORDINATOR)
    down: dict[str, Handler] = {}
    for servicer, service in campus.services:
        down |= handlers_of(servicer, service, peer=peer, status=to_public_status)
    itself = Peer(FEDERATION, "node", campus.name)
    up = handlers_of(coordinator.logs, LOG, peer=itself) | handlers_of(coordinator.relay, RELAY, peer=itself)
    lines: list[Any] = [Direct(up)]
    work.append(asyncio.create_task(Cosigning(campus.node, TunnelRelay(lines), campus.lines, poll=POLL).run()))

    async def close() -> None:
        return None

    try:
        await coordinator.nodes.attach(Connection(campus.name, NodeClient(Direct(down), name=campus.name), close))
    except CollegiumError as error:
        campus.lines.failure("not-taken-in", error)


async def serve(country: Country, first: int, count: int, persons: int, log: Path) -> None:
    """Serve as the coordinator, with the universities `first` to `first + count` inside, until SIGTERM."""
    loop, stop = asyncio.get_running_loop(), Stop()
    loop.set_default_executor(ThreadPoolExecutor(16, thread_name_prefix="host"))
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop)
    config = read_config(country.ministry)
    with serving(country.ministry), log.open("a", encoding="utf-8") as stream:
        coordinator = Coordinator(country.ministry, config)
        registry = coordinator.registry.registry
        SharedMembers.begin(registry.entries, registry.checkpoint or b"", config.registry)
        kinds = prepare_kinds(country.root / f"rows-{first}", SharedMembers.one.schema, persons=persons)
        warm_up()
        await coordinator.start(config.listen)
        work: list[asyncio.Task[None]] = []
        try:
            for number in range(first, first + count):
                campus = Campus(country.node(number), kinds[kind_of(number)], RESEARCHER, stream, lambda _: None)
                await take_in(coordinator, campus, work)
                if number % 50 == 0:
                    say(open=number - first + 1)
                if stop.event.is_set():
                    return
            say(open=count)
            await stop.event.wait()
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await coordinator.stop()


def main() -> None:
    raise_file_limit()
    root, main_address, enrolment, first, count, persons = sys.argv[1:]
    country = Country(Path(root), main_address, enrolment)
    asyncio.run(serve(country, int(first), int(count), int(persons), country.root / "logs" / "within.log"))


if __name__ == "__main__":
    main()
