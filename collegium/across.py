"""A count or sum of one question divided by one of another question of the same request: students per teacher.

SQL divides figures of one dataset. What lies in two datasets, with a privacy unit each, is two questions, and their quotient is
made here by the reader from the two signed tables, row by row. The noise of two questions is independent, so the interval is that
of `collegium.intervals.unlimited_band` (Fieller).

    answer.ratio("students / teachers")        a TableView; `collegium ask ... --ratio "students / teachers"`

Where not the same universities are in both figures there is no quotient: it would be of two different groups of people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collegium.answer import TableView
from collegium.errors import Invalid
from collegium.intervals import unlimited_band
from collegium.lattice import TWO_SIDED
from collegium.question import Question
from collegium.shown import real
from collegium.table import FactGroup, Figure, MeasureInfo, Row, Table
from collegium.view import GroupColumn, View

__all__ = ["check_ratios", "ratio_of"]

_SMALL = 6.0  # as in `collegium.intervals`: below this standard deviation, in steps, whole-number noise shows
REMEDY = 'Write --ratio "students / teachers" with titles of two counts or sums, of two questions with the same keys.'

Key = tuple[tuple[tuple[str, str], ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Quotient:
    """What a table shows; `question` and `view` are the numerator's, for keys and labels."""

    question: Question
    view: View
    table: Table


@dataclass(frozen=True, slots=True)
class _Side:
    """One measure of one table."""

    view: TableView
    number: int

    @property
    def info(self) -> MeasureInfo:
        return self.view.figures.table.measures[self.number]

    def step(self) -> float:
        """What one step of the figure's noise is worth: a sum is in steps of its column, all else counts."""
        if self.info.clip is None or self.info.column is None:
            return 1.0
        question = self.view.figures.question
        schema = self.view.registry.schemas[question.schema_id]
        return float(schema.datasets[question.dataset].columns[self.info.column].step)

    def rows(self) -> dict[Key, tuple[FactGroup, Row]]:
        """By the codes of facts and keys."""
        table = self.view.figures.table
        return {(tuple(table.fact_groups[row.of].facts.items()), row.group): (table.fact_groups[row.of], row) for row in table.rows}

    def keys(self) -> list[str]:
        """Facts, then group keys: what the rows of both sides must be by. Cases are told by their labels."""
        columns = self.view.figures.view.columns
        cases = [str(column.labels) for column in columns if isinstance(column, GroupColumn) and column.labels]
        return [*self.view.figures.table.facts, *self.view.figures.table.group, *cases]


def ratio_of(views: Sequence[TableView], text: str) -> TableView:
    """The table of `numerator / denominator`, both titles of measures, in the rows of the numerator.

    Raises:
        Invalid: the text names no two counts or sums (clipped from 0 up) of two questions, or their keys differ.
    """
    upper, lower = _read(text)
    one, other = _side(views, upper), _side(views, lower)
    if one.view.figures.question.digest == other.view.figures.question.digest:
        remedy = "Write it in the statement: COUNT_IF(a) / COUNT(*) AS share."
        raise Invalid(f"{upper} and {lower} are of one question", place="ratio", remedy=remedy)
    if one.keys() != other.keys():
        raise Invalid(f"the tables of {upper} and {lower} have different keys", place="ratio", remedy=REMEDY)
    matching = other.rows()
    rows = []
    for key, (group, row) in one.rows().items():
        partner = matching.get(key)
        same = partner is not None and _who(group) == _who(partner[0])
        figure = _quotient(one, row, other, partner[1]) if same and partner is not None else Figure(reason="no-answer")
        rows.append(Row(of=row.of, group=row.group, figures=(figure,)))
    table = one.view.figures.table
    unit = "/".join(part for part in (one.info.unit, other.info.unit) if part) or None
    info = MeasureInfo(label=f"{upper} / {lower}", kind="ratio", unit=unit)
    made = Table(
        group=table.group,
        facts=table.facts,
        measures=(info,),
        fact_groups=table.fact_groups,
        rows=tuple(rows),
        selection=table.selection,
    )
    return TableView(_Quotient(one.view.figures.question, one.view.figures.view, made), one.view.registry, one.view.language)


def check_ratios(ratios: Sequence[str], questions: Sequence[Question], views: Sequence[View]) -> None:
    """Would `ratio_of` find both figures? Asked before a request is paid for. Raises Invalid as it does."""
    titles = [[measure.label for measure in view.measures] for view in views]
    for text in ratios:
        places = [_find(titles, label) for label in _read(text)]
        for label, (table, number) in zip(_read(text), places, strict=True):
            measure = views[table].measures[number]
            clip = questions[table].components[measure.parts[0]].clip
            _check_linear(label, measure.kind, clip is None or clip[0] >= 0)


def _read(text: str) -> tuple[str, str]:
    upper, slash, lower = (part.strip() for part in text.partition("/"))
    if not (upper and slash and lower):
        raise Invalid(f"{text!r} is no ratio", place="ratio", remedy=REMEDY)
    return upper, lower


def _find(titles: Sequence[Sequence[str]], label: str) -> tuple[int, int]:
    """Table and place of the only figure with this title."""
    found = [(table, each.index(label)) for table, each in enumerate(titles) if label in each]
    if len(found) != 1:
        many = "several tables have" if found else "no table has"
        there = ", ".join(title for each in titles for title in each)
        raise Invalid(f"{many} a figure called {label!r}", place="ratio", remedy=f"There is: {there}.")
    return found[0]


def _check_linear(label: str, kind: str, from_zero: bool) -> None:
    if kind != "value" or not from_zero:
        raise Invalid(f"{label} is neither a count nor a sum clipped from 0", place="ratio", remedy=REMEDY)


def _side(views: Sequence[TableView], label: str) -> _Side:
    table, number = _find([view.measures for view in views], label)
    side = _Side(views[table], number)
    _check_linear(label, side.info.kind, side.info.clip is None or float(side.info.clip[0]) >= 0)
    return side


def _who(group: FactGroup) -> tuple[int, tuple[str, ...]]:
    """The universities in the sums of a group."""
    return group.coverage.asked, tuple(missing.node for missing in group.coverage.missing)


def _quotient(one: _Side, row: Row, other: _Side, beside: Row) -> Figure:
    upper, lower = row.figures[one.number], beside.figures[other.number]
    if upper.value is None or lower.value is None or upper.error is None or lower.error is None:
        return Figure(reason="no-answer")
    num, den = (_sum(figure, side) for figure, side in ((upper, one), (lower, other)))
    sd_num, sd_den = float(upper.error), float(lower.error)
    if sd_num < _SMALL * one.step():
        sd_num += 0.5 / TWO_SIDED * one.step()
    band = unlimited_band(np.array([num]), np.array([den]), sd_num, sd_den)
    return real(band, [None])[0]


def _sum(figure: Figure, side: _Side) -> float:
    """The noisy sum in natural units; `value` is cut at zero where it cannot be below, `raw` is not."""
    assert figure.value is not None
    return figure.raw[0] * side.step() if figure.raw is not None else float(figure.value)
