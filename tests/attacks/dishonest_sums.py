"""Ministries that cheat in a national sum: lies like those of `dishonest_coordinator`, each one step of a round changed.

Plans, lists and results are signed with the coordinator's real key and logged; nodes and trustees are honest.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from collegium.national.lists import Participants
from collegium.national.statements import Close, PlanPart
from collegium_coordinator import planning, rounds
from collegium_coordinator.adding import Adding
from collegium_coordinator.closing import close_round
from collegium_coordinator.config import Home
from collegium_coordinator.rounds import Round
from collegium_coordinator.roundstore import RoundStore, Submitted

__all__ = ["LIES", "PAUSE"]

LIES: dict[str, Callable[[Path], None]] = {}
PAUSE = 8.0  # seconds between CLOSE and UNMASK, for who makes a copy of a trustee there


def lie(tell: Callable[[Path], None]) -> Callable[[Path], None]:
    LIES[tell.__name__] = tell
    return tell


@lie
def weaker_noise(home: Path) -> None:
    """A6: shares of half the scale that the question's rho asks for."""
    honest = planning.plan_parts

    def half(*given: Any) -> tuple[PlanPart, ...]:
        return tuple(part.model_copy(update={"scale": repr(float(part.scale) / 2)}) for part in honest(*given))

    planning.plan_parts = half


class _Chosen:
    """A store whose submissions are those that `keep` lets through."""

    def __init__(self, honest: RoundStore, keep: Callable[[Sequence[Submitted]], list[Submitted]]) -> None:
        self._honest, self._keep = honest, keep

    def submitted(self, row: Any) -> list[Submitted]:
        return self._keep(self._honest.submitted(row))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)


def _list(keep: Callable[[Sequence[Submitted]], list[Submitted]]) -> None:
    def close(journal: Any, store: RoundStore, row: Any, plan: Any) -> None:
        close_round(journal, _Chosen(store, keep), row, plan.model_copy(update={"least": 1}))  # type: ignore[arg-type]

    rounds.close_round = close


@lie
def tiny_list(home: Path) -> None:
    """A7: a sum of one university alone."""
    _list(lambda submitted: list(submitted[:1]))


@lie
def left_out(home: Path) -> None:
    """A7: the first university has submitted, has the receipt, and is not in the sum."""
    _list(lambda submitted: list(submitted[1:]))


@lie
def other_list(home: Path) -> None:
    """The trustees are handed a list with one university less than the CLOSE that is logged names."""
    honest = RoundStore.participants

    def participants(self: RoundStore, row: Any) -> bytes:
        listed = Participants.from_blob(honest(self, row), Close.read(self.closing(row)).participants)
        return Participants(members=listed.members[1:]).to_blob()

    RoundStore.participants = participants  # type: ignore[method-assign]


@lie
def second_list(home: Path) -> None:
    """A4: rounds that have a result are closed once more, without their first university. Two totals would show its share."""
    left_out(home)
    with closing(sqlite3.connect(Home(home).database)) as db, db:
        db.execute("UPDATE rounds SET state = 'collected', closing = NULL, result = NULL WHERE state = 'done'")
        db.execute("DELETE FROM trusteed WHERE kind IN ('unmask', 'check')")


@lie
def false_total(home: Path) -> None:
    """A7: a thousand persons more than what the trustee drawn by lot has checked and signed."""
    honest = Adding._log

    def log(self: Adding, row: Any, plan: Any, ids: Any, check: Any, total: bytes) -> list[str]:
        more = int.from_bytes(total[:8], "little", signed=True) + (1000 << plan.parts[0].fine)
        return honest(self, row, plan, ids, check, more.to_bytes(8, "little", signed=True) + total[8:])

    Adding._log = log  # type: ignore[method-assign]


@lie
def slow_to_unmask(home: Path) -> None:
    """No lie: time for somebody to copy a trustee's folder between PREPARE and UNMASK."""
    honest = Round._unmask

    async def unmask(self: Round) -> None:
        await asyncio.sleep(PAUSE)
        await honest(self)

    Round._unmask = unmask  # type: ignore[method-assign]
