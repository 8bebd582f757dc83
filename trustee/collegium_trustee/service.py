"""What a trustee serves for national sums. It decides nothing; it hands over to the steps, which check everything themselves.

Every step blocks (SQLite, signatures, masks) and so runs in a thread of `Working`; whatever goes wrong leaves as an error of the
public table, and stays in a local line by its type and place. The same object also keeps the house: `keep` makes each month's
sealing key and deletes what has had its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import collegium
from collegium.errors import CollegiumError
from collegium.national.closing import CloseEvidence
from collegium.party import replies
from collegium.party.home import Party
from collegium.party.lines import Lines
from collegium.party.receipts import Receipts
from collegium.party.store import StorageBroken
from collegium.party.working import Working
from collegium.v1 import node_pb2, trustee_pb2, trustee_pb2_grpc
from collegium_trustee.begin import Given, begin
from collegium_trustee.forget import forget
from collegium_trustee.prepare import prepare
from collegium_trustee.recompute import Recomputing, Rest
from collegium_trustee.rounds import Keeping, Rounds
from collegium_trustee.sealing import Sealing
from collegium_trustee.unmask import unmask

__all__ = ["KEEP_EVERY", "TrusteeService"]

KEEP_EVERY = 60.0  # seconds between looks at the calendar and at what has had its time
RETRY = 1.0  # seconds after a look that failed


class TrusteeService(trustee_pb2_grpc.TrusteeServicer):
    """The Trustee service of one opened party. `working` runs its steps and counts them."""

    def __init__(self, party: Party, receipts: Receipts, lines: Lines, working: Working, *, keeping: Keeping | None = None) -> None:
        self._party = party
        self._lines = lines
        self._working = working
        self.rounds = Rounds(party, receipts, keeping)
        self.sealing = Sealing(self.rounds)
        self._recomputing = Recomputing(self.rounds)

    async def Status(self, request: trustee_pb2.TrusteeStatusRequest, context: Any) -> trustee_pb2.TrusteeStatus:
        return await self._working.small(self.status)

    async def Learn(self, request: node_pb2.LearnRequest, context: Any) -> node_pb2.LearnReply:
        return await self._working.small(self.learn, request)

    async def Begin(self, request: trustee_pb2.BeginRequest, context: Any) -> trustee_pb2.BeginReply:
        return await self._working.run(self.begin, request)

    async def Prepare(self, request: trustee_pb2.PrepareRequest, context: Any) -> trustee_pb2.PrepareReply:
        return await self._working.run(self.prepare, request)

    async def Unmask(self, request: trustee_pb2.UnmaskRequest, context: Any) -> trustee_pb2.UnmaskReply:
        return await self._working.run(self.unmask, request)

    async def Recompute(self, request: trustee_pb2.RecomputeRequest, context: Any) -> trustee_pb2.RecomputeReply:
        return await self._working.run(self.recompute, request)

    def status(self) -> trustee_pb2.TrusteeStatus:
        """Who this is, and to which key seeds may be sealed: the newest that its witnesses have confirmed."""
        key = self.sealing.announced()
        return trustee_pb2.TrusteeStatus(
            name=self._party.membership.name,
            version=collegium.__version__,
            registry_size=self._party.members.registry.size,
            key=key.note,
            key_receipt=key.receipt,
        )

    def learn(self, request: node_pb2.LearnRequest) -> node_pb2.LearnReply:
        size = self._party.members.learn(request.first, list(request.entries), request.checkpoint)
        self._lines.event("registry", size=size)
        try:
            self._party.members.check_own()
        except CollegiumError as error:
            self._lines.failure("own-registration", error)
        return replies.learnt(size)

    def begin(self, request: trustee_pb2.BeginRequest) -> trustee_pb2.BeginReply:
        given = Given(request.plan, request.plan_receipt, request.roster, request.registry_checkpoint, request.request)
        begin(self.rounds, self.sealing, given)
        return trustee_pb2.BeginReply()

    def prepare(self, request: trustee_pb2.PrepareRequest) -> trustee_pb2.PrepareReply:
        page = [(each.submit, each.sealed) for each in request.submissions]
        signed = prepare(self.rounds, self.sealing, request.plan, page, last=request.last)
        if signed is None:
            return trustee_pb2.PrepareReply()
        self._lines.event("prepared", plan=request.plan)
        return trustee_pb2.PrepareReply(prepare=signed.note, prepare_receipt=signed.receipt, prepared=signed.payload)

    def unmask(self, request: trustee_pb2.UnmaskRequest) -> trustee_pb2.UnmaskReply:
        closed = CloseEvidence(
            request.close, request.close_receipt, request.participants, list(request.prepares), list(request.prepared)
        )
        signed = unmask(self.rounds, request.plan, closed)
        self._lines.event("unmasked", plan=request.plan)
        return trustee_pb2.UnmaskReply(unmask=signed.note, unmask_receipt=signed.receipt, masks=signed.payload)

    def recompute(self, request: trustee_pb2.RecomputeRequest) -> trustee_pb2.RecomputeReply:
        rest = Rest(list(request.unmasks), list(request.masks)) if request.unmasks else None
        done = self._recomputing.add(request.plan, request.first, request.vectors, rest)
        if done.check is None:
            return trustee_pb2.RecomputeReply(next=done.next)
        self._lines.event("checked", plan=request.plan)
        check, receipt, total = done.check
        return trustee_pb2.RecomputeReply(next=done.next, check=check, check_receipt=receipt, total=total)

    def keep_house(self) -> None:
        """One look: keys, seeds and answers that have had their time, what is left of them in the files, and this month's key."""
        gone = forget(self.rounds)
        if gone.abandoned:
            self._lines.event("rounds-abandoned", rounds=gone.abandoned)
        if self.sealing.retire():
            self._lines.event("sealing-key-deleted")
        if not self.rounds.wiped():
            self._lines.event("not-wiped-yet")
        if self.sealing.ensure() is not None:
            self._lines.event("sealing-key")

    async def keep(self, *, every: float = KEEP_EVERY, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """`keep_house` for ever. A log that may not sign yet only delays it, and is looked at again soon; a broken disk ends it."""
        failed = False
        while True:
            try:
                await asyncio.to_thread(self.keep_house)
                failed = False
            except StorageBroken:
                raise
            except CollegiumError as error:
                if not failed:  # said once, tried often: after a start it waits for the witnesses
                    self._lines.failure("not-kept", error)
                failed = True
            await sleep(RETRY if failed else every)
