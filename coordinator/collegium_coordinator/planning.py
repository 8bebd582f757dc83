"""Making the plan of one round: who is on the roster, which trustees, how much noise, until when.

A plan costs nobody anything; a node computes all of it again before it charges. What cannot be planned ends the round with a reason
that the researcher reads: nothing has been charged then.

1. Nodes: those of the group that have said READY, are connected, and are registered and not revoked in the registry's newest state.
2. Trustees: the first three by name that are connected, with the verified keys of their month, which serve beyond the deadline.
   That leaves a part of the request's validity: one silent node holds the collecting until then, and what trustees do comes after.
3. Noise: the tolerance of the settings must leave honest nodes enough, and the sum must fit 64 bits.
4. The registry's checkpoint, which all three trustees cosign: they stand for there being one registry.
5. One transaction: the trustees' keys after the checkpoints of their logs, PLAN, and the round's new state. If the registry has
   grown meanwhile, again from (1).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from collegium.errors import Invalid, NotReleased
from collegium.log.statement import statement_id
from collegium.national.groups import Group
from collegium.national.lists import Roster, RosterNode
from collegium.national.plan import plan_parts
from collegium.national.share import Tolerance
from collegium.national.statements import Plan, PlanTrustee, TrusteeKey
from collegium.national.wanted import homes_of, wanted
from collegium.registry import Registered
from collegium.statements import LogPlace, RegistryView, Request
from collegium_coordinator.config import National
from collegium_coordinator.cosigning import Cosigning
from collegium_coordinator.jobs import Job
from collegium_coordinator.journal import Journal
from collegium_coordinator.nodes import Nodes
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.roundstore import RoundRow
from collegium_coordinator.store import put_blob
from collegium_coordinator.trustees import PublishedKey, Trustees
from collegium_coordinator.verify import READY

__all__ = ["FEW_NODES", "NO_ROUND", "NO_TRUSTEES", "Planner", "RoundOver"]

say = logging.getLogger("collegium.coordinator.planning")

NO_TRUSTEES = "no-trustees"
FEW_NODES = "few-nodes"
NO_ROUND = "no-round"
MARGIN = 30.0  # seconds of a request's validity that are left after the deadline, so that what follows can be tried again
SHARE = 4  # at most one part in so many of the whole validity
SHORTEST = 3.0  # seconds that nodes need to submit; with less left nobody is asked, and nobody charged
SLACK = 300  # seconds by which a trustee's key must outlast the deadline: it opens seeds until its PREPARE


class RoundOver(Exception):
    """The round has failed for good, with a reason that the researcher reads."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


def latest_deadline(request: Request) -> int:
    """The last moment at which a plan may end, Unix seconds: whoever has submitted is charged, and the steps after it need time."""
    return int(request.expiry - min(MARGIN, (request.expiry - request.time) / SHARE))


@dataclass(frozen=True, slots=True)
class _Draft:
    """All that a plan is made from, before it is logged."""

    row: RoundRow
    group: Group
    view: RegistryView
    members: list[Registered]
    keys: tuple[PublishedKey, ...]
    checkpoint: bytes
    deadline: int
    numbers: dict[str, Any]


class Planner:
    """Makes plans. `reconnect`: so many seconds after its start parties are awaited who were connected before."""

    def __init__(
        self,
        journal: Journal,
        registry: RegistryLog,
        nodes: Nodes,
        trustees: Trustees,
        cosigning: Cosigning,
        *,
        national: National,
        reconnect: float,
        clock: Callable[[], float],
    ) -> None:
        self._journal, self._registry, self._nodes, self._trustees = journal, registry, nodes, trustees
        self._cosigning = cosigning
        self._national = national
        self._clock = clock
        self._patience = clock() + reconnect
        self.tolerance = Tolerance(round(national.dropout * 10**6), round(national.colluding * 10**6))

    async def plan(self, job: Job, row: RoundRow, group: Group) -> None:
        """Log a PLAN for the round, whose state is then `planned`.

        Raises:
            RoundOver: it cannot be planned. Other CollegiumErrors: not now; the caller tries again.
        """
        ready = [name for name in group.members if job.verdicts[name][row.number] == READY]
        await self._nodes.wait_until(lambda: not any(map(self._nodes.expected, ready)), self._patience)
        self._check_group(group)
        while not await self._plan(job, row, group, ready):
            say.info("request %s: the registry has grown while a plan was made; once more", job.id[:12])

    def _check_group(self, group: Group) -> None:
        """Raises RoundOver when the registry's partition is another one by now: nobody could tell such a sum's rows any more."""
        partition = self._registry.registry.partition()
        if group.codes is not None and (partition is None or group.codes not in partition.groups):
            raise RoundOver(NO_ROUND, "the partition has changed since the question was asked; nobody was charged")

    def _inside(self, party: Registered, group: Group) -> bool:
        """Whether a node's facts are still those of the group: a university may have been registered anew elsewhere."""
        partition = self._registry.registry.partition()
        return group.codes is None or (partition is not None and party.facts.get(partition.fact) in group.codes)

    async def _plan(self, job: Job, row: RoundRow, group: Group, ready: list[str]) -> bool:
        # (1)
        view = self._registry.durable_view()
        known = {party.name: party for party in self._registry.registry.nodes_at(view.size, ready)}
        members = [known[name] for name in sorted(known) if self._nodes.connected(name) and self._inside(known[name], group)]
        # (2)
        now, latest = self._clock(), latest_deadline(job.asked.body)
        self._must_have_time(latest)
        deadline = min(int(now + self._national.seconds) + 1, latest)
        patience = min(max(now + self._national.trustee_seconds, self._patience), float(deadline))
        keys = await self._trustees.three(deadline + SLACK, patience)
        if keys is None:
            raise RoundOver(NO_TRUSTEES, "three trustees with valid keys were not connected")
        # (3)
        numbers = self._numbers(job, row, len(members))
        # (4)
        cosigners = {key.party.name: key.party.cosigner for key in keys if key.party.cosigner is not None}
        checkpoint = await self._cosigning.by(self._registry.origin, view.size, cosigners)
        if checkpoint is None:
            raise NotReleased("the trustees have not all cosigned the registry", place="national plan", reason="not-confirmed")
        # (5)
        self._must_have_time(latest)  # trustees may have been waited for
        draft = _Draft(row, group, view, members, keys, checkpoint, deadline, numbers)
        return await asyncio.to_thread(self._log, job, draft)

    def _must_have_time(self, latest: int) -> None:
        if self._clock() + SHORTEST > latest:
            raise RoundOver(NO_ROUND, "the request expires too soon for a round; nobody was charged")

    def _numbers(self, job: Job, row: RoundRow, count: int) -> dict[str, Any]:
        """What follows from the question and the number of nodes."""
        layout, tolerance = job.asked.questions[row.number].layout, self.tolerance
        try:
            homes = homes_of(layout, job.asked.schema)
            least, honest = tolerance.least(count), tolerance.honest(count)
            parts = plan_parts(wanted(layout, count, tolerance, homes), count, tolerance, homes)
        except Invalid as error:
            raise RoundOver(FEW_NODES if error.place == "tolerance" else NO_ROUND, str(error)) from None
        return {
            "nodes": count, "dropout": tolerance.dropout, "colluding": tolerance.colluding,
            "least": least, "honest": honest, "homes": homes, "parts": parts,
        }  # fmt: skip

    def _log(self, job: Job, draft: _Draft) -> bool:
        """False when the registry has grown: nothing has changed then."""
        row = draft.row
        roster = Roster(nodes=tuple(RosterNode(node=each.name, key=each.statements.vkey) for each in draft.members))
        with self._journal.write() as log:
            state = log.db.execute("SELECT state FROM rounds WHERE id = ?", (row.id,)).fetchone()[0]
            if log.registry != draft.view or state != "new":
                return bool(state != "new")
            agree = [log.embed(key.log, key.seen.note) for key in draft.keys]
            if not all(agree):
                why = "a trustee has signed two histories of its log; both checkpoints are in the coordinator's log"
                say.error("request %s: %s", job.id[:12], why)
                log.db.execute("UPDATE rounds SET state = 'failed', reason = ? WHERE id = ?", (NO_TRUSTEES, row.id))
                return True
            entries = [log.keep(TrusteeKey.kind, job.id, key.note) for key in draft.keys]
            log.db.executemany("INSERT OR IGNORE INTO receipts VALUES (?, ?)", [(key.id, key.receipt) for key in draft.keys])

            def make(place: LogPlace) -> bytes:
                return Plan(
                    log=place, registry=log.registry, time=log.now, request=job.id, number=row.number, question=row.question,
                    nonce=secrets.token_hex(16), roster=roster.blob, deadline=draft.deadline, group=draft.group.codes,
                    trustees=tuple(
                        PlanTrustee(trustee=key.party.name, key=key.party.statements.vkey, sealing=key.body.sealing)
                        for key in draft.keys
                    ),
                    **draft.numbers,
                ).sign(self._journal.statements)  # fmt: skip

            entry = log.sign(Plan.kind, job.id, make)
            plan = statement_id(log.entry(entry))
            log.db.execute(
                "UPDATE rounds SET state = 'planned', plan = ?, entry = ?, roster = ?, checkpoint = ?, deadline = ? WHERE id = ?",
                (plan, entry, put_blob(log.db, roster.to_blob()), put_blob(log.db, draft.checkpoint), draft.deadline, row.id),
            )
            log.db.executemany(
                "INSERT INTO trusteed VALUES (?, 'key', ?, ?, ?)",
                [(plan, place, each, key.id) for place, (each, key) in enumerate(zip(entries, draft.keys, strict=True))],
            )
        # Crash before the commit: no plan; the next start makes one. After it: this plan is the round's, and no other is ever made.
        return True
