"""The coordinator dies at every step of a round, before and after the commit, and goes on from its database.

Failure: a second PLAN or CLOSE of a round; a node charged twice, or a trustee shown two lists; a total that is not the
participants' sum; a round that does not come to its result although everybody is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from national_parties import Country

from collegium.national.statements import Close, Plan
from collegium.national.verify import verify_round
from collegium.question import Question
from collegium_coordinator.indicator import national_table


class Cut(BaseException):
    """Power goes out: nothing of ours runs any more."""


class Power:
    """Goes out when a query over what a transaction has changed gives something, before its commit or after it; then stays out."""

    def __init__(self, query: str, point: str, known: int) -> None:
        self.query, self.point, self.known = query, point, known
        self.store: Any = None
        self.out = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.gone = self.armed = False

    def __call__(self, point: str) -> None:
        if self.gone:
            raise Cut
        if self.store is None:
            return
        if point == "commit" and self.store._writer.execute(self.query, (self.known,)).fetchone()[0]:
            self.armed = True
        if self.armed and point == self.point:
            self.gone = True
            self.loop.call_soon_threadsafe(self.out.set)
            raise Cut


STATES = ["new", "planned", "open", "collected", "closed", "unmasked", "done"]
POINTS = {state: f"SELECT COUNT(*) FROM rounds WHERE id > ? AND state = '{state}'" for state in STATES}
_OF_ROUND = "JOIN rounds r ON r.plan = t.plan WHERE r.id > ?"
POINTS |= {
    "submissions": f"SELECT COUNT(*) FROM submissions t {_OF_ROUND}",
    "prepares": f"SELECT COUNT(*) FROM trusteed t {_OF_ROUND} AND kind = 'prepare'",
    "unmasks": f"SELECT COUNT(*) FROM trusteed t {_OF_ROUND} AND kind = 'unmask'",
}


async def killed(c: Country, question: Question, point: str, at: str, number: int) -> None:
    """One question whose coordinator dies at this point, and what the next one makes of it."""
    known = number - 1  # each question before has made one round
    power = Power(POINTS[point], at, known)
    async with c.serving(combine=national_table, fault=power):
        power.store = c.coordinator.store
        request = await c.request(lambda: question, nonce=f"{number:032x}")
        asking = asyncio.ensure_future(c.ask(request))
        async with asyncio.timeout(20):
            await power.out.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    charged = [node.charged for node in c.nodes]
    async with c.serving(combine=national_table):
        await c.federation.until(lambda: bool(c.rows()) and c.rows()[-1].id > known and c.rows()[-1].settled, seconds=20)
        row = c.rows()[-1]
        assert (row.state, row.reason) == ("done", ""), (point, at)
        plans = [note for note in c.notes("national-plan") if Plan.read(note).request == row.request]
        closes = [note for note in c.notes("national-close") if Close.read(note).plan == row.plan]
        assert (len(plans), len(closes)) == (1, 1)
        asked = question.model_copy(update={"mode": "national"})
        verified = verify_round(c.evidence(row), c.known(row, asked))
        (part,) = c.coordinator.rounds.rounds.plan(row).parts
        assert verified.total.tolist() == [sum(node.value for node in c.nodes) << part.fine], (point, at)
        assert all(node.charged in (before, before + question.rho) for node, before in zip(c.nodes, charged, strict=True))
        assert all(len(node.plans) == number for node in c.nodes)
        assert all(len(trustee.lists) == number for trustee in c.trustees)
        progress = await c.ask(request)
        assert progress.released == len(c.nodes)


def deaths(federation: Any, make_question: Callable[..., Question], points: list[tuple[str, str]]) -> None:
    async def run() -> None:
        c = Country(federation)
        async with c.serving():
            await c.settle(4)
            await c.connect()
        for number, (point, at) in enumerate(points, start=1):
            await killed(c, make_question(rho=10**7 + number), point, at, number)

    asyncio.run(run())


QUICK = [("planned", "commit"), ("closed", "commit"), ("closed", "committed"), ("done", "commit")]


def test_a_coordinator_that_dies_goes_on_with_the_same_plan(federation: Any, make_question: Callable[..., Question]) -> None:
    deaths(federation, make_question, QUICK)


@pytest.mark.long
def test_a_coordinator_that_dies_at_any_step_goes_on(federation: Any, make_question: Callable[..., Question]) -> None:
    deaths(federation, make_question, [(point, at) for point in POINTS for at in ("commit", "committed")])


@pytest.mark.parametrize("away", ["node", "trustee"])
def test_a_party_that_is_not_back_after_a_restart_delays_or_drops_out(
    federation: Any, make_question: Callable[..., Question], away: str
) -> None:
    async def run() -> None:
        c = Country(federation)
        quick = {
            "national": {"dropout": 0.34, "colluding": 0.0, "seconds": 2.0},
            "deadline_seconds": 1.0,
            "combine": national_table,
        }
        async with c.serving(**quick):
            await c.settle(4)
            await c.connect()
            for trustee in c.trustees:
                trustee.fails.add("begin" if away == "node" else "unmask")
            asking = asyncio.ensure_future(c.ask(await c.request(make_question)))
            await c.federation.until(lambda: bool(c.trustees[0].calls) and c.trustees[0].calls[-1] in c.trustees[0].fails)
            if (
                away == "trustee"
            ):  # nobody waits for a trustee longer than for nodes: the request is done, and its figure comes later
                assert (await asking).released == 0
                parts = await c.federation.result(c.stub, c.rows()[0].request, wait_seconds=0.1)
                assert {each.reason for each in c.federation.seen(parts).missing} == {"unmasking"}
        await asyncio.gather(asking, return_exceptions=True)
        for trustee in c.trustees:
            trustee.fails.clear()
        gone = c.nodes.pop() if away == "node" else c.trustees.pop()
        async with c.serving(reconnect_seconds=1.0, **quick):
            if away == "trustee":
                await asyncio.sleep(1.5)
                assert [row.state for row in c.rows()] == ["closed"]
                c.trustees.append(gone)  # type: ignore[arg-type]
                await c.connect()
            await c.federation.until(lambda: c.rows()[0].settled)
            (row,) = c.rows()
            assert row.state == "done"
            assert len(c.participants(row)) == (3 if away == "node" else 4)
            assert (len(c.notes("national-plan")), len(c.notes("national-close"))) == (1, 1)

    asyncio.run(run())
