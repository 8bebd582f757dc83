"""Where verified answers become durable: many nodes' answers in one transaction.

A hundred nodes answer within milliseconds of each other, and a durable commit costs milliseconds by itself. So one writer takes
whatever has arrived meanwhile and commits it together. Nobody sees an answer (progress, result) before it is on the disk.

Before a node's statements stands the checkpoint of its log that came with them, and before both the registry by which they were
judged: a node revoked meanwhile has not answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from collegium.errors import CollegiumError, Failed
from collegium.statements import Withdrawal
from collegium_coordinator.asked import Asked
from collegium_coordinator.jobs import replaces
from collegium_coordinator.journal import Journal, Writer
from collegium_coordinator.store import put_blob
from collegium_coordinator.verify import BAD_ANSWER, FAILED, READY, Answering, Outcome

__all__ = ["AnswerWriter", "record", "write_together"]

lines = logging.getLogger("collegium.coordinator.answers")

MAX_BATCH = 512
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Item:
    asked: Asked
    node: str
    outcomes: Sequence[Outcome]
    answering: Answering | None
    stored: asyncio.Future[list[Outcome]]


class AnswerWriter:
    """The one writer of answers in a process."""

    def __init__(self, journal: Journal, *, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._clock = clock
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()

    @property
    def waiting(self) -> int:
        """Answers that have come and are not yet taken to be written."""
        return self._queue.qsize()

    async def put(self, asked: Asked, node: str, outcomes: Sequence[Outcome], answering: Answering | None) -> list[Outcome]:
        """What was stored, when it is durable. `answering` is who was verified; None when nobody answered.

        Raises Failed when nothing could be stored; the node can be asked again.
        """
        stored: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Item(asked, node, outcomes, answering, stored))
        return await stored

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < MAX_BATCH:
                batch.append(self._queue.get_nowait())
            kept = await write_together(self._write, batch, "answers")
            for item, outcomes in zip(batch, kept, strict=True):
                if item.stored.done():
                    continue
                if isinstance(outcomes, Failed):
                    item.stored.set_exception(outcomes)
                else:
                    item.stored.set_result(outcomes)

    def _write(self, batch: Sequence[_Item]) -> list[list[Outcome]]:
        with self._journal.write() as log:
            kept = []
            for item in batch:
                outcomes = item.outcomes
                if item.answering is not None and not self._in_force(item.answering, log.registry.size):
                    outcomes = [Outcome(each.number, FAILED, "offline") for each in outcomes]
                kept.append([record(log, item.asked, item.node, each, item.answering, self._clock()) for each in outcomes])
        # Crash before the commit: the answers are lost here and not at the nodes, which give the same ones when asked again.
        return kept

    def _in_force(self, answering: Answering, size: int) -> bool:
        """Whether the registry that stands before these entries still has the node as it was verified."""
        try:
            return self._journal.registry.registry.party(answering.node.name, at=size).index == answering.node.index
        except CollegiumError:
            return False


async def write_together(write: Callable[[Sequence[T]], Sequence[R]], batch: Sequence[T], what: str) -> list[R | Failed]:
    """What `write` gives for each item of one transaction. Where that breaks, each item has its own, and only the bad one fails.

    Not where the disk or the log refuses (Failed): that is no item's fault, and to wait for a locked database five hundred times
    helps nobody. Never raises: a writer that ends would leave every later request without an answer.
    """
    try:
        return list(await asyncio.to_thread(write, batch))
    except Exception as error:
        said = error if isinstance(error, CollegiumError) else Failed(f"{what} could not be stored")
        lines.error("%d %s could not be stored together: %s", len(batch), what, said, exc_info=said is not error)
        if len(batch) > 1 and not isinstance(error, Failed):
            # Crash here: what is written of them is found when the others are asked again.
            return [kept for item in batch for kept in await write_together(write, [item], what)]
        return [Failed(said.text, remedy=said.remedy, reason="failed") for _ in batch]


def record(log: Writer, asked: Asked, node: str, outcome: Outcome, answering: Answering | None, now: float) -> Outcome:
    """Log and index one verified outcome; what was stored. Repeating it changes nothing; a stored release is never replaced, and
    neither is a charge for the plan of a national sum.

    1. The checkpoints that came, before what rests on them; who shows two trees of one size has not answered.
    2. Withdrawals of the very release in the answer, under one of its node's checkpoints here; others come again with a later one.
    3. The statements, their receipts, and the index of them.
    """
    db = log.db
    key = (asked.id, outcome.number, node)
    old = db.execute("SELECT verdict, decision FROM answers WHERE request = ? AND number = ? AND node = ?", key).fetchone()
    before, decided = old if old is not None else (None, None)
    charged = before == READY and decided is not None  # for a plan: a refusal of it would not be READY
    known = db.execute("SELECT 1 FROM withdrawals WHERE release_id = ?", (outcome.release_id,)).fetchone() is not None
    withdrawn = [] if known else [note for release_id, note in outcome.withdrawals if release_id == outcome.release_id]
    # (1)
    if (
        answering is not None
        and answering.node.log is not None
        and (withdrawn or replaces(outcome.verdict, before, charged=charged))
    ):
        agrees = [log.embed(answering.node.log, seen.note) for seen in outcome.seen]
        if not all(agrees):
            lines.error("node %s has signed two histories of its log; both checkpoints are in the coordinator's log", node)
            outcome, withdrawn = Outcome(outcome.number, FAILED, BAD_ANSWER), []
        # (2)
        held = db.execute("SELECT COALESCE(MAX(size), 0) FROM peers WHERE log = ?", (answering.node.log.vkey,)).fetchone()[0]
        for note in withdrawn:
            if Withdrawal.read(note).log.index < held:
                entry = log.keep("withdrawal", asked.id, note)
                db.execute("INSERT OR IGNORE INTO withdrawals VALUES (?, ?, ?)", (outcome.release_id, node, entry))
    if not replaces(outcome.verdict, before, charged=charged):
        return Outcome(outcome.number, READY) if charged else outcome
    # (3)
    decision = release = payload = None
    if outcome.decision:
        decision = log.keep("decision", asked.id, outcome.decision)
        if outcome.charge is not None:
            charge = outcome.charge
            db.execute(
                "INSERT OR IGNORE INTO charges VALUES (?, ?, ?, ?, ?, ?, ?)",
                (decision, node, charge.unit, charge.period, charge.dataset, asked.body.researcher, charge.rho),
            )
    if outcome.release:
        release = log.keep("release", asked.id, outcome.release)
        payload = put_blob(db, outcome.payload)
    db.executemany("INSERT OR IGNORE INTO receipts VALUES (?, ?)", outcome.receipts)
    db.execute(
        "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, outcome.verdict, outcome.reason, decision, release, outcome.release_id or None, payload, now),
    )
    return outcome
