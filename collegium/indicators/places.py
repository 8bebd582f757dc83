"""Where the plan's figures are: each family's margins among the components, each indicator's cells among the estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collegium.indicators.families import Columns, Family, Query, Recipe
from collegium.indicators.leaf import Expanded
from collegium.indicators.zeros import keys_of, size_of, zeros_of
from collegium.layout import Layout
from collegium.margins import Keys

__all__ = ["Line", "Placed", "Spot", "find_places"]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a family is measured. `parts` are components of its question by the margin's keys, as positions among the axes.

    `wanted` are the margins that indicators read, and `starts` where their cells begin in the vector of all estimates. `zeros` are
    cells that are 0 by their meaning, each with its margin.
    """

    family: Family
    question: int
    parts: Mapping[Keys, int]
    wanted: tuple[Keys, ...]
    starts: tuple[int, ...]
    zeros: tuple[tuple[Keys, int], ...]


@dataclass(frozen=True, slots=True)
class Spot:
    """One cell of a wanted margin: its family, the margin's place in `wanted`, the flat cell, and its place among all estimates."""

    family: int
    margin: int
    cell: int
    at: int


@dataclass(frozen=True, slots=True)
class Line:
    """One indicator: its recipe and where its parts are read."""

    id: str
    recipe: Recipe
    numerator: Spot
    denominator: Spot | None


def find_places(
    expanded: Expanded,
    made: Mapping[str, Recipe],
    wanted: Mapping[Family, Mapping[Columns, object]],
    parts: Mapping[Family, tuple[int, Mapping[Columns, int]]],
    layouts: Sequence[Layout],
) -> tuple[tuple[Placed, ...], tuple[Line, ...], int]:
    """Where each family is measured, where each indicator is read, and how many estimates there are."""
    families: list[Placed] = []
    numbers: dict[Family, int] = {}
    length = 0
    for family, (number, places) in parts.items():
        layout = layouts[number]
        margins = tuple(keys_of(layout, margin) for margin in wanted[family])
        starts = []
        for keys in margins:
            starts.append(length)
            length += size_of(layout, keys)
        zeros = zeros_of(expanded, family, layout, margins)
        numbers[family] = len(families)
        here = {keys_of(layout, margin): component for margin, component in places.items()}
        families.append(Placed(family, number, here, margins, tuple(starts), zeros))

    def spot(query: Query) -> Spot:
        number = numbers[query.family]
        placed = families[number]
        layout = layouts[placed.question]
        margin = placed.wanted.index(keys_of(layout, query.margin))
        cell = _cell(layout, dict(query.cell))
        return Spot(number, margin, cell, placed.starts[margin] + cell)

    lines = []
    for leaf in expanded.leaves:
        recipe = made[leaf.id]
        below = spot(recipe.denominator) if recipe.denominator is not None else None
        lines.append(Line(leaf.id, recipe, spot(recipe.numerator), below))
    return tuple(families), tuple(lines), length


def _cell(layout: Layout, codes: Mapping[str, str]) -> int:
    """The flat cell of a margin that has one code of each of its columns."""
    cell = 0
    for axis in layout.axes:
        if axis.column in codes:
            cell = cell * axis.size + axis.labels.index(codes[axis.column])
    return cell
