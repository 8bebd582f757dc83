"""Requests of which something is missing are looked at again and again, however many are valid.

Failure: their answers read in the event loop, where everybody else waits meanwhile; a request asked for again too soon because its
job was dropped from memory; a job dropped that a round holds, so that there are two of one request; one marked as done whose
rounds were never begun.
"""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

from national_parties import Country
from national_scenes import play

from collegium.errors import Failed
from collegium_coordinator.config import Asking
from collegium_coordinator.fanout import KEPT_JOBS, Fanout
from collegium_coordinator.jobs import Job

MANY = KEPT_JOBS + 44
NOW = 1_000_000.0


def job_of(request: str) -> Job:
    asked: Any = SimpleNamespace(id=request, audience=("u1",), questions=(1,), body=SimpleNamespace(expiry=NOW + 9, researcher="a"))
    return Job(asked, entry=0, deadline=NOW, done=True)


class Sweeping(Fanout):
    """Over a store that only tells from which thread it was read."""

    def __init__(self, *, rounds: Any = None, again: float = 0.01) -> None:
        self.threads: set[threading.Thread] = set()
        self.selects = 0
        self.loaded: list[str] = []
        self.again: list[str] = []
        self.turns = 0
        nothing: Any = SimpleNamespace()
        store: Any = SimpleNamespace(rows=self.rows)
        nodes: Any = SimpleNamespace(connected=lambda _: True)
        asking = Asking(again_seconds=again)
        super().__init__(store, nothing, nothing, nodes, nothing, nothing, asking=asking, clock=lambda: NOW, rounds=rounds)

    def rows(self, sql: str, _values: Any = ()) -> list[Any]:
        if "a.verdict" not in sql:
            return []
        self.threads.add(threading.current_thread())
        self.selects += 1
        return [(f"{number:064x}", NOW - 5) for number in range(MANY)]

    def _load(self, request: str) -> Job:
        self.threads.add(threading.current_thread())
        self.loaded.append(request)
        return job_of(request)

    def ask_again(self, job: Job, nodes: Any) -> Any:
        self.again.append(job.id)
        return []


def test_a_sweep_reads_in_threads_and_remembers_whom_it_has_asked_for() -> None:
    async def main() -> None:
        fanout = Sweeping()
        sweeping = asyncio.ensure_future(fanout._sweep())
        async with asyncio.timeout(10):
            while fanout.selects < 4:
                await asyncio.sleep(0.01)
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        assert threading.main_thread() not in fanout.threads
        # More than are kept in memory: none is read or asked for again before its time, also when it was dropped.
        assert len(fanout._jobs) == KEPT_JOBS
        assert sorted(fanout.again) == sorted(set(fanout.again)) == sorted(set(fanout.loaded))
        assert len(fanout.loaded) == MANY

    asyncio.run(main())


def test_a_sweep_over_what_is_in_memory_lets_others_have_their_turn() -> None:
    async def main() -> None:
        fanout = Sweeping()
        for number in range(MANY):
            fanout._jobs[f"{number:064x}"] = job_of(f"{number:064x}")
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += bool(fanout.again) and len(fanout.again) < MANY
                await asyncio.sleep(0)

        spinning = asyncio.ensure_future(others())
        sweeping = asyncio.ensure_future(fanout._sweep())
        async with asyncio.timeout(10):
            while len(fanout.again) < MANY:
                await asyncio.sleep(0)
        for task in (spinning, sweeping):
            task.cancel()
        await asyncio.gather(spinning, sweeping, return_exceptions=True)
        assert turns >= MANY - 10

    asyncio.run(main())


def test_a_job_whose_round_runs_is_never_dropped() -> None:
    async def main() -> None:
        held, settling, signing = (f"{number:064x}" for number in range(3))
        fanout = Sweeping(rounds=SimpleNamespace(running=lambda: {held}))
        fanout._settling.add(settling)
        jobs = [fanout.job(f"{number:064x}") for number in range(3)]
        await jobs[2].signing.acquire()
        for number in range(3, MANY):
            fanout.job(f"{number:064x}")
        assert len(fanout._jobs) == KEPT_JOBS
        assert [fanout._jobs.get(each) for each in (held, settling, signing)] == jobs

    asyncio.run(main())


class FullOnce:
    """A disk that has no room for the first rounds that are begun."""

    def __init__(self) -> None:
        self.store: Any = None
        self.times = 0

    def __call__(self, point: str) -> None:
        if self.store is None or point != "commit" or self.times >= 2:
            return
        if self.store._writer.execute("SELECT COUNT(*) FROM rounds").fetchone()[0]:
            self.times += 1
            self.store._writer.execute("ROLLBACK")
            raise Failed("the disk is full")


def test_rounds_that_could_not_be_begun_are_begun_again(federation: Any, make_question: Any) -> None:
    fault = FullOnce()

    async def scene(c: Country) -> None:
        fault.store = c.coordinator.store
        progress = await c.ask(await c.request(make_question))
        assert fault.times == 2
        assert (progress.done, progress.released) == (True, 4)
        await c.federation.until(lambda: c.coordinator.store.rows("SELECT done FROM requests") == [(1,)])
        assert [row.state for row in c.rows()] == ["done"]

    play(federation, scene, nodes=4, fault=fault)
