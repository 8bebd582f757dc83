"""Figures of GROUPING SETS: the margins of one table, reconciled, and every measure made of what comes out.

Values are not cut at zero here, so that the rows of a table add up to those of its margins; intervals are cut to the public range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from collegium.figures import scale_beside, unit_of
from collegium.intervals import Band, never_negative, noise_of, quotient_band, ratio_limit, unlimited_band, whole_band
from collegium.inversion import Floats
from collegium.layout import Layout, Part
from collegium.margins import Keys, reconcile_margins
from collegium.national.law import Added
from collegium.schema import Column, Dataset
from collegium.shown import real, scaled
from collegium.table import Figure
from collegium.view import Measure, without_margin

__all__ = ["band_of_margin", "figures_of_sets", "measured_margins", "positions"]


def positions(layout: Layout, names: Sequence[str]) -> Keys:
    """The keys of a grouping set by their place among the question's."""
    return tuple(number for number, axis in enumerate(layout.axes) if axis.column in names)


def measured_margins(layout: Layout, index: int) -> dict[Keys, Part]:
    """All margins of a component that the question measures, the component itself among them."""
    bare = without_margin(layout.parts[index].component)
    everything = tuple(range(len(layout.axes)))
    same = [part for part in layout.parts if without_margin(part.component) == bare]
    return {everything if part.keep is None else part.keep: part for part in same}


def figures_of_sets(
    layout: Layout, measure: Measure, dataset: Dataset, sums: NDArray[np.int64], nodes: Added, sets: Sequence[Keys]
) -> list[list[Figure]]:
    """The figures of one measure: for each set one for each of its cells."""
    parts = [layout.parts[index] for index in measure.parts]
    estimates = [_estimates(layout, index, sums, nodes, sets) for index in measure.parts]
    column = dataset.columns[parts[0].component.column] if parts[0].component.column is not None else None
    result = []
    for keys in sets:
        cells = [found[keys] for found in estimates]
        band, beside = band_of_margin(layout, measure.kind, parts, cells, dataset, column)
        result.append(real(band, [None] * len(band.value), beside=beside))
    return result


def _estimates(
    layout: Layout, index: int, sums: NDArray[np.int64], nodes: Added, sets: Sequence[Keys]
) -> dict[Keys, tuple[Floats, float]]:
    measured = {
        keys: (sums[part.start : part.stop], max(noise_of(part, nodes).sd, 1e-9) ** 2)
        for keys, part in measured_margins(layout, index).items()
    }
    return reconcile_margins([axis.size for axis in layout.axes], measured, sets)


def band_of_margin(
    layout: Layout,
    kind: str,
    parts: Sequence[Part],
    cells: Sequence[tuple[Floats, float]],
    dataset: Dataset,
    column: Column | None,
) -> tuple[Band, Floats | None]:
    """Values and intervals of one measure from the reconciled cells of its parts, each with what is left of the noise.

    Also what the errors are compared with for the mark, None for the value itself.
    """
    (first, sd) = cells[0]
    if kind == "value":
        counted = column if parts[0].component.kind == "sum" else None
        return scaled(whole_band(first, sd, floor=never_negative(parts[0], counted)), unit_of(parts[0], dataset)), None
    (second, sd_second) = cells[1]
    if kind == "share":
        band = quotient_band(second, first, sd_second, sd, -1.0, 1.0)
        return Band(0.5 + band.value / 2, 0.5 + band.low / 2, 0.5 + band.high / 2, band.error / 2), None
    if kind == "mean":
        assert column is not None
        centre, step = float(column.centre), float(column.step)
        band = quotient_band(second, first, sd_second, sd, column.min_steps - centre, column.max_steps - centre)
        band = scaled(Band(band.value + centre, band.low + centre, band.high + centre, band.error), step)
        return band, scale_beside(band, column)
    limit = ratio_limit(parts[0].component, parts[1].component, layout.question.bounds.max_rows)
    if math.isfinite(limit):
        band = quotient_band(first, second, sd, sd_second, 0.0, limit)
    else:
        band = unlimited_band(first, second, sd, sd_second)
    return scaled(band, unit_of(parts[0], dataset) / unit_of(parts[1], dataset)), None
