"""Nodes are told how a round has ended: once each, while trustees are away and the round's next step is tried again and again.

Failure: a node called again that has taken it or is being called; a list of half a megabyte made for every node, or made where it
stops everybody else; nobody marked as told because one node does not answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from collegium.errors import Offline
from collegium_coordinator.roundstore import RoundRow, RoundStore
from collegium_coordinator.store import Store
from collegium_coordinator.telling import FEW, Teller

PLAN = "ab" * 32
NODES = 3 * FEW


class Country:
    """The nodes of one closed round, a log that has receipts, and a list whose making is counted."""

    def __init__(self, store: Store) -> None:
        self.calls: list[str] = []
        self.looked_for: list[str] = []
        self.away: set[str] = set()
        self.stuck: dict[str, asyncio.Event] = {}
        self.made: list[threading.Thread] = []
        with store.transaction() as db:
            db.execute(
                "INSERT INTO rounds (id, request, number, place, codes, question, members, state, began, plan, closing)"
                " VALUES (1, 'r', 0, 0, 'null', 'q', 'm', 'closed', 0, ?, 7)",
                (PLAN,),
            )
            db.executemany(
                "INSERT INTO submissions (plan, member, node, reason, submit, entry) VALUES (?, ?, ?, '', ?, ?)",
                [(PLAN, member, f"u{member}", "cd" * 32, member) for member in range(NODES)],
            )
        country = self

        class Lists(RoundStore):
            def closing(self, row: RoundRow) -> bytes:
                return b"close"

            def participants(self, row: RoundRow) -> bytes:
                country.made.append(threading.current_thread())
                return b"list"

        self.rounds = Lists(store)
        log: Any = SimpleNamespace(receipt=lambda index: b"proof of %d" % index)
        nodes: Any = SimpleNamespace(get=self.get)
        self.teller = Teller(self.rounds, nodes, log, parallel=512)

    def get(self, name: str) -> Any:
        self.looked_for.append(name)
        if name in self.away:
            raise Offline("away")

        async def closed(request: Any, **_: Any) -> None:
            assert (request.close, request.participants, request.close_receipt) == (b"close", b"list", b"proof of 7")
            assert request.submit_receipt == f"proof of {name[1:]}".encode()
            self.calls.append(name)
            if name in self.stuck:
                await self.stuck[name].wait()

        return SimpleNamespace(calls=SimpleNamespace(closed=closed))

    def marked(self) -> int:
        return int(self.rounds.store.rows("SELECT COUNT(*) FROM submissions WHERE told = 1")[0][0])


@pytest.fixture
def country(tmp_path: Path) -> Iterator[Country]:
    store = Store(tmp_path / "coordinator.db", create=True)
    yield Country(store)
    store.close()


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


def test_everybody_is_told_once_however_often_the_next_step_is_tried(country: Country) -> None:
    async def main() -> None:
        row, names = country.rounds.row(1), {f"u{number}" for number in range(NODES)}
        country.stuck["u5"] = asyncio.Event()
        country.away = {"u6"}
        tries = [asyncio.ensure_future(country.teller.all(row)) for _ in range(3)]
        # One that does not answer keeps nobody from being marked, in portions.
        await until(lambda: country.marked() >= NODES - FEW)
        tries += [asyncio.ensure_future(country.teller.all(row)), asyncio.ensure_future(country.teller.node("u5"))]
        await until(lambda: len(country.calls) == NODES - 1)
        country.stuck["u5"].set()
        await asyncio.gather(*tries)
        await country.teller.all(row)
        assert sorted(country.calls) == sorted(names - {"u6"})
        assert country.marked() == NODES - 1
        assert country.looked_for.count("u6") == 1  # not at every try
        # Who was away is told when it comes, and not again.
        country.away.clear()
        await country.teller.node("u6")
        await country.teller.node("u6")
        assert sorted(country.calls) == sorted(names)
        assert country.marked() == NODES
        # The list was made once, and not in the event loop.
        assert len(country.made) == 1
        assert country.made[0] is not threading.main_thread()

    asyncio.run(main())
