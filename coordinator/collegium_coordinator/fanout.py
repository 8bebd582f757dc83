"""From one logged request to every node's verified answer.

A request runs by itself: the researcher may hang up, and the coordinator may stop and start again. Each node is asked in its own
task with its own deadline, so one that fails, stalls or lies never touches its siblings. A node that was missing or held is asked
again when it reconnects, now and then while the request is valid, and when the researcher asks for the result again. Asking twice
is safe: a node gives the same release for the same request, at no second charge.

A node is asked with the proof that the request is in the coordinator's log, so nobody is asked before a checkpoint covers it. A
node whose own log waits for its witnesses says so, and is asked again soon, within the same deadline.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from collegium.errors import PUBLIC_TEXTS, CollegiumError, Invalid, NotReleased, Offline, Refused
from collegium.statements import Request
from collegium.v1.node_pb2 import AnswerRequest
from collegium_coordinator.answers import AnswerWriter
from collegium_coordinator.asked import Asked, parse_request
from collegium_coordinator.config import Asking
from collegium_coordinator.cosigning import Cosigned, Cosigning
from collegium_coordinator.jobs import Job
from collegium_coordinator.journal import Journal, not_confirmed
from collegium_coordinator.national import NationalRounds
from collegium_coordinator.nodes import Nodes
from collegium_coordinator.observed import Observed
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store, put_blob
from collegium_coordinator.verify import FAILED, RELEASED, Answering, Outcome, failed, verify_reply

__all__ = ["Fanout", "Load"]

log = logging.getLogger("collegium.coordinator.fanout")

SOON = frozenset({"pending", "not-confirmed", "no-receipt"})
"""Reasons of a node that end by themselves within seconds: its witnesses or ours are about to answer."""
FIRST_AGAIN, LONGEST_AGAIN = 0.5, 2.0  # seconds before such a node is asked again
LONGEST_BEGIN = 30.0  # seconds before rounds that could not be begun are begun again
START_PATIENCE = 10.0  # seconds that a new request waits, after a start, for our own witnesses

NOT_LOGGED = "not-logged"
"""Reason of a node that was not asked, because witnesses have not confirmed that the request is logged."""

KEPT_JOBS = 256  # finished jobs kept parsed in memory; older ones are read again when asked for


T = TypeVar("T")


class Load(NamedTuple):
    """Requests of which the first round runs, nodes being asked over all requests, answers that wait to be written."""

    requests: int
    asks: int
    unwritten: int


class Fanout:
    """All questions under way."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        registry: RegistryLog,
        nodes: Nodes,
        cosigned: Cosigned,
        cosigning: Cosigning,
        *,
        asking: Asking,
        clock: Callable[[], float],
        observed: Observed | None = None,
        rounds: NationalRounds | None = None,
    ) -> None:
        self._rounds = rounds
        self._observed = observed or Observed()
        self._store = store
        self._journal = journal
        self._cosigned = cosigned
        self._cosigning = cosigning
        self._registry = registry
        self._nodes = nodes
        self._asking = asking
        self._clock = clock
        self._started = clock()
        self._writer = AnswerWriter(journal, clock=clock)
        self._slots = asyncio.Semaphore(asking.parallel_calls)
        self._jobs: dict[str, Job] = {}
        self._settling: set[str] = set()  # requests whose rounds are begun or waited for
        self._last_again: dict[str, float] = {}  # when the sweep last asked for a request again: it outlives its job in memory
        self.closing = False
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- life ------------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the writer, go on with what a former run left unfinished, and ask again now and then."""
        self._spawn(self._writer.run())
        for (request,) in self._store.rows("SELECT id FROM requests WHERE done = 0"):
            job = self._readable(str(request))
            if job is None:
                continue
            # Nodes need a moment to come back after our own restart; the old deadline may lie in the past.
            job.deadline = max(job.deadline, self._started + self._asking.reconnect_seconds)
            self._spawn(self._observed.round(job, partial(self._run, job)))
        for request in self._rounds.unsettled() if self._rounds is not None else ():
            job = self._readable(request)
            if job is not None and job.done:  # the others come to their rounds when their fan-out is over
                self._settling.add(job.id)
                self._spawn(self._settle(job))
        self._spawn(self._sweep())

    async def close(self) -> None:
        """Stop, and wake those who wait. What is unfinished is gone on with at the next start."""
        self.closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for job in self._jobs.values():
            job.wake()

    # -- requests --------------------------------------------------------------------------------------------------------------

    async def accept(self, asked: Asked, purpose: str) -> Job:
        """Log a checked request and start it. The same request again joins the one under way (id = digest of the note's text)."""
        if self._store.row("SELECT 1 FROM requests WHERE id = ?", (asked.id,)) is None:
            if not await self._cosigning.ready(self._journal.origin, START_PATIENCE):
                raise not_confirmed()
            with self._observed.accepting(asked.id):
                await asyncio.to_thread(self._log_request, asked, purpose)
            # Crash here: the request is logged and no node was asked; the next start asks them.
        known = asked.id in self._jobs
        job = self.job(asked.id)
        if not known and not job.done:
            self._spawn(self._observed.round(job, partial(self._run, job)))
        return job

    def job(self, request: str) -> Job:
        """A request by its id, from memory or the store. Raises Invalid when there is none."""
        job = self._jobs.get(request)
        if job is None:
            job = self._load(request)
            self._jobs[request] = job
            self._drop_finished()
        return job

    def ask_again(self, job: Job, nodes: Iterable[str]) -> list[asyncio.Task[None]]:
        """Ask these nodes again unless they are being asked, while the request is valid. The tasks that will have their answers."""
        if self._clock() >= job.asked.body.expiry or not self._may_ask(job):
            return [job.running[node] for node in nodes if node in job.running]
        until = self._clock() + self._asking.deadline_seconds
        return [self._ask(job, node, until) for node in nodes]

    def refresh(self, job: Job) -> None:
        """Ask again whoever may have something new: all who have not released, and the others for withdrawals after a while."""
        now = self._clock()
        connected = [node for node in job.asked.audience if self._nodes.connected(node)]
        stale = now - self._asking.again_seconds
        self.ask_again(job, [n for n in connected if job.state_of(n) != RELEASED or job.heard.get(n, 0.0) < stale])

    def node_ready(self, node: str) -> None:
        """A node has connected: it is asked everything it still owes to valid requests."""
        self._spawn(self._catch_up(node))
        if self._rounds is not None:
            self._rounds.node_ready(node)

    def load(self) -> Load:
        """How much is under way, for monitoring; from any thread."""
        jobs = list(self._jobs.values())
        running = sum(not job.done for job in jobs)
        return Load(running, sum(len(job.running) for job in jobs), self._writer.waiting)

    # -- inside ----------------------------------------------------------------------------------------------------------------

    def _log_request(self, asked: Asked, purpose: str) -> None:
        with self._journal.write() as log:
            db, body = log.db, asked.body
            if db.execute("SELECT 1 FROM requests WHERE id = ?", (asked.id,)).fetchone() is not None:
                return
            # Again, by the registry that stands in the log before it: the researcher may have been revoked since he was let in.
            Request.open(asked.note, [self._registry.registry.party(body.researcher, at=log.registry.size).statements])
            entry = log.keep("request", asked.id, asked.note)
            details = put_blob(db, asked.details)
            db.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (asked.id, entry, body.researcher, body.time, body.expiry, self._clock(), details, purpose),
            )

    def _load(self, request: str) -> Job:
        row = self._store.row("SELECT entry, received, details, done FROM requests WHERE id = ?", (request,))
        if row is None:
            raise Invalid("there is no such request", place="request id", remedy="See yours with `collegium requests`.")
        entry, received, details, done = row
        asked = parse_request(self._store.entry(entry), self._store.blob(details) or b"", self._registry)
        job = Job(asked, entry=entry, deadline=received + self._asking.deadline_seconds, done=bool(done))
        answers: dict[str, list[tuple[int, str]]] = {}
        for node, number, verdict, time in self._store.rows(
            "SELECT node, number, verdict, time FROM answers WHERE request = ?", (request,)
        ):
            answers.setdefault(node, []).append((number, verdict))
            job.heard[node] = time
        for node, verdicts in answers.items():
            job.apply(node, verdicts)
        return job

    async def _run(self, job: Job) -> None:
        """Ask everybody who has no stored outcome, and close the first round."""
        tasks = [self._ask(job, node, job.deadline) for node in job.never_asked()]
        await asyncio.gather(*tasks, return_exceptions=True)
        settled = await self._settle(job)
        job.over.set()
        job.wake()
        if settled:
            # Crash before the mark: the next start finds every outcome stored, asks nobody, and marks it.
            await asyncio.to_thread(self._mark_done, job.id)

    async def _settle(self, job: Job) -> bool:
        """The rounds of its national questions, begun again until they stand in the database.

        False: they could not be begun while the request was valid. It is then not marked as done, and the next start begins them.
        """
        wait = FIRST_AGAIN
        self._settling.add(job.id)
        try:
            while self._rounds is not None:
                try:
                    await self._rounds.settle(job)
                    return True
                except Invalid as error:  # it would be the same again
                    log.error("request %s: its national sums cannot be made: %s", job.id[:12], error)
                    return True
                except CollegiumError as error:
                    log.error("request %s: its national sums could not be begun: %s", job.id[:12], error)
                except Exception:
                    log.exception("request %s: beginning its national sums broke", job.id[:12])
                if self._clock() >= job.asked.body.expiry:
                    return False
                await asyncio.sleep(wait)
                wait = min(wait * 1.5, LONGEST_BEGIN)
            return True
        finally:
            self._settling.discard(job.id)

    def busy(self, job: Job) -> bool:
        """Whether something new may come of itself: nodes are being asked, or rounds are under way."""
        return bool(job.running) or not job.done or (self._rounds is not None and self._rounds.pending(job))

    def _mark_done(self, request: str) -> None:
        with self._store.transaction() as db:
            db.execute("UPDATE requests SET done = 1 WHERE id = ?", (request,))

    def _ask(self, job: Job, node: str, until: float) -> asyncio.Task[None]:
        """The task that asks one node; the one under way if there is one."""
        task = job.running.get(node)
        if task is None:
            task = self._spawn(self._observed.asking(job, node, partial(self._ask_node, job, node, until)))
            job.running[node] = task
            task.add_done_callback(lambda _: job.finished(node))
        return task

    async def _ask_node(self, job: Job, node: str, until: float) -> None:
        asked = job.asked
        said: list[tuple[tuple[Outcome, ...], Answering]] = []  # what the node has said so far, the newest last
        answering = None
        try:
            async with asyncio.timeout(max(0.05, until - self._clock())):
                await self._hear(job, node, until, said)
            outcomes, answering = said[-1]
        except TimeoutError:
            outcomes, answering = said[-1] if said else (failed(len(asked.questions), "deadline"), None)
        except Offline:
            late = self._clock() >= until - 0.05
            outcomes = failed(len(asked.questions), "deadline" if late and self._nodes.connected(node) else "offline")
        except NotReleased as error:
            outcomes = failed(len(asked.questions), error.reason)
        except CollegiumError as error:
            log.warning("request %s: node %s answered with an error: %s", asked.id[:12], node, error)
            outcomes = failed(len(asked.questions), error.reason if error.reason in PUBLIC_TEXTS else "failed")
        except Exception:
            log.exception("request %s: asking node %s broke", asked.id[:12], node)
            outcomes = failed(len(asked.questions), "failed")
        bad = [outcome.number for outcome in outcomes if outcome.reason == "bad-answer"]
        if bad:
            log.warning("request %s: the answer of node %s does not verify (questions %s)", asked.id[:12], node, bad)
        try:
            stored = await self._writer.put(asked, node, outcomes, answering)
        except CollegiumError:
            return  # logged by the writer; the node stays missing and is asked again
        self._observed.answered(stored)
        job.heard[node] = self._clock()
        job.apply(node, [(outcome.number, outcome.verdict) for outcome in stored])

    async def _hear(self, job: Job, node: str, until: float, said: list[tuple[tuple[Outcome, ...], Answering]]) -> None:
        """Ask until there is nothing in the answer that would be another one in a moment."""
        wait = FIRST_AGAIN
        while True:
            try:
                said.append(await self._call(job, node, until))
                again = any(outcome.verdict == FAILED and outcome.reason in SOON for outcome in said[-1][0])
            except NotReleased:
                raise
            except CollegiumError as error:
                if error.reason not in SOON or self._clock() + wait >= until:
                    raise
                again = True
                if error.reason == "no-receipt":
                    job.receipt = b""  # witnesses have been assigned anew: the proof is made again
            if not again or self._clock() + wait >= until:
                return
            log.debug("request %s: node %s is asked again in %.1f s", job.id[:12], node, wait)
            await asyncio.sleep(wait)
            wait = min(wait * 1.25, LONGEST_AGAIN)

    async def _call(self, job: Job, node: str, until: float) -> tuple[tuple[Outcome, ...], Answering]:
        """One node's verified outcomes, and as whom it was verified."""
        asked = job.asked
        if not self._nodes.connected(node) and self._nodes.expected(node):
            await self._nodes.wait_for(node, min(until, self._started + self._asking.reconnect_seconds))
        self._nodes.get(node)  # nobody waits for witnesses on behalf of a node that is not there
        receipt = await self._receipt(job, until)
        async with self._slots:
            request = AnswerRequest(request=asked.note, details=asked.details, receipt=receipt)
            reply = await self._nodes.answer(node, request, timeout=max(0.05, until - self._clock()))
        try:
            answering = Answering.of(self._registry.registry, node)
        except Refused:
            raise Offline(f"the node {node} is revoked") from None
        return verify_reply(reply, asked.questions, answering, self._registry.root_at), answering

    async def _receipt(self, job: Job, until: float) -> bytes:
        """The proof that the request is in our log, made once for all its nodes. Raises NotReleased when it is late."""
        async with job.proving:
            if not job.receipt:
                patience = until - self._clock() - 0.1
                origin = self._journal.origin
                # Both: after a start an old cosigned checkpoint covers old requests, and proves nothing about this copy of the log.
                there = await self._cosigning.ready(origin, patience) and await self._cosigning.confirmed(
                    origin, job.entry + 1, until - self._clock() - 0.1
                )
                proof = await asyncio.to_thread(self._cosigned.receipt, job.entry) if there else None
                if proof is None:
                    raise NotReleased("witnesses have not confirmed the request", place=job.id[:12], reason=NOT_LOGGED)
                job.receipt = proof
            return job.receipt

    async def _catch_up(self, node: str) -> None:
        owed = await asyncio.to_thread(
            self._store.rows,
            "SELECT DISTINCT r.id FROM requests r JOIN answers a ON a.request = r.id"
            " WHERE r.expiry > ? AND a.node = ? AND a.verdict IN ('failed', 'held')",
            (self._clock(), node),
        )
        for (request,) in owed:
            job = await self._fetched(str(request))
            if job is not None:
                await asyncio.gather(*self.ask_again(job, [node]), return_exceptions=True)

    async def _sweep(self) -> None:
        """Now and then: held and missing nodes of valid requests, the more seldom the older the request."""
        while True:
            await asyncio.sleep(self._asking.again_seconds)
            try:
                await self._look_again()
            except CollegiumError as error:
                log.error("asking again failed: %s", error)
            except Exception:
                log.exception("asking again broke")

    async def _look_again(self) -> None:
        """One sweep. There may be a thousand valid requests of thousands of nodes: nothing of them is read in the event loop."""
        found = await asyncio.to_thread(
            self._store.rows,
            "SELECT DISTINCT r.id, r.received FROM requests r JOIN answers a ON a.request = r.id"
            " WHERE r.expiry > ? AND a.verdict IN ('failed', 'held')",
            (self._clock(),),
        )
        last = self._last_again
        self._last_again = {str(request): last[str(request)] for request, _ in found if str(request) in last}
        for request, received in found:
            now = self._clock()
            if now - self._last_again.get(str(request), 0.0) < max(self._asking.again_seconds, (now - received) / 10):
                continue  # not even read
            job = await self._fetched(str(request))
            if job is not None:
                self._last_again[str(request)] = now
                self.ask_again(job, [node for node in job.unanswered() if self._nodes.connected(node)])
            await asyncio.sleep(0)  # others have their turn, also where all jobs are in memory

    async def _fetched(self, request: str) -> Job | None:
        """As `_readable`, of which the store is read in a thread."""
        if request not in self._jobs:
            try:
                read = await asyncio.to_thread(self._load, request)
            except CollegiumError as error:
                log.error("request %s cannot be gone on with: %s", request[:12], error)
                return None
            job = self._jobs.setdefault(request, read)  # there is one job for a request: another may have read it meanwhile
            self._drop_finished()
            return job
        return self._jobs[request]

    def _readable(self, request: str) -> Job | None:
        """The job, or None for a request that this version cannot read any more: it must not stop the others."""
        try:
            return self.job(request)
        except CollegiumError as error:
            log.error("request %s cannot be gone on with: %s", request[:12], error)
            return None

    def _may_ask(self, job: Job) -> bool:
        """A revoked researcher's requests are not asked again."""
        try:
            self._registry.registry.party(job.asked.body.researcher)
        except CollegiumError:
            return False
        return True

    def _drop_finished(self) -> None:
        """Forget the oldest of the jobs that nobody works on. A job that somebody holds must stay the only one of its request."""
        if len(self._jobs) > KEPT_JOBS:
            held = self._settling | (self._rounds.running() if self._rounds is not None else set())
            idle = [
                key
                for key, job in self._jobs.items()
                if job.done and not job.running and not job.signing.locked() and key not in held
            ]
            for key in idle[: len(self._jobs) - KEPT_JOBS]:
                del self._jobs[key]

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
