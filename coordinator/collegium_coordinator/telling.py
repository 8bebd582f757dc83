"""Telling nodes how a round has ended: the receipt of their submission in our log, and who is in the sum.

With it a node can show any later day that it was left out although its submission was there in time. Best effort: a node that is
not connected is told when it comes back, and one that never comes finds all of it in the log.
"""

from __future__ import annotations

import asyncio
import logging

from collegium.errors import CollegiumError
from collegium.v1.node_pb2 import ClosedRequest
from collegium_coordinator.cosigned import Cosigned
from collegium_coordinator.nodes import Nodes
from collegium_coordinator.roundstore import RoundRow, RoundStore

__all__ = ["Teller"]

log = logging.getLogger("collegium.coordinator.telling")

CALL = 30.0  # seconds
FEW = 64  # calls at once: nobody waits for them


class Teller:
    """Calls `Node.Closed` once for each submission that was taken."""

    def __init__(self, rounds: RoundStore, nodes: Nodes, cosigned: Cosigned, *, parallel: int) -> None:
        self._rounds, self._nodes, self._cosigned = rounds, nodes, cosigned
        self._slots = asyncio.Semaphore(min(FEW, parallel))

    async def all(self, row: RoundRow) -> None:
        """Everybody of one round whose list is fixed, or that has failed."""
        untold = await asyncio.to_thread(
            self._rounds.store.rows,
            "SELECT member, node, entry FROM submissions WHERE plan = ? AND submit IS NOT NULL AND told = 0",
            (row.plan,),
        )
        told = await asyncio.gather(*(self._tell(row, str(node), int(entry)) for _, node, entry in untold))
        await asyncio.to_thread(self._mark, row, [int(each[0]) for each, done in zip(untold, told, strict=True) if done])

    async def node(self, name: str) -> None:
        """One node, about all rounds of which it has not heard."""
        rows = await asyncio.to_thread(
            self._rounds.store.rows,
            "SELECT r.id, s.member, s.entry FROM submissions s JOIN rounds r ON r.plan = s.plan"
            " WHERE s.node = ? AND s.told = 0 AND s.submit IS NOT NULL AND (r.closing IS NOT NULL OR r.state = 'failed')",
            (name,),
        )
        for identity, member, entry in rows:
            row = await asyncio.to_thread(self._rounds.row, int(identity))
            if await self._tell(row, name, int(entry)):
                await asyncio.to_thread(self._mark, row, [int(member)])

    async def _tell(self, row: RoundRow, node: str, entry: int) -> bool:
        """Whether the node has taken it."""
        async with self._slots:
            try:
                receipt = await asyncio.to_thread(self._cosigned.receipt, entry)
                request = ClosedRequest(plan=row.plan or "", submit_receipt=receipt or b"")
                if row.closing is not None:
                    proof = await asyncio.to_thread(self._cosigned.receipt, row.closing)
                    request.close, request.participants = self._rounds.closing(row), self._rounds.participants(row)
                    request.close_receipt = proof or b""
                if receipt is None or (row.closing is not None and not request.close_receipt):
                    return False  # witnesses have not confirmed it yet; the node is told when it connects again
                await self._nodes.get(node).calls.closed(request, timeout=CALL)
            except CollegiumError as error:
                log.info("node %s was not told how a round has ended: %s", node, error)
                return False
        return True

    def _mark(self, row: RoundRow, members: list[int]) -> None:
        with self._rounds.store.transaction() as db:
            sql = "UPDATE submissions SET told = 1 WHERE plan = ? AND member = ?"
            db.executemany(sql, [(row.plan, member) for member in members])
        # Crash before the commit: they are told twice, which changes nothing.
