"""The expected error of a national figure, before it is paid for. It needs no data: the noise is known from the question alone.

Counts, sums and bins have the same half width whatever they turn out to be. Every other figure's depends on how many rows lie in
the cell, so it is told for an assumed number, at an unfavourable middle of its range: a share of one half, a mean in the middle
of the bounds, values spread evenly. It is made by the very functions that make the answer's figures, fed with those assumed sums,
so a plan and the table that follows it cannot disagree about the method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from collegium.figures import figures, unit_of
from collegium.intervals import noise_of, proportion_band
from collegium.layout import Layout, Part
from collegium.schema import Dataset, Schema
from collegium.table import Figure
from collegium.view import Measure, View

__all__ = ["ExpectedError", "expected_errors"]

LINEAR = ("value", "histogram")


@dataclass(frozen=True, slots=True)
class ExpectedError:
    """One measure in one group cell: half the width of its 95 % interval in natural units.

    `rows` is the assumed number of rows (or persons) in the cell, None where the half width does not depend on it; `value` is the
    figure that those rows would make. `half_width` is infinite where a ratio has no upper limit and the assumed cell is too small.
    """

    label: str
    half_width: float
    rows: int | None
    value: float | None = None


def expected_errors(layout: Layout, view: View, schema: Schema, *, nodes: int, rows: int = 1000) -> list[ExpectedError]:
    """For every measure of a view, if `nodes` nodes answer and a cell of the national table holds `rows` rows."""
    cell = _one_cell(layout)
    dataset = schema.dataset(layout.question.dataset)
    found = []
    for measure in view.measures:
        if measure.kind == "proportion":
            found.append(_proportion(layout, measure, nodes, rows))
        else:
            found.append(_expected(cell, measure, dataset, nodes, rows))
    return found


def _one_cell(layout: Layout) -> Layout:
    """The same question with one cell instead of all: the noise in a cell is that of the whole layout's sensitivity."""
    parts: list[Part] = []
    for part in layout.parts:
        start = parts[-1].stop if parts else 0
        width = part.bins.size if part.bins is not None else 1
        parts.append(replace(part, start=start, width=width, keep=None if part.keep is None else ()))
    return replace(layout, axes=(), parts=tuple(parts))


def _expected(cell: Layout, measure: Measure, dataset: Dataset, nodes: int, rows: int) -> ExpectedError:
    first = cell.parts[measure.parts[0]]
    sums = np.zeros(cell.length, dtype=np.int64)
    for index in measure.parts:
        part = cell.parts[index]
        sums[part.start : part.stop] = _assumed(part, dataset, rows * part.crowd)
    if measure.kind == "ratio" and [cell.parts[index].component.filter is None for index in measure.parts] == [False, True]:
        sums[first.start : first.stop] //= 2  # COUNT_IF(...) / COUNT(*): one half, as of a share
    found = figures(cell, measure, dataset, sums, nodes)[0]
    if measure.kind in LINEAR:
        half = noise_of(first, nodes).two_sided * unit_of(first, dataset)
        return ExpectedError(measure.label, half, None, _value(found))
    return ExpectedError(measure.label, _half(found), rows, _value(found))


def _proportion(layout: Layout, measure: Measure, nodes: int, rows: int) -> ExpectedError:
    """Of one of the cells that are alike in the keys `within`, if all but those of `unknown` hold as many rows."""
    free = [axis.size for axis in layout.axes if axis.column not in (measure.within or ())]
    filled = math.prod(max(1, size - 1) for size in free)
    part = replace(layout.parts[measure.parts[0]], start=0, width=1)
    count = np.array([rows], dtype=np.int64)
    band = proportion_band(count, count * filled, part, nodes, math.prod(free))
    return ExpectedError(measure.label, float(band.high[0] - band.low[0]) / 2, rows, float(band.value[0]))


def _assumed(part: Part, dataset: Dataset, rows: int) -> NDArray[np.int64] | int:
    """The sums that `rows` rows would make in one cell."""
    component = part.component
    column = dataset.columns[component.column] if component.column is not None else None
    if component.kind == "sum":
        assert component.clip is not None
        return rows * (sum(component.clip) // 2)
    if component.kind in ("total", "product"):
        return 0
    if component.kind == "squares":
        assert column is not None
        width = column.max_steps - column.min_steps
        return rows * (width * width // 12 - part.offset)
    if part.bins is not None:  # spread over all bins but the last, which is for unknown
        ends = np.linspace(0, rows, part.width).round().astype(np.int64)
        return np.append(np.diff(ends), 0)
    return rows


def _half(figure: Figure) -> float:
    if figure.bins is not None:
        return max(_half(each) for each in figure.bins)
    if figure.low is None or figure.high is None:
        return math.inf
    return (float(figure.high) - float(figure.low)) / 2


def _value(figure: Figure) -> float | None:
    if figure.bins is not None:
        return _largest(figure.bins)
    return None if figure.value is None else float(figure.value)


def _largest(bins: Sequence[Figure]) -> float | None:
    values = [float(each.value) for each in bins if each.value is not None]
    return max(values) if values else None
