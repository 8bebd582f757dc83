"""Asking the roster of a plan for its submissions, and taking those that come in time.

Each member is asked in its own task until it has submitted, has said no, or the time is over; one that stalls or lies touches no
other. A vector is written to a file before anything names it, and how many are in memory at once is bounded by their size, so that
a country's never are. What many nodes send within milliseconds is committed together, as answers are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collegium.errors import PUBLIC_TEXTS, CollegiumError, Failed, Invalid, NotReleased, Offline, Refused
from collegium.national.lists import Roster
from collegium.national.statements import Plan, Submit
from collegium.v1.node_pb2 import SubmitRequest
from collegium_coordinator.answers import write_together
from collegium_coordinator.jobs import Job
from collegium_coordinator.journal import Journal, Writer
from collegium_coordinator.nodes import Nodes
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.roundstore import RoundRow
from collegium_coordinator.submissions import Submission, verify_submission
from collegium_coordinator.vectors import Vectors
from collegium_coordinator.verify import BAD_ANSWER, FAILED, HELD, REFUSED, RELEASED, Answering

__all__ = ["Asked", "Collector"]

lines = logging.getLogger("collegium.coordinator.collecting")

SOON = frozenset({"pending", "not-confirmed", "no-receipt", "busy"})
"""Reasons of a node that end by themselves within seconds."""
FIRST_AGAIN, LONGEST_AGAIN = 0.2, 5.0  # seconds
IN_FLIGHT = 256 * 2**20  # bytes of vectors in memory at once
MAX_BATCH = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """What the members of one plan are asked with."""

    job: Job
    row: RoundRow
    note: bytes
    plan: Plan
    roster: Roster
    request: SubmitRequest


@dataclass(frozen=True, slots=True)
class _Item:
    asked: Asked
    submission: Submission
    answering: Answering
    stored: asyncio.Future[str | None]


class Collector:
    """All collecting of one process. `run` writes until cancelled."""

    def __init__(
        self,
        journal: Journal,
        registry: RegistryLog,
        nodes: Nodes,
        vectors: Vectors,
        *,
        parallel: int,
        clock: Callable[[], float],
    ) -> None:
        self._journal, self._registry, self._nodes, self._vectors = journal, registry, nodes, vectors
        self._parallel = parallel
        self._clock = clock
        self._free = IN_FLIGHT
        self._room = asyncio.Condition()
        self._calls = asyncio.Semaphore(parallel)
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()

    async def collect(self, asked: Asked, done: frozenset[str], until: float) -> None:
        """Ask every member but those `done` until `until` (this coordinator's clock); what came in time is stored."""
        members = [(number, each.node) for number, each in enumerate(asked.roster.nodes) if each.node not in done]
        tasks = [asyncio.ensure_future(self._member(asked, number, node, until)) for number, node in members]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def run(self) -> None:
        """Write what has come, in batches, until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < MAX_BATCH:
                batch.append(self._queue.get_nowait())
            kept = await write_together(self._write, batch, "submissions")
            for item, verdict in zip(batch, kept, strict=True):
                if item.stored.done():
                    continue
                if isinstance(verdict, Failed):
                    item.stored.set_exception(verdict)
                else:
                    item.stored.set_result(verdict)

    # -- one member ------------------------------------------------------------------------------------------------------------

    async def _member(self, asked: Asked, member: int, node: str, until: float) -> None:
        """Ask one member until there is nothing more to expect of it."""
        wait, where = FIRST_AGAIN, f"request {asked.job.id[:12]}: node {node}"
        while self._clock() < until:
            try:
                await self._nodes.wait_for(node, until)
                if await self._ask(asked, member, node, until):
                    return
            except Invalid as error:  # NotVerified included: it would give the same bytes again
                lines.warning("%s: its submission does not verify: %s", where, error)
                await self._refused(asked, member, node, BAD_ANSWER)
                return
            except Refused as error:
                lines.info("%s does not submit: %s", where, error)
                await self._refused(asked, member, node, error.reason if error.reason in PUBLIC_TEXTS else "failed")
                return
            except (Offline, NotReleased, Failed) as error:
                lines.info("%s has not submitted yet: %s", where, error)
            except Exception:
                lines.exception("%s: asking for its submission broke", where)
            await asyncio.sleep(min(wait, max(0.0, until - self._clock())))
            wait = min(wait * 1.5, LONGEST_AGAIN)

    async def _ask(self, asked: Asked, member: int, node: str, until: float) -> bool:
        """One call; whether it has settled the matter."""
        size = min(IN_FLIGHT, 2 * 8 * asked.plan.length)  # the message, and what protobuf makes of it
        async with self._calls:
            await self._take(size)
            try:
                reply = await self._nodes.submit(node, asked.request, timeout=max(0.05, until - self._clock()))
                try:
                    answering = Answering.of(self._registry.registry, node)
                except Refused:
                    raise Offline(f"the node {node} is revoked") from None
                submission = await asyncio.to_thread(
                    verify_submission,
                    reply, asked.note, asked.plan, asked.roster, member, asked.job.asked.questions[asked.row.number], answering,
                    self._registry.root_at,
                )  # fmt: skip
                if submission.verdict == FAILED and submission.reason in SOON:
                    return False
                if submission.verdict == RELEASED:
                    # Crash here or below: the node sends the same bytes when it is asked again.
                    await asyncio.to_thread(self._vectors.write, bytes(reply.vector))
                await self._put(asked, submission, answering)
                return True
            finally:
                await self._give_back(size)

    async def _refused(self, asked: Asked, member: int, node: str, reason: str) -> None:
        try:
            answering = Answering.of(self._registry.registry, node)
            await self._put(asked, Submission(member, FAILED, reason), answering)
        except CollegiumError as error:
            lines.warning("request %s: why node %s is left out could not be stored: %s", asked.job.id[:12], node, error)

    async def _put(self, asked: Asked, submission: Submission, answering: Answering) -> None:
        stored: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Item(asked, submission, answering, stored))
        verdict = await stored
        if verdict is not None:
            asked.job.apply(answering.node.name, [(asked.row.number, verdict)])

    async def _take(self, size: int) -> None:
        async with self._room:
            await self._room.wait_for(lambda: self._free >= size)
            self._free -= size

    async def _give_back(self, size: int) -> None:
        async with self._room:
            self._free += size
            self._room.notify_all()

    # -- making it durable -----------------------------------------------------------------------------------------------------

    def _write(self, batch: Sequence[_Item]) -> list[str | None]:
        with self._journal.write() as log:
            # Crash before the commit: nothing of it is here, and the nodes send the same bytes again.
            return [self._record(log, item.asked, item.submission, item.answering) for item in batch]

    def _record(self, log: Writer, asked: Asked, submission: Submission, answering: Answering) -> str | None:
        """Log and index one member's reply; its verdict where the answers change by it. Repeating it changes nothing.

        1. Only while the round takes submissions: what PREPARE is about is fixed.
        2. The registry that stands before this entry still has the node as it was verified.
        3. The checkpoints that came, before what rests on them; who shows two trees of one size has not submitted.
        4. Decision, SUBMIT and their receipts, as they came; the index of them, and of the vector's file.
        """
        db, row, node = log.db, asked.row, answering.node
        # (1)
        state = db.execute("SELECT state FROM rounds WHERE id = ?", (row.id,)).fetchone()[0]
        known = db.execute("SELECT 1 FROM submissions WHERE plan = ? AND member = ?", (row.plan, submission.member)).fetchone()
        if state != "open" or known is not None:
            return None
        # (2)
        if not self._in_force(answering, log.registry.size):
            submission = Submission(submission.member, FAILED, "offline")
        # (3)
        agrees = [log.embed(answering.rule.log, seen.note) for seen in submission.seen]
        if not all(agrees):
            lines.error("node %s has signed two histories of its log; both checkpoints are in the coordinator's log", node.name)
            submission = Submission(submission.member, FAILED, BAD_ANSWER)
        # (4)
        db.executemany("INSERT OR IGNORE INTO receipts VALUES (?, ?)", submission.receipts)
        decision = log.keep("decision", row.request, submission.decision) if submission.decision else None
        key = (row.plan, submission.member, node.name)
        answer = (row.request, row.number, node.name)
        if submission.verdict != RELEASED:
            sql = "INSERT INTO submissions (plan, member, node, reason, decision) VALUES (?, ?, ?, ?, ?)"
            db.execute(sql, (*key, submission.reason, decision))
            if submission.verdict not in (REFUSED, HELD):
                return None
            sql = "UPDATE answers SET verdict = ?, reason = ?, decision = ? WHERE request = ? AND number = ? AND node = ?"
            db.execute(sql, (submission.verdict, submission.reason, decision, *answer))
            return submission.verdict
        charge = submission.charge
        assert charge is not None, "a submission rests on a charge"
        db.execute(
            "INSERT OR IGNORE INTO charges VALUES (?, ?, ?, ?, ?, ?, ?)",
            (decision, node.name, charge.unit, charge.period, charge.dataset, asked.job.asked.body.researcher, charge.rho),
        )
        entry = log.keep(Submit.kind, row.request, submission.submit)
        db.execute(
            "INSERT INTO submissions VALUES (?, ?, ?, '', ?, ?, ?, ?, ?, ?, 0)",
            (*key, submission.id, entry, decision, submission.snapshot, submission.vector, submission.sealed),
        )
        size = 8 * asked.plan.length
        db.execute("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?)", (submission.vector, row.plan, size, self._clock()))
        db.execute("UPDATE answers SET decision = ? WHERE request = ? AND number = ? AND node = ?", (decision, *answer))
        return None

    def _in_force(self, answering: Answering, size: int) -> bool:
        """Whether the registry that stands before these entries still has the node as it was verified."""
        try:
            return self._registry.registry.party(answering.node.name, at=size).index == answering.node.index
        except CollegiumError:
            return False
