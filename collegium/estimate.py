"""The expected error of a national figure, before it is paid for. It needs no data: the noise is known from the question alone.

Counts, sums and bins have the same half width whatever they turn out to be. A quotient's depends on how many rows lie in the cell,
so it is told for an assumed number, at an unfavourable middle of its range: a share of one half, a mean in the middle of the
bounds, a variance as of evenly spread values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collegium.figures import unit_of
from collegium.intervals import mean_band, noise_of, ratio_band, ratio_limit, share_band, variance_band
from collegium.layout import Layout
from collegium.schema import Schema
from collegium.view import Measure, View

__all__ = ["ExpectedError", "expected_errors"]


@dataclass(frozen=True, slots=True)
class ExpectedError:
    """One measure in one group cell: half the width of its 95 % interval in natural units.

    `rows` is the assumed number of rows (or persons) in the cell, None where the half width does not depend on it. `half_width`
    is infinite where a ratio has no upper limit and the assumed cell is too small.
    """

    label: str
    half_width: float
    rows: int | None


def expected_errors(layout: Layout, view: View, schema: Schema, *, nodes: int, rows: int = 1000) -> list[ExpectedError]:
    """For every measure of a view, if `nodes` nodes answer and a cell of the national table holds `rows` rows."""
    return [_expected(layout, measure, schema, nodes, rows) for measure in view.measures]


def _expected(layout: Layout, measure: Measure, schema: Schema, nodes: int, rows: int) -> ExpectedError:
    dataset = schema.dataset(layout.question.dataset)
    parts = [layout.parts[index] for index in measure.parts]
    first = parts[0]
    if measure.kind in ("value", "histogram"):
        return ExpectedError(measure.label, noise_of(first, nodes).two_sided * unit_of(first, dataset), None)
    count = np.array([rows], dtype=np.int64)
    zero = count * 0
    if measure.kind == "share":
        band, scale = share_band(count, zero, (parts[0], parts[1]), nodes), 1.0
    elif measure.kind == "ratio":
        limit = ratio_limit(first.component, parts[1].component, layout.question.bounds.max_rows)
        tops = [part.component.clip[1] if part.component.clip else 1 for part in parts]
        num = count * max(1, tops[0] // 2) if tops[0] > 1 else (count // 2 if limit == 1 else count)
        band = ratio_band(num, count * max(1, tops[1] // 2), (parts[0], parts[1]), nodes, limit)
        scale = unit_of(first, dataset) / unit_of(parts[1], dataset)
    else:
        assert first.component.column is not None
        column = dataset.columns[first.component.column]
        scale = float(column.step)
        if measure.kind == "mean":
            band = mean_band(count, zero, (parts[0], parts[1]), nodes, column)
        else:
            width = column.max_steps - column.min_steps
            squares = count * (width * width // 12 - parts[2].offset)
            band = variance_band((count, zero, squares), (parts[0], parts[1], parts[2]), nodes, column)
            if measure.kind == "stddev":
                band = band._replace(low=np.sqrt(band.low), high=np.sqrt(band.high))
            else:
                scale *= scale
    return ExpectedError(measure.label, float(band.high[0] - band.low[0]) / 2 * scale, rows)
