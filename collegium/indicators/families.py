"""From indicators to the tables that hold them: queries, and families of queries that one table with its margins serves.

A **query** is one cell of one margin of one family. A **family** is what is counted of whom: a dataset, the population its question
asks for, and an operand. Its **margins** are the sets of columns by which indicators want it. An indicator is one query, or two:

    count_distinct count sum       N                      a plain figure
    ratio                          1/2 + T / (2·C)        T counts +1 where the condition is true and -1 where it is not
    mean                           middle + T / C         T is centred on the middle of the column's bounds
    mean of a clipped sum          S / C                  where each person's sum has a clip that is much smaller than that
    share                          N / C                  a cell and the margin it lies in, of one family
    count_per sum_per distinct_per N / D                  D is persons, of a family of its own

A ratio by T and C has a quarter of the variance that two counts have, and T of one condition has nothing to do with C nor with T
of another (their rows are orthogonal), so no joint table of conditions would be better.

Rows of datasets in which a person has one row are counted as persons: the same figure, and it is then there already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from collegium.indicators.absorb import absorb
from collegium.indicators.leaf import Cell, Expanded, Leaf
from collegium.indicators.twovalued import is_true
from collegium.question import Component, Predicate
from collegium.schema import Column, Schema
from collegium.sql.components import default_clip

__all__ = ["Columns", "Family", "Operand", "Query", "Recipe", "Source", "demands", "recipes"]

Columns = tuple[str, ...]
"""The columns of a margin, in the order of their names."""

MUCH_SMALLER = 2
"""A mean is made of a person's clipped sum where its clip is at most the centred total's bound over this."""


@dataclass(frozen=True, slots=True)
class Source:
    """Whose rows a question asks for. `once`: a person counts in one cell with one row; else with all rows, over all cells."""

    dataset: str
    population: Predicate
    once: bool


@dataclass(frozen=True, slots=True)
class Operand:
    """What is counted: a component of the question model without its margin and charge."""

    kind: Literal["people", "rows", "count", "total", "sum"]
    column: str | None = None
    condition: Predicate | None = None
    clip: tuple[int, int] | None = None
    filter: Predicate | None = None

    def component(self, margin: Columns | None, rho: int) -> Component:
        """The component that measures one margin of it."""
        return Component(
            kind=self.kind,
            column=self.column,
            condition=self.condition,
            clip=self.clip,
            filter=self.filter,
            margin=margin,
            rho=rho,
        )


@dataclass(frozen=True, slots=True)
class Family:
    """One operand over one source."""

    source: Source
    operand: Operand


@dataclass(frozen=True, slots=True)
class Query:
    """A cell of a family; `cell` is in the order of the columns' names, () is everything."""

    family: Family
    cell: Cell

    @property
    def margin(self) -> Columns:
        return tuple(column for column, _ in self.cell)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an indicator is made of estimates: `factor`·numerator, or `factor`·(`middle` + `unit`·numerator/denominator).

    A quotient of estimates lies in [`low`, `high`]; `high` is None where there is no limit. `floor`: a plain figure is never below
    0. `adds_up`: the values of a table's cells add up, so none is cut to its range. `clip`: of one person's sum, in natural units.
    """

    numerator: Query
    denominator: Query | None
    middle: float
    unit: float
    factor: int
    low: float
    high: float | None
    floor: bool
    adds_up: bool
    clip: tuple[float, float] | None = None

    @property
    def queries(self) -> tuple[Query, ...]:
        return (self.numerator,) if self.denominator is None else (self.numerator, self.denominator)


def recipes(expanded: Expanded, schema: Schema) -> dict[str, Recipe]:
    """How each indicator is made, by its id."""
    return {leaf.id: _recipe(leaf, expanded.max_rows, schema) for leaf in absorb(expanded.leaves)}


def demands(expanded: Expanded, made: Mapping[str, Recipe]) -> dict[Family, dict[Columns, dict[Cell, float]]]:
    """What is wanted of each family: for each margin the cells, with the sum of the weights of the indicators that use them."""
    wanted: dict[Family, dict[Columns, dict[Cell, float]]] = {}
    for leaf in expanded.leaves:
        for query in made[leaf.id].queries:
            cells = wanted.setdefault(query.family, {}).setdefault(query.margin, {})
            cells[query.cell] = cells.get(query.cell, 0.0) + leaf.weight
    return wanted


def _recipe(leaf: Leaf, max_rows: Mapping[str, int], schema: Schema) -> Recipe:
    rows, cell = max_rows[leaf.dataset], _in_order(leaf.cell)
    counted = _rows(leaf, rows)
    if leaf.kind == "ratio":
        assert leaf.numerator is not None
        total = _family(leaf, rows, "total", condition=is_true(leaf.numerator))
        below = Query(counted, _in_order(leaf.denominator_cell))
        return Recipe(Query(total, cell), below, 0.5, 0.5, leaf.factor, -1.0, 1.0, floor=False, adds_up=False)
    if leaf.kind == "mean":
        return _mean(leaf, rows, schema)
    if leaf.kind == "share":
        below = Query(counted, _in_order(leaf.denominator_cell))
        return Recipe(Query(counted, cell), below, 0.0, 1.0, leaf.factor, 0.0, 1.0, floor=False, adds_up=True)
    unit, floor, clip = 1.0, True, None
    if leaf.kind in ("sum", "sum_per"):
        assert leaf.column is not None
        column = schema.datasets[leaf.dataset].columns[leaf.column]
        steps = leaf.clip if leaf.clip is not None else default_clip(column, rows)
        family = _family(leaf, rows, "sum", column=leaf.column, clip=steps)
        unit, floor = float(column.step), steps[0] >= 0 or column.min_steps >= 0
        clip = float(column.decode(steps[0])), float(column.decode(steps[1]))
    elif leaf.kind in ("count", "count_per"):
        family = counted
    else:
        family = _people(leaf.dataset, leaf.population, leaf.among, leaf.where, rows)
    if leaf.kind in ("count_distinct", "count", "sum"):
        return Recipe(Query(family, cell), None, 0.0, unit, leaf.factor, 0.0, None, floor=floor, adds_up=True, clip=clip)
    assert leaf.denominator_dataset is not None
    assert leaf.denominator_population is not None
    assert leaf.denominator_where is not None
    others = max_rows[leaf.denominator_dataset]
    persons = _people(leaf.denominator_dataset, leaf.denominator_population, leaf.denominator_among, leaf.denominator_where, others)
    below = Query(persons, _in_order(leaf.denominator_cell))
    return Recipe(Query(family, cell), below, 0.0, unit, leaf.factor, 0.0, None, floor=floor, adds_up=False, clip=clip)


def _mean(leaf: Leaf, rows: int, schema: Schema) -> Recipe:
    """A mean over the rows in which the column is known: of a clipped sum where that is much less noise, else of a total."""
    assert leaf.column is not None
    column = schema.datasets[leaf.dataset].columns[leaf.column]
    cell, step = _in_order(leaf.cell), float(column.step)
    below = Query(_family(leaf, rows, "people" if rows == 1 and _never_null(leaf) else "count", column=leaf.column), cell)
    steps = default_clip(column, rows)
    if _clipped(column, rows, steps):
        clip = float(column.decode(steps[0])), float(column.decode(steps[1]))
        above = Query(_family(leaf, rows, "sum", column=leaf.column, clip=steps), cell)
        return Recipe(above, below, 0.0, step, leaf.factor, 0.0, float(column.max_steps), floor=False, adds_up=False, clip=clip)
    above = Query(_family(leaf, rows, "total", column=leaf.column), cell)
    low, high = float(column.min_steps - column.centre), float(column.max_steps - column.centre)
    return Recipe(above, below, column.centre * step, step, leaf.factor, low, high, floor=False, adds_up=False)


def _clipped(column: Column, rows: int, steps: tuple[int, int]) -> bool:
    return column.min_steps >= 0 and MUCH_SMALLER * steps[1] <= rows * column.half_range


def _never_null(leaf: Leaf) -> bool:
    """The population itself leaves out rows without the column."""
    terms = leaf.where.args if leaf.where.op == "and" else (leaf.where,)
    return any(term.op == "not" and term.arg.op == "unknown" and term.arg.column == leaf.column for term in terms)


def _rows(leaf: Leaf, rows: int) -> Family:
    return _family(leaf, rows, "people" if rows == 1 else "rows")


def _family(
    leaf: Leaf,
    rows: int,
    kind: Literal["people", "rows", "count", "total", "sum"],
    *,
    column: str | None = None,
    condition: Predicate | None = None,
    clip: tuple[int, int] | None = None,
) -> Family:
    source = Source(leaf.dataset, leaf.population, rows == 1)
    return Family(source, Operand(kind, None if kind == "people" else column, condition, clip, leaf.among))


def _people(dataset: str, population: Predicate, among: Predicate | None, where: Predicate, rows: int) -> Family:
    """Persons. Where one can have several rows the condition is the question's: a cell is chosen before a filter is looked at."""
    if rows == 1:
        return Family(Source(dataset, population, True), Operand("people", filter=among))
    return Family(Source(dataset, where, True), Operand("people"))


def _in_order(cell: Iterable[tuple[str, str]]) -> Cell:
    return tuple(sorted(cell))
