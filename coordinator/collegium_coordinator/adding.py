"""The sum itself: masked vectors less the trustees' masks, added here and once more by the trustee drawn by lot.

In memory are one vector at a time, however many nodes there are, and the totals of rounds whose trustee is away. A vector that
cannot be read does not end a round that nodes have paid for: it is tried again until the request expires, and can be restored
meanwhile. Trusted with honest addition; the trustee's CHECK, and everybody who has the log's export, come to the same total or
show that it is wrong.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from collegium.body import Blob
from collegium.errors import Failed, Invalid, NotReleased, NotVerified
from collegium.national.lists import Participants
from collegium.national.statements import Close, Plan, Result, Unmask, lot
from collegium.national.verify import recompute
from collegium.statements import LogPlace
from collegium.transport.trustee_client import TrusteeClient
from collegium.v1.trustee_pb2 import RecomputeReply, RecomputeRequest
from collegium_coordinator.jobs import Job
from collegium_coordinator.journal import Journal
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.roundstore import Kept, RoundRow, RoundStore, forget_seeds
from collegium_coordinator.store import put_blob
from collegium_coordinator.trustee_replies import Signed, verify_check
from collegium_coordinator.trustees import Trustees
from collegium_coordinator.vectors import Vectors
from collegium_coordinator.verify import RELEASED

__all__ = ["Adding"]

log = logging.getLogger("collegium.coordinator.adding")

PAGE_BYTES = 16 * 2**20  # of vectors in one call to the trustee
CALL = 120.0  # seconds
MOST_ANEW = 3  # times that a trustee may begin anew before the round makes a pause
MOST_TOTALS = 256 * 2**20  # bytes of totals in memory, 8 a cell for each round whose trustee is awaited


class Adding:
    """Makes RESULT of a round that is unmasked."""

    def __init__(self, rounds: RoundStore, journal: Journal, registry: RegistryLog, trustees: Trustees, vectors: Vectors) -> None:
        self._rounds, self._journal, self._registry = rounds, journal, registry
        self._trustees, self._vectors = trustees, vectors
        self._turns: dict[str, asyncio.Lock] = {}
        self._totals: dict[int, bytes] = {}  # by row: a cache, of the files
        self._told: set[str] = set()  # vectors whose loss the operator has been told

    async def result(self, job: Job, row: RoundRow, plan: Plan) -> list[str]:
        """Log CHECK and RESULT; the participants, by name.

        1. The trustee drawn by lot is there: a country's vectors are not read at every try for days. 2. Our own sum, from the
        files, once. 3. The trustee adds the same vectors, page by page. 4. What it signs is about these statements and our total.
        5. One transaction: CHECK as it came, RESULT, the total, and the round's last state.

        Raises CollegiumErrors: the trustee cannot be asked now, or comes to another total, or a vector cannot be read (Failed). All
        of it may be tried again: the participants are fixed and paid, and nothing but time ends their round.
        """
        # (1)
        unmasks = self._rounds.kept(row, "unmask")
        ids = tuple(each.id for each in unmasks)
        drawn = plan.trustees[lot(ids)].trustee
        await self._trustees.taught(drawn)
        # (2)
        participants = await asyncio.to_thread(self._participants, row)
        total = await self._total(row, plan, participants, unmasks)
        # (3)
        reply = await self._checked(drawn, row, plan, participants, unmasks)
        # (4)
        close = self._rounds.closing(row)
        registry = self._registry.registry
        check = await asyncio.to_thread(verify_check, reply, self._rounds.note(row), plan, close, ids, total, registry)
        # (5)
        released = await asyncio.to_thread(self._log, row, plan, ids, check, total)
        self._totals.pop(row.id, None)
        return released

    def _participants(self, row: RoundRow) -> Participants:
        return Participants.from_blob(self._rounds.participants(row), Close.read(self._rounds.closing(row)).participants)

    async def _total(self, row: RoundRow, plan: Plan, participants: Participants, unmasks: list[Kept]) -> bytes:
        """Ours, 8 bytes a cell; kept until the round is settled. Beyond MOST_TOTALS the oldest makes way and is added once more."""
        total = self._totals.get(row.id)
        if total is None:
            total = (await asyncio.to_thread(self._sum, plan, participants, unmasks)).astype("<i8").tobytes()
            waiting = {each: held for each, held in self._totals.items() if not self._rounds.row(each).settled}  # others expire
            self._totals = waiting | {row.id: total}
            while len(self._totals) > 1 and sum(map(len, self._totals.values())) > MOST_TOTALS:
                del self._totals[next(iter(self._totals))]
        return total

    def _sum(self, plan: Plan, participants: Participants, unmasks: list[Kept]) -> NDArray[np.int64]:
        """Raises Failed when a vector cannot be read, or is not the one that was signed any more."""
        opened: list[str] = []

        def vector(sha: str) -> BinaryIO:
            opened.append(sha)
            return self._vectors.open(sha)

        try:
            total = recompute(plan.length, participants, [Unmask.read(each.note) for each in unmasks], vector)
        except (OSError, Failed, NotVerified) as error:
            raise self._lost(opened[-1], error) from None
        self._told.difference_update(opened)
        return total

    async def _checked(
        self, drawn: str, row: RoundRow, plan: Plan, participants: Participants, unmasks: list[Kept]
    ) -> RecomputeReply:
        """One round at a time: a trustee holds a few running sums, and another pushes one out. All at once, none would end."""
        async with self._turns.setdefault(drawn, asyncio.Lock()):
            link = await self._trustees.taught(drawn)  # another one, perhaps: time has passed
            return await self._recompute(link.calls, row, plan, participants, unmasks)

    async def _recompute(
        self, trustee: TrusteeClient, row: RoundRow, plan: Plan, participants: Participants, unmasks: list[Kept]
    ) -> RecomputeReply:
        members, step = participants.members, max(1, PAGE_BYTES // (8 * plan.length))
        first = anew = 0
        while True:
            page = members[first : first + step]
            request = RecomputeRequest(plan=row.plan or "", first=first)
            for each in page:
                request.vectors.append(await asyncio.to_thread(self._read, each.vector))
            if first + len(page) == len(members):
                request.unmasks.extend(each.note for each in unmasks)
                for unmask in unmasks:
                    request.masks.append(await asyncio.to_thread(self._read, unmask.payload))
            reply = await trustee.recompute(request, timeout=CALL)
            if reply.check:
                return reply
            if reply.next > first + len(page) or reply.next == first:
                raise Invalid("the trustee counts other vectors than it was sent", place="recompute")
            if reply.next < first:  # it has begun anew, and is sent what it lacks
                anew += 1
                if anew == MOST_ANEW:
                    raise NotReleased(f"the trustee has lost its place {anew} times", place="recompute")
            first = reply.next

    def _read(self, sha: str) -> bytes:
        """One vector as it was signed. Raises Failed: a trustee would only say that it is another one."""
        try:
            data = self._vectors.read(sha)
        except Failed as error:
            raise self._lost(sha, error) from None
        if data is None or hashlib.sha256(data).hexdigest() != sha:
            raise self._lost(sha, NotVerified("it is not there" if data is None else "it is not the one that was signed"))
        self._told.discard(sha)
        return data

    def _lost(self, sha: str, error: OSError | Failed | NotVerified) -> Failed:
        """What is raised at every try and told the operator at the first."""
        if isinstance(error, Failed):
            failed = error
        else:
            failed = self._vectors.unreadable(sha, error.text if isinstance(error, NotVerified) else error.strerror or str(error))
        if sha not in self._told:
            self._told.add(sha)
            log.error("a national sum waits for a file, until its request expires: %s", failed)
        return failed

    def _log(self, row: RoundRow, plan: Plan, ids: tuple[str, ...], check: Signed, total: bytes) -> list[str]:
        submitted = self._rounds.participating(row)
        with self._journal.write() as out:
            if out.db.execute("SELECT state FROM rounds WHERE id = ?", (row.id,)).fetchone()[0] != "unmasked":
                return []
            if not out.embed(check.log, check.seen.note):
                raise NotVerified(f"{check.log.name} has signed two histories", place=check.log.name)
            checked = out.keep("national-check", row.request, check.note)
            out.db.execute("INSERT OR IGNORE INTO receipts VALUES (?, ?)", (check.id, check.receipt))
            out.db.execute(
                "INSERT OR IGNORE INTO trusteed VALUES (?, 'check', ?, ?, ?)", (row.plan, check.trustee, checked, check.sha256)
            )

            def make(place: LogPlace) -> bytes:
                return Result(
                    log=place, registry=out.registry, time=out.now, plan=row.plan or "", unmasks=ids, check=check.id,
                    close=self._rounds.close_id(row), count=len(submitted), honest=plan.honest,
                    total=Blob(sha256=hashlib.sha256(total).hexdigest(), size=len(total)),
                ).sign(self._journal.statements)  # fmt: skip

            entry = out.sign(Result.kind, row.request, make)
            put_blob(out.db, total)
            out.db.execute("UPDATE rounds SET state = 'done', result = ? WHERE id = ?", (entry, row.id))
            out.db.executemany(
                # The charge too: who was asked again meanwhile may have said something else, and the figure rests on the charge.
                "UPDATE answers SET verdict = ?, reason = '', decision = ?, release_id = ?"
                " WHERE request = ? AND number = ? AND node = ?",
                [(RELEASED, each.decision, each.submit, row.request, row.number, each.node) for each in submitted],
            )
            forget_seeds(out.db, row)
        # Crash before the commit: the trustee gives the same CHECK again. Crash after it: the figure is there for whoever asks.
        return [each.node for each in submitted]
