"""What happened, as a person wants to read it: each question with its cost and figures, each university's budget over time, each
round of a national sum.

Made from what the audit has read and judged; nothing here judges anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from collegium.accounting import NANO, epsilon_of
from collegium.audit.ledger import PERIODS, labels
from collegium.audit.run import Audit
from collegium.audit.sumlines import SumLine, sum_lines
from collegium.errors import CollegiumError
from collegium.question import Question
from collegium.schema import Schema
from collegium.show import figure_text, interval_text
from collegium.statements import Details, Request
from collegium.table import Table

__all__ = ["BudgetLine", "FigureLine", "QuestionLine", "Spent", "Story", "amount", "tell", "utc"]

MAX_FIGURES = 60  # lines of one question's table that are told; the table itself lies beside the log


@dataclass(frozen=True, slots=True)
class FigureLine:
    """One cell of a national table: its labels, and for each measure the value and its 95 % interval as text."""

    cell: str
    figures: tuple[tuple[str, str, str], ...]  # measure, value, interval


@dataclass(frozen=True, slots=True)
class QuestionLine:
    """One question of one request. `rho` nano-rho at each node that was charged; `charged` those nodes."""

    request: str
    number: int
    time: int
    researcher: str
    purpose: str  # empty where it was erased
    dataset: str
    what: str
    unit: str
    rho: int
    epsilon: float
    charged: int
    asked: int
    answered: int
    revisions: int
    national: bool  # a sum over many universities, none of whose figures exists by itself
    withdrawn: tuple[str, ...]  # nodes that withdrew a release which some revision had added
    figures: tuple[FigureLine, ...]


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One unit's budget at one node in the newest period of its charges, nano-rho. `limit` None: no policy in the log says."""

    node: str
    unit: str
    period: str
    spent: int
    limit: int | None
    spent_ever: int
    lifetime: int | None
    charges: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What one node has charged one unit, step by step: (time, nano-rho spent ever)."""

    node: str
    unit: str
    steps: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Story:
    federation: str
    delta: float
    questions: tuple[QuestionLine, ...]
    budgets: tuple[BudgetLine, ...]
    spent: tuple[Spent, ...]
    sums: tuple[SumLine, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def tell(found: Audit, language: str = "en") -> Story:
    """The story of an audit. Empty where the registry could not be verified."""
    registry = found.case.registry
    delta = registry.delta if registry is not None else 1e-6
    return Story(
        found.case.federation, delta, tuple(_questions(found, delta, language)), tuple(_budgets(found)), tuple(_spent(found)),
        sum_lines(found),
    )  # fmt: skip


def utc(time: int) -> str:
    """A Unix time as date and minute, UTC."""
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return str(time)


def amount(nano: int | None, delta: float) -> str:
    """rho, and epsilon in brackets, a few digits of each, for reading; `--json` has the exact nano-rho. A dash for None."""
    if nano is None:
        return "–"
    return f"{_short(nano / NANO)} ({_short(epsilon_of(nano, delta))})" if nano else "0"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _questions(found: Audit, delta: float, language: str) -> Iterable[QuestionLine]:
    replay, registry = found.coordinator, found.case.registry
    if replay is None or registry is None:
        return
    charged: dict[tuple[str, int], int] = {}
    for node in found.nodes.values():
        for charge in node.ledger.charges:
            charged[charge.request, charge.number] = charged.get((charge.request, charge.number), 0) + 1
    taken_back: dict[tuple[str, int], set[str]] = {}
    withdrawn = replay.withdrawn.keys() | replay.unheard
    for each in replay.sums if withdrawn else ():
        nodes = {used.node for used in each.used if replay.log.id_at(used.index) in withdrawn}
        taken_back.setdefault((replay.log.id_at(each.request), each.number), set()).update(nodes)
    for identity, entry in replay.asked.at.items():
        fact = found.case.requests[identity]
        body = Request.read(replay.log.entry(entry))
        for number, question in enumerate(body.questions):
            revisions = replay.indicators.get((identity, number), [])
            newest = revisions[-1][1] if revisions else None
            schema = registry.schemas.get(question.schema_id)
            yield QuestionLine(
                request=identity, number=number, time=fact.time, researcher=fact.researcher, purpose=_purpose(found, body),
                dataset=_dataset(schema, question, language), what=_what(schema, question, language),
                unit=str(fact.questions[number][3]),
                rho=question.rho, epsilon=epsilon_of(question.rho, delta), charged=charged.get((identity, number), 0),
                asked=newest.asked if newest is not None else len(found.case.audience(fact)),
                answered=newest.answered if newest is not None else 0, revisions=len(revisions),
                national=question.mode == "national",
                withdrawn=tuple(sorted(taken_back.get((identity, number), ()))),
                figures=tuple(_figures(found, newest.table, schema, language)) if newest is not None and schema is not None else (),
            )  # fmt: skip


def _purpose(found: Audit, body: Request) -> str:
    assert found.coordinator is not None
    try:
        return Details.from_blob(found.coordinator.log.folder.blob(body.details), body.details).purpose
    except CollegiumError:
        return ""


def _dataset(schema: Schema | None, question: Question, language: str) -> str:
    return schema.datasets[question.dataset].title.get(language) if schema is not None else question.dataset


def _what(schema: Schema | None, question: Question, language: str) -> str:
    """The question in a few words: its components, and what they are grouped by."""
    columns = schema.datasets[question.dataset].columns if schema is not None else {}

    def name(column: str) -> str:
        return columns[column].title.get(language) if column in columns else column

    parts = []
    for component in question.components:
        column = getattr(component, "column", None)
        parts.append(f"{component.kind} {name(column)}" if isinstance(column, str) else str(component.kind))
    by = ", ".join(name(key.column) for key in question.group)
    listed = ", ".join(dict.fromkeys(parts))
    joint = {"en": f"{listed} by {by}", "zh": f"{listed},按{by}"}[language] if by else listed
    return joint + ({"en": ", filtered", "zh": ",有筛选条件"}[language] if question.filter is not None else "")


def _figures(found: Audit, digest: str, schema: Schema, language: str) -> Iterable[FigureLine]:
    """The national rows of the newest table; nothing where the table does not lie beside the log."""
    assert found.coordinator is not None
    try:
        table = Table.from_bytes(found.coordinator.log.folder.blob(digest))
    except CollegiumError:
        return
    for row in table.rows_of(0)[:MAX_FIGURES]:
        cell = " · ".join(_label(schema, column, label, language) for column, label in zip(table.group, row.group, strict=True))
        figures = []
        for info, figure in zip(table.measures, row.figures, strict=True):
            if figure.bins is None:
                figures.append((info.label, figure_text(figure, info), interval_text(figure, info)))
        yield FigureLine(cell or {"en": "all", "zh": "全部"}[language], tuple(figures))


def _label(schema: Schema, column: str, label: str, language: str) -> str:
    for dataset in schema.datasets.values():
        found = dataset.columns.get(column)
        if found is not None and found.codes is not None and label in schema.codes[found.codes]:
            return schema.codes[found.codes][label].get(language)
    return label


def _budgets(found: Audit) -> Iterable[BudgetLine]:
    for name, node in sorted(found.nodes.items()):
        ledger = node.ledger
        newest = ledger.limits[-1].budgets if ledger.limits else {}
        for unit in sorted({*newest, *(charge.unit for charge in ledger.charges)}):
            charges = [charge for charge in ledger.charges if charge.unit == unit]
            period, rho, lifetime = newest.get(unit, ("year", None, None))
            label = labels(charges[-1].time if charges else node.frame.times.now)[PERIODS.index(period)]
            spent = ledger.spent.get((unit, label), 0)
            yield BudgetLine(name, unit, label, spent, rho, ledger.spent.get((unit,), 0), lifetime, len(charges))


def _spent(found: Audit) -> Iterable[Spent]:
    for name, node in sorted(found.nodes.items()):
        totals: dict[str, list[tuple[int, int]]] = {}
        for charge in node.ledger.charges:
            steps = totals.setdefault(charge.unit, [])
            steps.append((charge.time, (steps[-1][1] if steps else 0) + charge.rho))
        for unit, steps in totals.items():
            yield Spent(name, unit, tuple(steps))
