"""Telling nodes how a round has ended: the receipt of their submission in our log, and who is in the sum.

With it a node can show any later day that it was left out although its submission was there in time. Best effort: a node that is
not connected is told when it comes back, and one that never comes finds all of it in the log.

The list of a country's participants is half a megabyte, and it goes to each of them: it is made once for a round, nobody is told
while he is being told, and a round whose trustees are away for a day tells nobody twice.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from collegium.errors import CollegiumError
from collegium.v1.node_pb2 import ClosedRequest
from collegium_coordinator.cosigned import Cosigned
from collegium_coordinator.nodes import Nodes
from collegium_coordinator.roundstore import RoundRow, RoundStore

__all__ = ["Teller"]

log = logging.getLogger("collegium.coordinator.telling")

CALL = 30.0  # seconds
FEW = 64  # calls at once: nobody waits for them; also, so many are marked as told in one transaction
AGAIN = 300.0  # seconds before those of a round who could not be told are called again, while it goes on
KEPT = 4  # rounds whose list stays in memory: after a restart everybody connects and is told of the same few


@dataclass(frozen=True, slots=True)
class _Ended:
    """What everybody of a round is told: CLOSE, its receipt and its list; empty when the round has failed before it."""

    close: bytes = b""
    receipt: bytes = b""
    participants: bytes = b""


class Teller:
    """Calls `Node.Closed` once for each submission that was taken."""

    def __init__(self, rounds: RoundStore, nodes: Nodes, cosigned: Cosigned, *, parallel: int) -> None:
        self._rounds, self._nodes, self._cosigned = rounds, nodes, cosigned
        self._slots = asyncio.Semaphore(min(FEW, parallel))
        self._begun: dict[str, float] = {}  # by plan: when all of it were told last, this loop's time
        self._under_way: set[tuple[str, int]] = set()  # (plan, member) being told, or told and not yet marked
        self._told: list[tuple[str, int]] = []  # of those: to be marked
        self._ended: dict[str, _Ended] = {}  # by plan, the newest last
        self._making = asyncio.Lock()
        self._marking = asyncio.Lock()

    async def all(self, row: RoundRow) -> None:
        """Everybody of one round whose list is fixed, or that has failed. It may be called at every try of a round's next step."""
        plan, now = row.plan or "", asyncio.get_running_loop().time()
        self._begun = {each: then for each, then in self._begun.items() if now - then < AGAIN}
        if plan in self._begun:
            return
        self._begun[plan] = now
        untold = await asyncio.to_thread(
            self._rounds.store.rows,
            "SELECT member, node, entry FROM submissions WHERE plan = ? AND submit IS NOT NULL AND told = 0",
            (plan,),
        )
        await asyncio.gather(*(self._tell(row, int(member), str(node), int(entry)) for member, node, entry in untold))
        await self._mark()

    async def node(self, name: str) -> None:
        """One node, about all rounds of which it has not heard. Of one that it is being told of now, it is marked afterwards."""
        telling = set(self._under_way)
        rows = await asyncio.to_thread(
            self._rounds.store.rows,
            "SELECT r.id, s.member, s.entry FROM submissions s JOIN rounds r ON r.plan = s.plan"
            " WHERE s.node = ? AND s.told = 0 AND s.submit IS NOT NULL AND (r.closing IS NOT NULL OR r.state = 'failed')",
            (name,),
        )
        for identity, member, entry in rows:
            row = await asyncio.to_thread(self._rounds.row, int(identity))
            if (row.plan or "", int(member)) not in telling:
                await self._tell(row, int(member), name, int(entry))
        await self._mark()

    # -- inside ----------------------------------------------------------------------------------------------------------------

    async def _tell(self, row: RoundRow, member: int, node: str, entry: int) -> None:
        """One member, unless it is being told."""
        key = (row.plan or "", member)
        if key in self._under_way:
            return
        self._under_way.add(key)
        told = False
        try:
            async with self._slots:
                told = await self._call(row, node, entry)
        finally:
            if not told:
                self._under_way.discard(key)
        if told:
            self._told.append(key)
            if len(self._told) >= FEW:
                await self._mark()

    async def _call(self, row: RoundRow, node: str, entry: int) -> bool:
        """Whether the node has taken it."""
        try:
            calls = self._nodes.get(node).calls  # nothing is made for one who is not there
            ended = await self._how(row)
            receipt = await asyncio.to_thread(self._cosigned.receipt, entry)
            if ended is None or receipt is None:
                return False  # witnesses have not confirmed it yet; the node is told when it connects again
            request = ClosedRequest(
                plan=row.plan or "", submit_receipt=receipt, close=ended.close, close_receipt=ended.receipt,
                participants=ended.participants,
            )  # fmt: skip
            await calls.closed(request, timeout=CALL)
        except CollegiumError as error:
            log.info("node %s was not told how a round has ended: %s", node, error)
            return False
        return True

    async def _how(self, row: RoundRow) -> _Ended | None:
        """How the round has ended; None while witnesses have not confirmed its CLOSE."""
        if row.closing is None:
            return _Ended()
        plan = row.plan or ""
        async with self._making:
            if plan not in self._ended:
                made = await asyncio.to_thread(self._make, row, row.closing)
                if made is None:
                    return None
                self._ended[plan] = made
                while len(self._ended) > KEPT:
                    del self._ended[next(iter(self._ended))]
            return self._ended[plan]

    def _make(self, row: RoundRow, closing: int) -> _Ended | None:
        receipt = self._cosigned.receipt(closing)
        return _Ended(self._rounds.closing(row), receipt, self._rounds.participants(row)) if receipt is not None else None

    async def _mark(self) -> None:
        """All that have been told since the last transaction."""
        async with self._marking:
            told, self._told = self._told, []
            try:
                if told:
                    await asyncio.to_thread(self._write, told)
            except CollegiumError as error:
                log.error("that %d nodes were told how a round has ended could not be stored: %s", len(told), error)
            finally:
                self._under_way.difference_update(told)

    def _write(self, told: list[tuple[str, int]]) -> None:
        with self._rounds.store.transaction() as db:
            db.executemany("UPDATE submissions SET told = 1 WHERE plan = ? AND member = ?", told)
        # Crash before the commit: they are told twice, which changes nothing.
