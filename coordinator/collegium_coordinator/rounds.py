"""The life of one round of a national sum, as a state machine that goes on from the database after any crash.

Each step begins with what the row says and ends in the transaction that makes the next state true (`RoundStore` names the states).
Calls to others stand between: every one of them is idempotent, so a step that was cut off is simply done again.

    (1) new        the signed result of an earlier round of the same question, or a PLAN (`planning`). There is one plan for a
                   round, ever, and one round for a request, question and group: one that failed is never tried again by itself
    (2) planned    the plan's receipt, with the quorum of our log's witnesses; all three trustees take the plan
    (3) open       the roster submits until everybody has, or the deadline (`collecting`)
    (4) collected  each trustee prepares the submissions page by page and signs its verdict; those that all three accept are fixed
                   by the CLOSE, if they are enough. There is never a second CLOSE for a plan: the state changes in its transaction
    (5) closed     the close's receipt; each trustee uncovers the sum of its masks over exactly that list
    (6) unmasked   we add, the trustee drawn by lot adds again, and RESULT says what both came to

A trustee that is not there delays a round while the request is valid, and loses nothing. Before the CLOSE a trustee's refusal ends
the round; after it nothing but time does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from collegium.errors import CollegiumError, NotReleased, Refused
from collegium.national.groups import Group
from collegium.national.mask import TRUSTEES
from collegium.national.statements import Plan
from collegium.national.travelling import chosen_bits
from collegium.transport.trustee_client import TrusteeClient
from collegium.v1.node_pb2 import SubmitRequest
from collegium.v1.trustee_pb2 import BeginRequest, PrepareRequest, Submission, UnmaskRequest
from collegium_coordinator.adding import Adding
from collegium_coordinator.closing import close_round, keep_signed
from collegium_coordinator.collecting import Asked, Collector
from collegium_coordinator.cosigned import Cosigned
from collegium_coordinator.cosigning import Cosigning
from collegium_coordinator.jobs import Job
from collegium_coordinator.journal import Journal
from collegium_coordinator.observed import Observed
from collegium_coordinator.planning import NO_ROUND, NO_TRUSTEES, Planner, RoundOver
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.reusing import reuse
from collegium_coordinator.roundstore import RoundRow, RoundStore
from collegium_coordinator.trustee_replies import verify_prepare, verify_unmask
from collegium_coordinator.trustees import Trustees
from collegium_coordinator.vectors import Vectors

__all__ = ["Round", "RoundParts"]

log = logging.getLogger("collegium.coordinator.rounds")

FIRST_AGAIN, LONGEST_AGAIN = 0.2, 30.0  # seconds before a step that could not be done is tried again
PAGE = 256  # submissions in one call to a trustee
CALL = 120.0  # seconds for one call to a trustee: it opens seeds, or adds masks
CONFIRMING = 10.0  # seconds that a step waits for the witnesses of our log
T = TypeVar("T")


class RoundParts:
    """What all rounds of a process share."""

    def __init__(
        self,
        rounds: RoundStore,
        journal: Journal,
        registry: RegistryLog,
        trustees: Trustees,
        cosigned: Cosigned,
        cosigning: Cosigning,
        vectors: Vectors,
        planner: Planner,
        collector: Collector,
        freshen: Callable[[Iterable[str]], Coroutine[Any, Any, None]],
        *,
        reconnect: float,
        clock: Callable[[], float],
        observed: Observed | None = None,
    ) -> None:
        self.observed = observed or Observed()
        self.rounds, self.journal, self.registry, self.trustees = rounds, journal, registry, trustees
        self.cosigned, self.cosigning, self.vectors = cosigned, cosigning, vectors
        self.planner, self.collector, self.freshen = planner, collector, freshen
        self.clock = clock
        self.started = clock()
        self.reconnect = reconnect
        self.adding = Adding(rounds, journal, registry, trustees, vectors)


class Round:
    """One round. `run` ends when it is settled. `closed` is called when it is fixed who is in the sum, or that there is none."""

    def __init__(self, parts: RoundParts, job: Job, row: RoundRow, group: Group, *, closed: Callable[[RoundRow], object]) -> None:
        self._closed = closed
        self._parts = parts
        self._job = job
        self.row = row
        self._group = group
        self._where = f"request {job.id[:12]}, question {row.number}, round {row.place}"

    async def run(self) -> None:
        """All of it."""
        await self._steps()
        if self.row.state == "failed" and self.row.closing is None and self.row.plan is not None:
            self._closed(self.row)

    async def _steps(self) -> None:
        """One step after the other, each again until it is done or the round is over.

        Whatever goes wrong, the database included, is met by trying again: a round that nobody runs is unsettled until a restart.
        """
        wait = FIRST_AGAIN
        while not self.row.settled:
            before = self.row.state
            try:
                await self._step()
            except Exception:
                log.exception("%s: where it stands cannot be read or stored; again in %.1f s", self._where, wait)
            if self.row.state != before:
                log.info("%s: %s", self._where, self.row.state)
                wait = FIRST_AGAIN
            else:
                await asyncio.sleep(wait)
                wait = min(wait * 1.5, LONGEST_AGAIN)

    async def _step(self) -> None:
        """One try at what comes next; `row` is then where the round stands. Raises what the database raises."""
        steps = {
            "new": self._begin, "planned": self._hand_out, "open": self._collect, "collected": self._close, "closed": self._unmask,
            "unmasked": self._add,
        }  # fmt: skip
        rounds = self._parts.rounds
        before = self.row = await asyncio.to_thread(rounds.row, self.row.id)  # the last try may have failed after its commit
        if before.settled:
            return
        try:
            with self._parts.observed.stepping(self._job.id, before):
                await steps[before.state]()
        except RoundOver as over:
            log.warning("%s: is over: %s", self._where, over)
            await asyncio.to_thread(rounds.move, before, "failed", over.reason)
        except CollegiumError as error:
            log.info("%s: %s; it is tried again", self._where, error)
        except Exception:
            log.exception("%s: the step from %s broke", self._where, before.state)
        self.row = await asyncio.to_thread(rounds.row, before.id)
        if self.row.state == before.state and self._parts.clock() >= self._last_try():
            await asyncio.to_thread(rounds.move, self.row, "failed", NO_ROUND)
            self.row = await asyncio.to_thread(rounds.row, before.id)

    def _last_try(self) -> float:
        """When nothing is tried again. A request may have expired while this coordinator was down: parties come back first."""
        return max(float(self._job.asked.body.expiry), self._parts.started + self._parts.reconnect)

    # -- the steps -------------------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """(1)"""
        if not await self._parts.cosigning.ready(self._parts.journal.origin, CONFIRMING):
            raise NotReleased("witnesses have not confirmed our log", place=self._where)
        if await reuse(self._parts.rounds, self._job, self.row, self._parts.freshen):
            return
        await self._parts.planner.plan(self._job, self.row, self._group)

    async def _hand_out(self) -> None:
        """(2) A trustee that refuses the plan ends the round: nobody has been charged."""
        plan, note = self._plan()
        if self._parts.clock() >= plan.deadline:
            raise RoundOver(NO_TRUSTEES, "not all three trustees took the plan before its deadline; nobody was charged")
        rounds, row = self._parts.rounds, self.row
        request = BeginRequest(
            plan=note, plan_receipt=await self._receipt(row.entry), roster=rounds.blob(row.roster),
            registry_checkpoint=rounds.blob(row.checkpoint), request=self._job.asked.note,
        )  # fmt: skip

        async def begin(trustee: TrusteeClient, _: int) -> None:
            await trustee.begin(request, timeout=CALL)

        await self._ask_trustees(plan, begin)
        # Crash here: the trustees hold the plan, no node has heard of it; they are handed it again.
        await asyncio.to_thread(rounds.move, row, "open")

    async def _collect(self) -> None:
        """(3) After a restart the members who submitted and could not say so are asked once more: they give the same bytes."""
        plan, note = self._plan()
        rounds, row, parts = self._parts.rounds, self.row, self._parts
        done, roster = {each.node for each in rounds.submitted(row)} | set(rounds.reasons(row)), rounds.roster(row)
        until = float(plan.deadline)
        if row.began < parts.started:
            until = max(until, parts.started + parts.reconnect)
        request = SubmitRequest(
            request=self._job.asked.note, details=self._job.asked.details, receipt=await self._receipt(self._job.entry),
            plan=note, plan_receipt=await self._receipt(row.entry),
            chosen=chosen_bits(self._group.members, [each.node for each in roster.nodes]),
            registry_checkpoint=rounds.blob(row.checkpoint), keys=[key.note for key in rounds.kept(row, "key")],
        )  # fmt: skip
        asked = Asked(self._job, row, note, plan, roster, request)
        await parts.collector.collect(asked, frozenset(done), until)
        # Crash here: the deadline is over at the next start, and so is the collecting.
        await asyncio.to_thread(rounds.move, row, "collected")

    async def _close(self) -> None:
        """(4) The trustees' verdicts are kept as they come; the CLOSE needs all three."""
        plan, note = self._plan()
        rounds, row = self._parts.rounds, self.row
        submitted = await asyncio.to_thread(rounds.submitted, row)
        if len(submitted) < plan.least:
            raise RoundOver(NO_ROUND, f"{len(submitted)} nodes have submitted, and the plan needs {plan.least}")
        have = {each.trustee for each in rounds.kept(row, "prepare")}

        async def prepare(trustee: TrusteeClient, place: int) -> None:
            if place in have:
                return
            after = -1
            while True:
                page = await asyncio.to_thread(rounds.page, row, after, PAGE)
                last = len(page) < PAGE or page[-1].member == submitted[-1].member
                sealed = len(page[0].sealed) // TRUSTEES if page else 0
                shown = [
                    Submission(submit=rounds.store.entry(each.entry), sealed=each.sealed[place * sealed : (place + 1) * sealed])
                    for each in page
                ]
                reply = await trustee.prepare(PrepareRequest(plan=row.plan or "", submissions=shown, last=last), timeout=CALL)
                if last:
                    break
                after = page[-1].member
            registry = self._parts.registry.registry
            signed = await asyncio.to_thread(verify_prepare, reply, note, plan, place, submitted, registry)
            await asyncio.to_thread(keep_signed, self._parts.journal, row, signed)

        await self._ask_trustees(plan, prepare)
        await asyncio.to_thread(close_round, self._parts.journal, rounds, row, plan)

    async def _unmask(self) -> None:
        """(5) Asked until all three have answered, while the request is valid."""
        plan, note = self._plan()
        rounds, row = self._parts.rounds, self.row
        assert row.closing is not None, "a closed round"
        close, have = rounds.store.entry(row.closing), {each.trustee for each in rounds.kept(row, "unmask")}
        request = await asyncio.to_thread(self._unmasking, close, await self._receipt(row.closing))

        async def unmask(trustee: TrusteeClient, place: int) -> None:
            if place in have:
                return
            reply = await trustee.unmask(request, timeout=CALL)
            signed = await asyncio.to_thread(verify_unmask, reply, note, plan, close, place, self._parts.registry.registry)
            await asyncio.to_thread(self._parts.vectors.write, signed.payload)
            await asyncio.to_thread(keep_signed, self._parts.journal, row, signed)

        self._closed(row)  # with the receipt of the close that its witnesses have confirmed by now; whoever was told is not called
        await self._ask_trustees(plan, unmask)
        await asyncio.to_thread(rounds.move, row, "unmasked")

    async def _add(self) -> None:
        """(6)"""
        if not await self._parts.cosigning.ready(self._parts.journal.origin, CONFIRMING):
            raise NotReleased("witnesses have not confirmed our log", place=self._where)
        released = await self._parts.adding.result(self._job, self.row, self._plan()[0])
        for node in released:
            self._job.apply(node, [(self.row.number, "released")])

    # -- inside ----------------------------------------------------------------------------------------------------------------

    def _unmasking(self, close: bytes, receipt: bytes) -> UnmaskRequest:
        """What (5) shows: a list and three verdicts over a whole country, so not made in the event loop."""
        rounds, row = self._parts.rounds, self.row
        prepares = rounds.kept(row, "prepare")
        return UnmaskRequest(
            plan=row.plan or "", close=close, close_receipt=receipt, participants=rounds.participants(row),
            prepares=[each.note for each in prepares], prepared=[rounds.blob(each.payload) for each in prepares],
        )  # fmt: skip

    def _plan(self) -> tuple[Plan, bytes]:
        note = self._parts.rounds.note(self.row)
        return Plan.read(note), note

    async def _receipt(self, entry: int | None) -> bytes:
        """The proof that our log holds an entry, under its quorum. Raises NotReleased while that is late."""
        assert entry is not None, "an entry of this round"
        origin, cosigning = self._parts.journal.origin, self._parts.cosigning
        there = await cosigning.ready(origin, CONFIRMING) and await cosigning.confirmed(origin, entry + 1, CONFIRMING)
        proof = await asyncio.to_thread(self._parts.cosigned.receipt, entry) if there else None
        if proof is None:
            raise NotReleased("witnesses have not confirmed our log", place=self._where, reason="not-logged")
        return proof

    async def _ask_trustees(self, plan: Plan, ask: Callable[[TrusteeClient, int], Coroutine[Any, Any, None]]) -> None:
        """All three at once. What each has given stays when another fails; the first failure is raised, a refusal before others."""

        async def one(place: int) -> None:
            link = await self._parts.trustees.taught(plan.trustees[place].trustee)
            await ask(link.calls, place)

        ends = await asyncio.gather(*(one(place) for place in range(TRUSTEES)), return_exceptions=True)
        failures = [each for each in ends if isinstance(each, BaseException)]
        for each in failures:
            log.info("%s: a trustee: %s", self._where, each)
            if isinstance(each, Refused) and self.row.closing is None:
                raise RoundOver(NO_ROUND, f"a trustee refuses: {each}")
        if failures:
            raise failures[0]
