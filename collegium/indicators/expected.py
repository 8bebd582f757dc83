"""The error of every indicator before it is paid for. It needs no data: the noise follows from the plan alone.

A plain figure has the same half-width whatever it turns out to be. A quotient's depends on how many persons or rows it is of, so it
is told for a stated number in each population, spread evenly over the codes of each column, at an unfavourable middle: a share of
one half, a mean in the middle, one for one. It is made by the functions that make the figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from collegium.indicators.batch import Batch, Line
from collegium.indicators.estimate import figures_of, precision
from collegium.indicators.figure import mark_of
from collegium.indicators.noise import universities
from collegium.national.law import Added

__all__ = ["Expected", "expected"]

ROWS = 10_000
"""Persons or rows of each population at one university, if nothing else is said."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Half the width of the 95 % interval, in the unit that the indicator is shown in; infinite where there may be no upper limit.

    `rows` is the assumed number of persons or rows that a quotient is of and `value` the figure that would make, both None for a
    plain figure. `marked`: it would be shown with a mark, a plain figure if it is of as many as `rows` says of its cell.
    """

    half_width: float
    rows: int | None
    value: float | None
    marked: bool


def expected(batch: Batch, nodes: Added, *, rows: int = ROWS) -> dict[str, Expected]:
    """The expected error of every indicator by its id, if `nodes` universities answer, or of these national sums.

    Args:
        rows: persons or rows of each population at one university.
    """
    count = [nodes] * len(batch.questions)
    known = precision(batch, count)
    below = np.array([_assumed(batch, line, rows * universities(nodes)) for line in batch.lines])
    above = below * np.array([_each(line) for line in batch.lines])
    figures = figures_of(batch, above, below, known, count, range(len(batch.lines)))
    result = {}
    for line, of in zip(batch.lines, below.tolist(), strict=True):
        figure = figures[line.id]
        if line.denominator is not None:
            result[line.id] = Expected(figure.half_width, round(of), figure.value, figure.mark != "")
            continue
        half = float(known.two_sided[line.numerator.at]) * line.recipe.unit * line.recipe.factor
        result[line.id] = Expected(half, None, None, mark_of(figure.value, half, batch.half_width) != "")
    return result


def _assumed(batch: Batch, line: Line, rows: int) -> float:
    """Persons or rows in the cell that the figure is of."""
    spot = line.denominator or line.numerator
    placed = batch.families[spot.family]
    axes = batch.layouts[placed.question].axes
    return max(rows / math.prod(axes[key].size - 1 for key in placed.wanted[spot.margin]), 1.0)


def _each(line: Line) -> float:
    """The numerator that one person or row of the denominator adds, at the middle of what it may be."""
    recipe = line.recipe
    if recipe.low < 0:  # a centred total
        return 0.0
    if recipe.clip is not None:
        return (recipe.clip[1] / recipe.unit) / 2
    return 1.0 if recipe.high is None else 0.5
