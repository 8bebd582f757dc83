"""What may happen between two moments of a round: a figure is signed while another round ends, or the request expires.

Failure: an indicator that no reader accepts; a charge without the time to make anything of it; a round given up while its trustees
are on their way back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from national_parties import Country
from national_scenes import BY_PROVINCE, figures, nationally, play, reasons

from collegium.national.statements import Plan
from collegium.statements import Request
from collegium_coordinator.indicator import Indicators, national_table

pytestmark = pytest.mark.long  # it waits for deadlines; what is quick of it: test_round_tries.py


class Meanwhile:
    """A registry during whose look-up something happens."""

    def __init__(self, registry: Any, happens: Callable[[], None]) -> None:
        self._real, self._happens = registry, happens

    def durable_view(self) -> Any:
        self._happens()
        return self._real.durable_view()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_a_round_that_ends_while_a_figure_is_made_is_wholly_in_it_or_not_at_all(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        await c.partition(("11",), ("31",))
        progress = await c.ask(await c.request(make_question, views=(BY_PROVINCE,)))
        store, late = c.coordinator.store, c.rows()[1]
        nodes = [each.node for each in c.coordinator.rounds.rounds.participating(late)]

        def move(state: str, verdict: str) -> None:
            with store.transaction() as db:
                db.execute("UPDATE rounds SET state = ? WHERE id = ?", (state, late.id))
                db.executemany("UPDATE answers SET verdict = ? WHERE node = ?", [(verdict, node) for node in nodes])

        move("unmasked", "ready")
        own = c.coordinator
        registry: Any = Meanwhile(own.registry, lambda: move("done", "released"))
        made = Indicators(store, registry, own.journal, own.indicators._cosigned, own.cosigning, national_table)
        job = own.fanout.job(progress.request_id)
        assert await asyncio.to_thread(made._issue_one, job, 0, complete=False)
        # Also where it ends between the look at the rounds and the look at the answers.
        move("unmasked", "ready")
        rows = made._sums.rows(job, 0)
        move("done", "released")
        assert {each.reason for each in made._sums.inputs(job, 0, rows)[1]} == {"unmasking"}
        # The figure that was signed: of one round, and every reader accepts it.
        move("unmasked", "ready")
        seen = await figures(c, progress.request_id)
        assert seen.indicator.revision == 0
        assert len(seen.indicator.results) == 1
        assert reasons(seen.accounts) == dict.fromkeys(nodes, "unmasking")
        # The next look has both.
        move("done", "released")
        seen = await figures(c, progress.request_id)
        assert (seen.indicator.revision, len(seen.indicator.results)) == (1, 2)

    play(federation, scene, nodes=8, provinces=["11"] * 4 + ["31"] * 4)


def test_a_plan_ends_so_early_that_what_follows_can_be_tried_again(federation: Any, make_question: Any) -> None:
    async def scene(c: Country) -> None:
        request = await c.request(make_question)
        expiry = Request.read(request.request).expiry
        federation.offset = 3600 - 45.0
        progress = await c.ask(request)
        assert progress.released == 4
        (plan,) = [Plan.read(note) for note in c.notes("national-plan")]
        assert plan.time < plan.deadline <= expiry - 30
        # With no time left for that nobody is charged.
        question = nationally(make_question(rho=5 * 10**6))
        request = await c.request(make_question, nonce="2" * 32, question=question, expiry=expiry)
        federation.offset = expiry - federation.clock() + federation.offset - 31.0
        progress = await c.ask(request)
        (row,) = c.rows(progress.request_id)
        assert (row.state, row.reason) == ("failed", "no-round")
        assert [node.submits for node in c.nodes] == [1] * 4
        assert len(c.notes("national-plan")) == 1

    play(federation, scene, nodes=4, national={"dropout": 0.34, "colluding": 0.1, "seconds": 60.0})


def test_a_round_goes_on_after_a_restart_although_its_request_has_expired(federation: Any, make_question: Any) -> None:
    async def run() -> None:
        c = Country(federation)
        quick = {
            "deadline_seconds": 1.0,
            "national": {"dropout": 0.34, "colluding": 0.0, "seconds": 1.0},
            "combine": national_table,
        }
        async with c.serving(**quick):
            await c.settle(4)
            await c.connect()
            for trustee in c.trustees:
                trustee.fails.add("unmask")
            await c.ask(await c.request(make_question))
            assert [row.state for row in c.rows()] == ["closed"]
        for trustee in c.trustees:
            trustee.fails.clear()
        gone = c.trustees.pop()
        federation.offset = 4000.0
        async with c.serving(**quick):
            await asyncio.sleep(0.5)
            assert [row.state for row in c.rows()] == ["closed"]
            c.trustees.append(gone)
            await c.connect()
            await c.federation.until(lambda: c.rows()[0].settled)
            assert [row.state for row in c.rows()] == ["done"]

    asyncio.run(run())
