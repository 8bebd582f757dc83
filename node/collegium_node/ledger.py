"""The ledger: what privacy loss has been charged, to whom, on what. Nothing here draws noise or reads data.

A charge is integer nano-rho of zCDP. Charges of one privacy unit add over all datasets, data years and snapshots: the budget of the
calendar period and the lifetime cap are sums over the *unit*. Limits for a dataset or a researcher are sub-limits under it.

A period is found from the time of the charge, never from a stored label, so that a steward who changes from years to months starts
with what the months have really seen, and no change of the calendar resets a sum.

What exceeds a limit is refused with the name of the limit. The answer depends on charges alone, and all charges are in the signed
log: a refusal tells nobody anything about a person. A refusal is no charge, so it blocks no later question.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

__all__ = [
    "Budget",
    "Limits",
    "OverBudget",
    "Period",
    "Row",
    "Spending",
    "bound_row",
    "check",
    "find",
    "insert",
    "of_plan",
    "period_of",
    "release",
    "spending",
]

Period = Literal["year", "quarter", "month"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent on one privacy unit: `rho` nano-rho in each calendar period, `lifetime` nano-rho ever."""

    period: Period
    rho: int
    lifetime: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The steward's figures in nano-rho. A unit without a budget has none to spend.

    `lost`: by unit, what an earlier log of this node may have charged, and when that log was lost. It counts against every budget
    and limit of the unit, as if it had been spent then.
    """

    budgets: Mapping[str, Budget] = field(default_factory=dict)
    datasets: Mapping[str, int] = field(default_factory=dict)
    researchers: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def lost_on(self, unit: str, start: int = 0, end: int = 2**62) -> int:
        """What counts as spent on a unit without a charge, if it was lost in this time."""
        rho, time = self.lost.get(unit, (0, 0))
        return rho if start <= time < end else 0


@dataclass(frozen=True, slots=True)
class Row:
    """One charge. `decision` and `release` are indices in the node's log; `release` is None until the answer is stored.

    `digest` is the question's, or the id of a national sum's plan: each round is a charge of its own, and has no release.
    """

    digest: str
    snapshot: str
    unit: str
    period: str
    time: int
    dataset: str
    researcher: str
    rho: int
    request: str
    number: int
    decision: int
    release: int | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """One line of `collegium-node budget`, nano-rho."""

    scope: str  # "unit", "dataset", "researcher"
    name: str
    unit: str
    period: str
    spent: int
    limit: int
    lifetime_spent: int
    lifetime: int | None


class OverBudget(Exception):
    """A limit does not cover the cost. `reason` is its key in collegium.errors.PUBLIC_TEXTS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_COLUMNS = "digest, snapshot, unit, period, time, dataset, researcher, rho, request, number, decision, release"


def period_of(time: int, kind: Period) -> tuple[str, int, int]:
    """The UTC calendar period around a Unix time: its label, its first second, and the first second after it."""
    moment = datetime.fromtimestamp(time, UTC)
    months = {"year": 12, "quarter": 3, "month": 1}[kind]
    first = (moment.month - 1) // months * months
    start = datetime(moment.year, first + 1, 1, tzinfo=UTC)
    after = first + months
    end = datetime(moment.year + after // 12, after % 12 + 1, 1, tzinfo=UTC)
    within = {"year": "", "quarter": f"-Q{first // 3 + 1}", "month": f"-{first + 1:02}"}[kind]
    return f"{moment.year}{within}", int(start.timestamp()), int(end.timestamp())


def find(db: sqlite3.Connection, digest: str, snapshot: str) -> Row | None:
    """The one charge of a question on a snapshot."""
    found = db.execute(f"SELECT {_COLUMNS} FROM charges WHERE digest = ? AND snapshot = ?", (digest, snapshot)).fetchone()  # noqa: S608 (constant columns)
    return Row(*found) if found else None


def bound_row(db: sqlite3.Connection, request: str, number: int, digest: str) -> Row | None:
    """The charge to which this question of this request was bound, by a charge of its own or as a reuse; else None."""
    found = db.execute(
        "SELECT snapshot FROM decisions WHERE request = ? AND number = ? AND digest = ? AND verdict IN ('charge', 'reuse')"
        " ORDER BY idx DESC",
        (request, number, digest),
    ).fetchone()
    return find(db, digest, found[0]) if found else None


def of_plan(db: sqlite3.Connection, plan: str) -> Row | None:
    """The one charge for the plan of a national sum, whatever the snapshot: `digest` of such a row is the plan's id."""
    found = db.execute(f"SELECT {_COLUMNS} FROM charges WHERE digest = ?", (plan,)).fetchone()  # noqa: S608 (constant columns)
    return Row(*found) if found else None


def check(db: sqlite3.Connection, limits: Limits, *, unit: str, dataset: str, researcher: str, rho: int, time: int) -> str:
    """The label of the period that can pay `rho`. Raises OverBudget with the first limit that does not cover it."""
    budget = limits.budgets.get(unit)
    if budget is None:
        raise OverBudget("budget-period")
    label, start, end = period_of(time, budget.period)
    rho_ever, rho = rho + limits.lost_on(unit), rho + limits.lost_on(unit, start, end)
    if _spent(db, "unit = ?", (unit,)) + rho_ever > budget.lifetime:
        raise OverBudget("budget-lifetime")
    within = "time >= ? AND time < ? AND unit = ?"
    if _spent(db, within, (start, end, unit)) + rho > budget.rho:
        raise OverBudget("budget-period")
    limit = limits.datasets.get(dataset)
    if limit is not None and _spent(db, f"{within} AND dataset = ?", (start, end, unit, dataset)) + rho > limit:
        raise OverBudget("budget-dataset")
    limit = limits.researchers.get(researcher)
    if limit is not None and _spent(db, f"{within} AND researcher = ?", (start, end, unit, researcher)) + rho > limit:
        raise OverBudget("budget-researcher")
    return label


def insert(db: sqlite3.Connection, row: Row) -> None:
    """Write a charge. The primary key refuses a second one for the same question and snapshot."""
    values = (row.digest, row.snapshot, row.unit, row.period, row.time, row.dataset, row.researcher, row.rho)
    db.execute(
        f"INSERT INTO charges({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (constant columns)
        (*values, row.request, row.number, row.decision, row.release),
    )


def release(db: sqlite3.Connection, row: Row, index: int) -> None:
    """Bind the stored release to its charge. The caller has looked, in the same transaction, that there is none yet."""
    done = db.execute(
        "UPDATE charges SET release = ? WHERE digest = ? AND snapshot = ? AND release IS NULL", (index, row.digest, row.snapshot)
    )
    assert done.rowcount == 1


def spending(db: sqlite3.Connection, limits: Limits, time: int) -> list[Spending]:
    """What every budget and limit has spent in the period around `time` and ever; also of units that lost their budget."""
    lines = []
    for unit in sorted({*limits.budgets, *(name for (name,) in db.execute("SELECT DISTINCT unit FROM charges"))}):
        budget = limits.budgets.get(unit, Budget("year", 0, 0))
        label, start, end = period_of(time, budget.period)
        within = "time >= ? AND time < ? AND unit = ?"
        lost = limits.lost_on(unit, start, end)
        ever = _spent(db, "unit = ?", (unit,)) + limits.lost_on(unit)
        now = _spent(db, within, (start, end, unit)) + lost
        lines.append(Spending("unit", unit, unit, label, now, budget.rho, ever, budget.lifetime))
        for scope, figures in (("dataset", limits.datasets), ("researcher", limits.researchers)):
            for name, limit in sorted(figures.items()):
                spent = _spent(db, f"{within} AND {scope} = ?", (start, end, unit, name)) + lost
                ever = _spent(db, f"unit = ? AND {scope} = ?", (unit, name))
                if ever or len(limits.budgets) == 1:
                    lines.append(Spending(scope, name, unit, label, spent, limit, ever, None))
    return lines


def _spent(db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> int:
    total: int = db.execute(f"SELECT COALESCE(SUM(rho), 0) FROM charges WHERE {where}", values).fetchone()[0]  # noqa: S608 (constant texts)
    return total
