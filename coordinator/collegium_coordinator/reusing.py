"""A national question that was answered before is answered with the same signed result: no new round, no charge, no other noise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from collegium_coordinator.jobs import Job
from collegium_coordinator.roundstore import RoundRow, RoundStore, Submitted
from collegium_coordinator.verify import HELD, READY, REFUSED, RELEASED

__all__ = ["reuse"]

log = logging.getLogger("collegium.coordinator.reusing")


async def reuse(rounds: RoundStore, job: Job, row: RoundRow, freshen: Callable[[Iterable[str]], Coroutine[Any, Any, None]]) -> bool:
    """Whether an earlier result answers this round; it is then settled.

    1. A round of the same question (its digest, the charges included) over the same group of the same nodes has come to a result.
    2. Every participant's snapshot is still the one it was charged on, as the node itself says now.
    3. No participant has refused or held this request: a steward's no holds for what was computed before, too.

    `freshen` asks those of the given nodes who are connected what their snapshot is now. A participant that is not connected, or
    does not say, is judged by what it said last, and takes part in nothing by it: the sum was made before.
    """
    # (1)
    asked: set[str] = set()
    for earlier in await asyncio.to_thread(rounds.answered_before, row):
        participants = await asyncio.to_thread(rounds.participating, earlier)
        if _refused(job, row, participants):  # (3)
            continue
        # (2) Every one of them: a sum over a country is current only if nobody in it has other data by now.
        names = [each.node for each in participants if each.node not in asked]
        await freshen(names)
        asked.update(names)
        if await asyncio.to_thread(_current, rounds, participants):
            await asyncio.to_thread(_take, rounds, job, row, earlier, participants)
            log.info("request %s: question %d is answered with the result of an earlier round", job.id[:12], row.number)
            return True
    return False


def _current(rounds: RoundStore, participants: list[Submitted]) -> bool:
    """(2)"""
    seen = {str(node): str(snapshot) for node, snapshot in rounds.store.rows("SELECT node, snapshot FROM seen")}
    return all(seen.get(each.node) == each.snapshot for each in participants)


def _refused(job: Job, row: RoundRow, participants: list[Submitted]) -> bool:
    """(3)"""
    return any(job.verdicts.get(each.node, {row.number: REFUSED})[row.number] in (REFUSED, HELD) for each in participants)


def _take(rounds: RoundStore, job: Job, row: RoundRow, earlier: RoundRow, participants: list[Submitted]) -> None:
    with rounds.store.transaction() as db:
        db.execute(
            "UPDATE rounds SET state = 'done', result = ?, reuses = ? WHERE id = ? AND state = 'new'",
            (earlier.result, earlier.id, row.id),
        )
        sql = (
            "UPDATE answers SET verdict = ?, reason = '', release_id = ?"
            " WHERE request = ? AND number = ? AND node = ? AND verdict = ?"
        )
        db.executemany(
            sql,
            [(RELEASED, each.submit, row.request, row.number, each.node, READY) for each in participants],
        )
    # Crash before the commit: the next start finds the same result.
    for each in participants:
        if job.verdicts[each.node][row.number] == READY:
            job.apply(each.node, [(row.number, RELEASED)])
