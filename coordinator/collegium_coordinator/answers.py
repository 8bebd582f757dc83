"""Where verified answers become durable: many nodes' answers in one transaction.

A hundred nodes answer within milliseconds of each other, and a durable commit costs milliseconds by itself. So one writer takes
whatever has arrived meanwhile and commits it together. Nobody sees an answer (progress, result) before it is on the disk.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collegium.errors import Failed
from collegium_coordinator.asked import Asked
from collegium_coordinator.jobs import replaces
from collegium_coordinator.store import Store, append_entry, put_blob
from collegium_coordinator.verify import Outcome

__all__ = ["AnswerWriter", "record"]

log = logging.getLogger("collegium.coordinator.answers")

MAX_BATCH = 512


@dataclass(frozen=True, slots=True)
class _Item:
    asked: Asked
    node: str
    outcomes: Sequence[Outcome]
    stored: asyncio.Future[None]


class AnswerWriter:
    """The one writer of answers in a process."""

    def __init__(self, store: Store, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()

    async def put(self, asked: Asked, node: str, outcomes: Sequence[Outcome]) -> None:
        """Return when the outcomes are durable. Raises Failed when they could not be stored; the node can be asked again."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Item(asked, node, outcomes, stored))
        await stored

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < MAX_BATCH:
                batch.append(self._queue.get_nowait())
            try:
                await asyncio.to_thread(self._write, batch)
            except Failed as error:
                log.error("%d answers could not be stored: %s", len(batch), error)
                for item in batch:
                    if not item.stored.done():
                        item.stored.set_exception(Failed(error.text, remedy=error.remedy, reason="failed"))
                continue
            for item in batch:
                if not item.stored.done():
                    item.stored.set_result(None)

    def _write(self, batch: Sequence[_Item]) -> None:
        with self._store.transaction() as db:
            for item in batch:
                for outcome in item.outcomes:
                    record(db, item.asked, item.node, outcome, self._clock())
        # Crash before the commit: the answers are lost here and not at the nodes, which give the same ones when asked again.


def record(db: sqlite3.Connection, asked: Asked, node: str, outcome: Outcome, now: float) -> None:
    """Log and index one verified outcome. Repeating it changes nothing; a stored release is never replaced."""
    for release_id, note in outcome.withdrawals:
        entry = append_entry(db, "withdrawal", asked.id, note)
        db.execute("INSERT OR IGNORE INTO withdrawals VALUES (?, ?, ?)", (release_id, node, entry))
    key = (asked.id, outcome.number, node)
    old = db.execute("SELECT verdict FROM answers WHERE request = ? AND number = ? AND node = ?", key).fetchone()
    if not replaces(outcome.verdict, old[0] if old is not None else None):
        return
    decision = release = payload = None
    if outcome.decision:
        decision = append_entry(db, "decision", asked.id, outcome.decision)
        if outcome.charge is not None:
            charge = outcome.charge
            db.execute(
                "INSERT OR IGNORE INTO charges VALUES (?, ?, ?, ?, ?, ?, ?)",
                (decision, node, charge.unit, charge.period, charge.dataset, asked.body.researcher, charge.rho),
            )
    if outcome.release:
        release = append_entry(db, "release", asked.id, outcome.release)
        payload = put_blob(db, outcome.payload)
    db.execute(
        "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, outcome.verdict, outcome.reason, decision, release, outcome.release_id or None, payload, now),
    )
