"""One indicator as it is measured: a leaf of the tree primary, secondary, indicator.

A leaf is a figure, or a figure over a figure. Both are linear in the rows, and are read from cells of tables:

    kind             value
    count_distinct   persons of `where` in `cell`
    count            rows
    sum              sum of `column`; each person's own sum, over all cells together, is clipped to `clip`
    mean             sum of `column` / rows in which it is known
    ratio            rows that fulfil `numerator` too / rows
    share            rows in `cell` / rows in `denominator_cell`, which leaves the dimension out
    count_per        rows / persons of `denominator_where` in `denominator_cell`
    sum_per          sum / the same persons
    distinct_per     persons / the same persons

`where` is `population` and `among`. They are kept apart because counts of rows, sums and means may be asked of the population
with `among` as a component's filter, so that leaves share tables. Persons of a dataset with several rows a person may not: a person
counts in one cell, which is chosen before the filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from collegium.question import Predicate
from collegium.schema import Text

__all__ = ["Cell", "Definition", "Expanded", "Impossible", "Kind", "Leaf", "Level", "Primary", "Secondary"]

Level = Literal["university", "discipline"]
Kind = Literal["count_distinct", "count", "sum", "mean", "ratio", "share", "count_per", "sum_per", "distinct_per"]
Cell = tuple[tuple[str, str], ...]
"""Column and code, the dimension first, then the discipline: () is everything."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a reader is told: what is counted, over what, and of whom. `denominator` is None for a plain figure."""

    numerator: Text
    denominator: Text | None
    population: Text


@dataclass(frozen=True, slots=True)
class Leaf:
    """One indicator. Predicates are canonical, with the year bound; `clip` is in steps of `column`.

    `unit` is how the value is shown, after it was multiplied by `factor` (100 for %, else 1). `weight` says how much its error
    counts when a budget is divided. `discipline`, `value` and the dimension's columns are None where the leaf is a total.
    """

    id: str
    level: Level
    primary: str
    secondary: str
    title: Text
    measure: str
    kind: Kind
    dataset: str
    privacy_unit: str
    population: Predicate
    among: Predicate | None
    where: Predicate
    numerator: Predicate | None
    column: str | None
    clip: tuple[int, int] | None
    denominator_dataset: str | None
    denominator_unit: str | None
    denominator_population: Predicate | None
    denominator_among: Predicate | None
    denominator_where: Predicate | None
    dimension: str | None
    dimension_column: str | None
    value: str | None
    discipline_column: str | None
    discipline: str | None
    cell: Cell
    denominator_cell: Cell
    unit: Text
    factor: int
    period: str
    definition: Definition
    weight: float
    columns: frozenset[tuple[str, str]]
    """(dataset, column) of all that the leaf looks at: a university that does not serve one of them cannot be in its figure."""


@dataclass(frozen=True, slots=True)
class Primary:
    """A branch at the top of the tree."""

    id: str
    title: Text


@dataclass(frozen=True, slots=True)
class Secondary:
    """A branch under a primary one; leaves hang on it."""

    id: str
    primary: str
    title: Text


@dataclass(frozen=True, slots=True)
class Impossible:
    """Cells of a dataset that hold nothing by their meaning: every row has a code outside at least one of these lists."""

    dataset: str
    codes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Expanded:
    """A catalogue spelt out for one year: leaves in the order of their ids' making, university before discipline."""

    catalogue: str
    """NAME/VERSION."""
    schema: str
    year: int
    title: Text
    note: Text
    primaries: tuple[Primary, ...]
    secondaries: tuple[Secondary, ...]
    leaves: tuple[Leaf, ...]
    max_rows: Mapping[str, int]
    """By dataset: rows of one person that count, over all cells together."""
    impossible: tuple[Impossible, ...]
    periods: Mapping[str, Text]
    half_width: float
    """A figure is marked when the half-width of its interval exceeds this share of its value."""

    def leaf(self, id: str) -> Leaf | None:
        """The leaf of that id."""
        return next((leaf for leaf in self.leaves if leaf.id == id), None)

    def level(self, level: Level) -> tuple[Leaf, ...]:
        """The leaves of one level."""
        return tuple(leaf for leaf in self.leaves if leaf.level == level)
