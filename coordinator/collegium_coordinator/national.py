"""All rounds of national sums under way: begun when a request's fan-out is over, gone on with after a restart.

A round runs by itself until it is settled; whoever waits for it waits only so long. A trustee that is away for a day delays the
figure and not the request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from collegium.national.groups import Group, groups_of
from collegium_coordinator.collecting import Collector
from collegium_coordinator.config import Asking, National
from collegium_coordinator.cosigned import Cosigned
from collegium_coordinator.cosigning import Cosigning
from collegium_coordinator.jobs import Job
from collegium_coordinator.journal import Journal
from collegium_coordinator.nodes import Nodes
from collegium_coordinator.observed import Observed
from collegium_coordinator.planning import Planner
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.rounds import Round, RoundParts
from collegium_coordinator.roundstore import RoundRow, RoundStore
from collegium_coordinator.store import Store
from collegium_coordinator.telling import Teller
from collegium_coordinator.trustees import Trustees
from collegium_coordinator.vectors import Vectors

__all__ = ["NationalRounds"]

log = logging.getLogger("collegium.coordinator.national")

FRESHEN = 2.0  # seconds that nodes have to say which snapshot is theirs, before an earlier result is given again
DAY = 86_400.0
RETENTION_LOOK = 3600.0  # seconds between looks for vectors that are old enough to go


class NationalRounds:
    """Begins and runs rounds. `close` leaves what is unfinished to the next start."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        registry: RegistryLog,
        nodes: Nodes,
        trustees: Trustees,
        cosigned: Cosigned,
        cosigning: Cosigning,
        vectors: Vectors,
        *,
        asking: Asking,
        national: National,
        clock: Callable[[], float],
        observed: Observed | None = None,
    ) -> None:
        self.rounds = RoundStore(store)
        self._registry = registry
        self._vectors = vectors
        self._asking, self._national = asking, national
        self._clock = clock
        planner = Planner(
            journal, registry, nodes, trustees, cosigning, national=national, reconnect=asking.reconnect_seconds, clock=clock
        )
        self._collector = Collector(journal, registry, nodes, vectors, parallel=asking.parallel_calls, clock=clock)
        self._teller = Teller(self.rounds, nodes, cosigned, parallel=asking.parallel_calls)

        async def freshen(names: Iterable[str]) -> None:
            await nodes.freshen_these(names, FRESHEN, patience=FRESHEN)

        self._parts = RoundParts(
            self.rounds, journal, registry, trustees, cosigned, cosigning, vectors, planner, self._collector, freshen,
            reconnect=asking.reconnect_seconds, clock=clock, observed=observed,
        )  # fmt: skip
        self._running: dict[int, asyncio.Task[None]] = {}
        self._requests: dict[int, str] = {}  # whose they are
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Before any round: remove what a crash has left, and begin to write what comes."""
        strays = self._vectors.sweep()
        if strays:
            log.info("%d masked vectors that nothing names were removed", strays)
        for work in (self._collector.run(), self._retain()):
            self._keep(asyncio.ensure_future(work))

    async def close(self) -> None:
        """Stop. Every round goes on from its row at the next start."""
        tasks = [*self._running.values(), *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def unsettled(self) -> list[str]:
        """Requests with rounds under way."""
        return self.rounds.unsettled()

    def running(self) -> set[str]:
        """Requests of which a round runs in this process: it holds their job."""
        return set(self._requests.values())

    async def settle(self, job: Job) -> None:
        """Run the rounds of a request whose fan-out is over; wait for them as long as nodes and trustees may take."""
        tasks = [task for number in self._questions(job) for task in await self._begin(job, number)]
        if tasks:
            await asyncio.wait(tasks, timeout=self._national.seconds + self._asking.deadline_seconds)

    def pending(self, job: Job) -> bool:
        """Whether a round of the request is under way."""
        return any(not row.settled for row in self.rounds.of(job.id)) if self._questions(job) else False

    def node_ready(self, node: str) -> None:
        """A node has connected: it is told how its rounds have ended."""
        self._keep(asyncio.ensure_future(self._teller.node(node)))

    # -- inside ----------------------------------------------------------------------------------------------------------------

    def _questions(self, job: Job) -> Iterable[int]:
        return [number for number, each in enumerate(job.asked.body.questions) if each.mode == "national"]

    async def _begin(self, job: Job, number: int) -> list[asyncio.Task[None]]:
        groups = groups_of(job.asked.body, number, self._registry.registry)
        digest = job.asked.questions[number].digest
        rows = await asyncio.to_thread(self.rounds.begin, job.id, number, digest, groups, self._clock())
        return [self._run(job, row, groups[row.place]) for row in rows if not row.settled]

    def _run(self, job: Job, row: RoundRow, group: Group) -> asyncio.Task[None]:
        """The task of a round; the one under way if there is one."""
        task = self._running.get(row.id)
        if task is None:
            task = self._running[row.id] = asyncio.ensure_future(self._round(job, row, group))
            self._requests[row.id] = row.request
            task.add_done_callback(lambda _: self._ended(row.id))
        return task

    def _ended(self, identity: int) -> None:
        del self._running[identity], self._requests[identity]

    async def _round(self, job: Job, row: RoundRow, group: Group) -> None:
        one = Round(self._parts, job, row, group, closed=lambda ended: self._keep(asyncio.ensure_future(self._teller.all(ended))))
        await one.run()
        job.wake()

    async def _retain(self) -> None:
        while True:
            try:
                gone = await asyncio.to_thread(self._vectors.forget, self._clock() - self._national.retention_days * DAY)
                if gone:
                    log.info("%d masked vectors were older than %g days", gone, self._national.retention_days)
            except Exception:
                log.exception("old vectors could not be removed")
            await asyncio.sleep(RETENTION_LOOK)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
