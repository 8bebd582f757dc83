"""When the next step of a round is tried again, and when a round is given up.

Failure: a round that nobody runs any more although it is unsettled; one that is given up before parties had time to come back.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from collegium.errors import Failed
from collegium_coordinator.planning import FEW_NODES, NO_ROUND, RoundOver
from collegium_coordinator.rounds import Round

EXPIRY, RECONNECT = 1000.0, 70.0


class Rows:
    """The rows of one round, in a database that fails at the given calls."""

    def __init__(self, *failing: str) -> None:
        self.failing = list(failing)
        self.state, self.reason = "new", ""

    def row(self, identity: int) -> Any:
        self._call("row")
        return self._row(identity)

    def _row(self, identity: int) -> Any:
        settled = self.state in ("done", "failed")
        return SimpleNamespace(
            id=identity, number=0, place=0, state=self.state, reason=self.reason, settled=settled, plan=None, closing=None
        )

    def move(self, row: Any, state: str, reason: str = "") -> None:
        self._call("move")
        if self.state == row.state:
            self.state, self.reason = state, reason

    def answered_before(self, _row: Any) -> list[Any]:
        return []

    def _call(self, name: str) -> None:
        if self.failing and self.failing[0] == name:
            self.failing.pop(0)
            raise Failed("the disk is full")


def round_of(rows: Rows, clock: Any, *, ready: bool = True, started: float = 0.0) -> Round:
    async def confirmed(*_: Any) -> bool:
        return ready

    async def plan(*_: Any) -> None:
        raise RoundOver(FEW_NODES, "too few")

    parts: Any = SimpleNamespace(
        rounds=rows, clock=clock, started=started, reconnect=RECONNECT, journal=SimpleNamespace(origin="o"), freshen=None,
        cosigning=SimpleNamespace(ready=confirmed), planner=SimpleNamespace(plan=plan),
        observed=SimpleNamespace(stepping=lambda *_: nullcontext()),
    )  # fmt: skip
    job: Any = SimpleNamespace(id="ab" * 32, asked=SimpleNamespace(body=SimpleNamespace(expiry=int(EXPIRY))))
    group: Any = SimpleNamespace(members=())
    return Round(parts, job, rows._row(1), group, closed=lambda _: None)


@pytest.mark.parametrize("failing", [["move"], ["row"], ["row", "move"]])
def test_a_database_that_fails_once_does_not_end_a_round_silently(failing: list[str]) -> None:
    async def main() -> None:
        rows = Rows(*failing)
        async with asyncio.timeout(10):
            await round_of(rows, lambda: 10.0).run()
        assert (rows.failing, rows.state, rows.reason) == ([], "failed", FEW_NODES)

    asyncio.run(main())


def test_a_request_that_expired_while_the_coordinator_was_down_waits_for_its_parties() -> None:
    async def main() -> None:
        now = EXPIRY + 500
        rows = Rows()
        one = round_of(rows, lambda: now, ready=False, started=now - 1)
        task = asyncio.ensure_future(one.run())
        await asyncio.sleep(0.5)  # several tries
        assert (rows.state, task.done()) == ("new", False)
        now += RECONNECT
        async with asyncio.timeout(10):
            await task
        assert (rows.state, rows.reason) == ("failed", NO_ROUND)

    asyncio.run(main())
