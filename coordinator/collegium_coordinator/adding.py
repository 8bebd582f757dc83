"""The sum itself: masked vectors less the trustees' masks, added here and once more by the trustee drawn by lot.

One vector is in memory at a time, however many nodes there are. Trusted with honest addition; the trustee's CHECK, and everybody
who has the log's export, come to the same total or show that it is wrong.
"""

from __future__ import annotations

import asyncio
import hashlib

import numpy as np
from numpy.typing import NDArray

from collegium.body import Blob
from collegium.errors import Failed, Invalid, NotVerified
from collegium.national.lists import Participants
from collegium.national.statements import Close, Plan, Result, Unmask, lot
from collegium.national.verify import recompute
from collegium.statements import LogPlace
from collegium.transport.trustee_client import TrusteeClient
from collegium.v1.trustee_pb2 import RecomputeReply, RecomputeRequest
from collegium_coordinator.jobs import Job
from collegium_coordinator.journal import Journal
from collegium_coordinator.planning import NO_ROUND, RoundOver
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.roundstore import Kept, RoundRow, RoundStore, forget_seeds
from collegium_coordinator.store import put_blob
from collegium_coordinator.trustee_replies import Signed, verify_check
from collegium_coordinator.trustees import Trustees
from collegium_coordinator.vectors import Vectors
from collegium_coordinator.verify import RELEASED

__all__ = ["Adding"]

PAGE_BYTES = 16 * 2**20  # of vectors in one call to the trustee
CALL = 120.0  # seconds


class Adding:
    """Makes RESULT of a round that is unmasked."""

    def __init__(self, rounds: RoundStore, journal: Journal, registry: RegistryLog, trustees: Trustees, vectors: Vectors) -> None:
        self._rounds, self._journal, self._registry = rounds, journal, registry
        self._trustees, self._vectors = trustees, vectors

    async def result(self, job: Job, row: RoundRow, plan: Plan) -> list[str]:
        """Log CHECK and RESULT; the participants, by name.

        1. Our own sum, from the files. 2. The trustee drawn by lot adds the same vectors, page by page. 3. What it signs is about
        these statements and our total. 4. One transaction: CHECK as it came, RESULT, the total, and the round's last state.

        Raises:
            RoundOver: a vector is lost, or the two came to different totals: no figure can be made of this round.
            Other CollegiumErrors: the trustee cannot be asked now.
        """
        # (1)
        participants = await asyncio.to_thread(self._participants, row)
        unmasks = self._rounds.kept(row, "unmask")
        total = (await asyncio.to_thread(self._sum, plan, participants, unmasks)).astype("<i8").tobytes()
        # (2)
        ids = tuple(each.id for each in unmasks)
        link = await self._trustees.taught(plan.trustees[lot(ids)].trustee)
        reply = await self._recompute(link.calls, row, plan, participants, unmasks)
        # (3)
        close = self._rounds.closing(row)
        registry = self._registry.registry
        check = await asyncio.to_thread(verify_check, reply, self._rounds.note(row), plan, close, ids, total, registry)
        # (4)
        return await asyncio.to_thread(self._log, row, plan, ids, check, total)

    def _participants(self, row: RoundRow) -> Participants:
        return Participants.from_blob(self._rounds.participants(row), Close.read(self._rounds.closing(row)).participants)

    def _sum(self, plan: Plan, participants: Participants, unmasks: list[Kept]) -> NDArray[np.int64]:
        try:
            return recompute(plan.length, participants, [Unmask.read(each.note) for each in unmasks], self._vectors.open)
        except (Failed, NotVerified) as error:
            raise RoundOver(NO_ROUND, f"the sum cannot be made: {error}") from None

    async def _recompute(
        self, trustee: TrusteeClient, row: RoundRow, plan: Plan, participants: Participants, unmasks: list[Kept]
    ) -> RecomputeReply:
        members, step = participants.members, max(1, PAGE_BYTES // (8 * plan.length))
        first = 0
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
            first = reply.next  # smaller than `first`: it has begun anew, and is sent what it lacks

    def _read(self, sha: str) -> bytes:
        data = self._vectors.read(sha)
        if data is None:
            raise RoundOver(NO_ROUND, f"the vector {sha} is not there any more")
        return data

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
                "UPDATE answers SET verdict = ?, reason = '', release_id = ? WHERE request = ? AND number = ? AND node = ?",
                [(RELEASED, each.submit, row.request, row.number, each.node) for each in submitted],
            )
            forget_seeds(out.db, row)
        # Crash before the commit: the trustee gives the same CHECK again. Crash after it: the figure is there for whoever asks.
        return [each.node for each in submitted]
