"""A process that serves many universities: `python -m rehearsal.host ROOT MAIN ENROLMENT FIRST COUNT PERSONS`.

It says on its standard output, a line of JSON each: how many universities are open, then every second how many tunnels are.
SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from collegium.party.serving import Stop
from collegium.transport.files import raise_file_limit
from collegium_coordinator.config import read_config
from collegium_coordinator.store import Store
from collegium_node.engine import warm_up
from rehearsal.campus import Campus, SharedMembers
from rehearsal.country import RESEARCHER, Country
from rehearsal.rows import kind_of, prepare_kinds

__all__ = ["main"]

LATELY = 1.0  # seconds between two reports


def say(**said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


async def serve(country: Country, first: int, count: int, persons: int, log: Path) -> None:
    """Open the universities `first` to `first + count`, and serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(16, thread_name_prefix="host"))
    stop = Stop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop)
    registry = Store(country.ministry.database)
    entries = [bytes(row[0]) for row in registry.rows("SELECT entry FROM registry ORDER BY idx")]
    row = registry.row("SELECT checkpoint FROM registry ORDER BY idx DESC LIMIT 1")
    registry.close()
    assert row is not None, "the country has been founded"
    SharedMembers.begin(entries, bytes(row[0]), read_config(country.ministry).registry)
    kinds = prepare_kinds(country.root / f"rows-{first}", SharedMembers.one.schema, persons=persons)
    warm_up()
    connected = 0

    def told(change: int) -> None:
        nonlocal connected
        connected += change

    with log.open("a", encoding="utf-8") as stream:
        campuses: list[Campus] = []
        for number in range(first, first + count):
            campuses.append(Campus(country.node(number), kinds[kind_of(number)], RESEARCHER, stream, told))
            if len(campuses) % 50 == 0:
                say(open=len(campuses))
                await asyncio.sleep(0)
                if stop.event.is_set():
                    return
        say(open=len(campuses))
        gc.freeze()
        tasks = [asyncio.create_task(campus.run(stop)) for campus in campuses]
        said = -1
        while not stop.event.is_set():
            if connected != said:
                said = connected
                say(connected=connected)
            try:
                async with asyncio.timeout(LATELY):
                    await stop.event.wait()
            except TimeoutError:
                pass
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    raise_file_limit()
    root, main_address, enrolment, first, count, persons = sys.argv[1:]
    country = Country(Path(root), main_address, enrolment)
    log = country.root / "logs" / f"host-{first}.log"
    asyncio.run(serve(country, int(first), int(count), int(persons), log))


if __name__ == "__main__":
    main()
