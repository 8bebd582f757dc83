"""An earlier result is given again as long as every participant's snapshot is the one it was made of.

Failure: a participant whose new data nobody has asked about, because there were many of them; thousands asked in one moment; a new
round and its charges because somebody is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from collegium.errors import Offline
from collegium_coordinator.links import AT_ONCE
from collegium_coordinator.nodes import Connection, Nodes
from collegium_coordinator.reusing import reuse
from collegium_coordinator.verify import READY, REFUSED

NODES = [f"u{number:03}" for number in range(5 * AT_ONCE)]
ANY: Any = None


class Rounds:
    """One earlier round of all nodes, and what each node said last."""

    def __init__(self) -> None:
        self.seen = dict.fromkeys(NODES, "old")
        self.store = SimpleNamespace(rows=lambda *_: list(self.seen.items()))
        self.taken = False

    def answered_before(self, _row: Any) -> list[Any]:
        return [SimpleNamespace(id=1, result=5), SimpleNamespace(id=0, result=4)]

    def participating(self, _earlier: Any) -> list[Any]:
        return [SimpleNamespace(node=node, snapshot="old", submit="") for node in NODES]


def test_every_participant_says_its_snapshot_before_a_result_is_given_again() -> None:
    async def main() -> None:
        rounds: Any = Rounds()
        job: Any = SimpleNamespace(id="ab" * 32, verdicts={node: [READY] for node in NODES})
        row: Any = SimpleNamespace(id=2, number=0)
        asked: list[str] = []

        async def freshen(names: Iterable[str]) -> None:
            asked.extend(names)
            rounds.seen["u299"] = "new"

        assert not await reuse(rounds, job, row, freshen)
        assert asked == NODES  # each once, however many earlier results there are
        # Where somebody has refused, nobody is asked anything for it.
        job.verdicts["u000"] = [REFUSED]
        assert not await reuse(rounds, job, row, freshen)
        assert asked == NODES

    asyncio.run(main())


class NoStore:
    def rows(self, *_: Any) -> list[Any]:
        return []


def test_those_who_are_connected_are_asked_few_at_once() -> None:
    async def main() -> None:
        asked: list[str] = []
        most = busy = 0

        class Silent(Nodes):
            async def _ask_status(self, connection: Connection, patience: float) -> None:
                nonlocal most, busy
                asked.append(connection.name)
                busy += 1
                most = max(most, busy)
                await asyncio.sleep(0)
                busy -= 1
                raise Offline("silent")

        nodes = Silent(NoStore(), ANY, clock=lambda: 1000.0, on_ready=lambda _: None)  # type: ignore[arg-type]
        for name in NODES:
            connection = Connection(name, ANY, ANY)
            connection.status_at = 999.5 if name == "u003" else 500.0
            nodes._connections[name] = connection
        del nodes._connections["u004"]
        await nodes.freshen_these(NODES[1:], 2.0, patience=1.0)
        assert sorted(asked) == sorted(set(NODES) - {"u000", "u003", "u004"})
        assert most == AT_ONCE

    asyncio.run(main())
