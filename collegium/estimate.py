"""The expected error of a national figure, before it is paid for. It needs no data: the noise is known from the question alone.

Counts, sums and bins have the same half width whatever they turn out to be. Every other figure's depends on how many rows lie in
the cell, so it is told for an assumed number, at an unfavourable middle of its range: a share of one half, a mean in the middle
of the bounds, values spread evenly. It is made by the very functions that make the answer's figures, fed with those assumed sums,
so a plan and the table that follows it cannot disagree about the method.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from collegium.figures import describe, figures, unit_of
from collegium.intervals import noise_of, proportion_band
from collegium.inversion import Floats
from collegium.lattice import TWO_SIDED
from collegium.layout import Layout, Part
from collegium.marginal import band_of_margin, measured_margins, positions
from collegium.margins import Keys, spread_of_margins
from collegium.national.law import Added
from collegium.schema import Dataset, Schema
from collegium.table import Figure
from collegium.view import GroupColumn, Measure, View

__all__ = ["ExpectedError", "expected_errors"]

LINEAR = ("value", "histogram")
UNEVEN = ("entropy", "top_share")
"""Figures of unevenness: equal bins, where an entropy hardly moves, would make them look better than they will be."""


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
    measure: int = 0  # its place among the view's measures


def expected_errors(layout: Layout, view: View, schema: Schema, *, nodes: Added, rows: int = 1000) -> list[ExpectedError]:
    """For every measure of a view, if `nodes` nodes answer and a cell of the national table holds `rows` rows.

    A regression has one for each coefficient. With grouping sets: for every measure at every set, in that order, a set's cells
    holding the rows of all cells that it adds up.
    """
    cell = _one_cell(layout)
    dataset = schema.dataset(layout.question.dataset)
    found: list[ExpectedError] = []
    for number, measure in enumerate(view.measures):
        if view.sets is not None:
            here = _of_sets(layout, measure, dataset, nodes, rows, view)
        elif measure.kind == "proportion":
            here = [_proportion(layout, measure, nodes, rows)]
        else:
            here = _expected(cell, measure, dataset, nodes, rows)
        found += [replace(each, measure=number) for each in here]
    return found


def _one_cell(layout: Layout) -> Layout:
    """The same question with one cell instead of all: the noise in a cell is that of the whole layout's sensitivity."""
    parts: list[Part] = []
    for part in layout.parts:
        start = parts[-1].stop if parts else 0
        width = part.bins.size if part.bins is not None else 1
        parts.append(replace(part, start=start, width=width, keep=None if part.keep is None else ()))
    return replace(layout, axes=(), parts=tuple(parts))


def _expected(cell: Layout, measure: Measure, dataset: Dataset, nodes: Added, rows: int) -> list[ExpectedError]:
    first = cell.parts[measure.parts[0]]
    sums = np.zeros(cell.length, dtype=np.int64)
    for index in measure.parts:
        part = cell.parts[index]
        sums[part.start : part.stop] = _assumed(part, dataset, rows * part.crowd, uneven=measure.kind in UNEVEN)
    if measure.kind == "ratio" and _narrowed([cell.parts[index] for index in measure.parts]):
        sums[first.start : first.stop] //= 2
    found = figures(cell, measure, dataset, sums, nodes)[0]
    if measure.kind in LINEAR:
        half = noise_of(first, nodes).two_sided * unit_of(first, dataset)
        return [ExpectedError(measure.label, half, None, _value(found))]
    if found.bins is not None:
        labels = describe(cell, measure, dataset).bins or ()
        named = zip(labels, found.bins, strict=True)
        return [ExpectedError(f"{measure.label} {label}", _half(each), rows, _value(each)) for label, each in named]
    return [ExpectedError(measure.label, _half(found), rows, _value(found))]


def _of_sets(layout: Layout, measure: Measure, dataset: Dataset, nodes: Added, rows: int, view: View) -> list[ExpectedError]:
    """One measure at each grouping set: with what reconciling the margins leaves of the noise."""
    sets = view.sets or ()
    titles = {column.group: column.title or column.group for column in view.columns if isinstance(column, GroupColumn)}
    sizes = [axis.size for axis in layout.axes]
    keys_of = [positions(layout, names) for names in sets]
    parts = [layout.parts[index] for index in measure.parts]
    spreads = [_spreads(layout, index, sizes, keys_of, nodes) for index in measure.parts]
    column = dataset.columns[parts[0].component.column] if parts[0].component.column is not None else None
    found = []
    for keys, names in zip(keys_of, sets, strict=True):
        here = rows * math.prod(max(1, size - 1) for at, size in enumerate(sizes) if at not in keys)
        sums: list[Floats] = [np.array([_assumed(part, dataset, here)], dtype=np.float64) for part in parts]
        if measure.kind == "ratio" and _narrowed(parts):
            sums[0] /= 2
        cells = [(each, spread[keys]) for each, spread in zip(sums, spreads, strict=True)]
        band, _ = band_of_margin(layout, measure.kind, parts, cells, dataset, column)
        value, half = float(band.value[0]), float(band.high[0] - band.low[0]) / 2
        if measure.kind in LINEAR:
            half = TWO_SIDED * spreads[0][keys] * unit_of(parts[0], dataset)
        label = f"{measure.label} by {', '.join(titles.get(name, name) for name in names)}" if names else f"{measure.label} in all"
        linear = measure.kind in LINEAR
        found.append(ExpectedError(label, half, None if linear else here, None if math.isnan(value) else value))
    return found


def _spreads(layout: Layout, index: int, sizes: Sequence[int], wanted: Sequence[Keys], nodes: Added) -> Mapping[Keys, float]:
    """The standard deviation left in a cell of each set."""
    measured = {keys: max(noise_of(part, nodes).sd, 1e-9) ** 2 for keys, part in measured_margins(layout, index).items()}
    return spread_of_margins(sizes, measured, wanted)


def _narrowed(parts: Sequence[Part]) -> bool:
    """COUNT_IF(...) / COUNT(*): one half is assumed, as of a share."""
    return [part.component.filter is None for part in parts] == [False, True]


def _proportion(layout: Layout, measure: Measure, nodes: Added, rows: int) -> ExpectedError:
    """Of one of the cells that are alike in the keys `within`, if all but those of `unknown` hold as many rows."""
    free = [axis.size for axis in layout.axes if axis.column not in (measure.within or ())]
    filled = math.prod(max(1, size - 1) for size in free)
    part = replace(layout.parts[measure.parts[0]], start=0, width=1)
    count = np.array([rows], dtype=np.int64)
    band = proportion_band(count, count * filled, part, nodes, math.prod(free))
    return ExpectedError(measure.label, float(band.high[0] - band.low[0]) / 2, rows, float(band.value[0]))


def _assumed(part: Part, dataset: Dataset, rows: int, *, uneven: bool = False) -> NDArray[np.int64] | int:
    """The sums that `rows` rows would make in one cell. `uneven`: in bins that fall evenly from the first to none in the last."""
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
        along = np.linspace(0.0, 1.0, part.width)
        ends = (rows * (along * (2 - along) if uneven else along)).round().astype(np.int64)
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
