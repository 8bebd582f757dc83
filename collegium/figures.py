"""Figures of one measure from national sums: decimal strings in natural units, and the reliability mark."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from collegium.differences import difference, plain, significant
from collegium.entropy import entropy_band
from collegium.gram import correlation_band, gram, intercept_band, residual_error, slope_band
from collegium.intervals import Band, mean_band, noise_of, proportion_band, ratio_band, ratio_limit, share_band, variance_band
from collegium.inversion import Floats
from collegium.lattice import TWO_SIDED
from collegium.layout import Layout, Part
from collegium.national.law import Added
from collegium.quantiles import quantile_band
from collegium.regression import coefficients, labels_of
from collegium.schema import Column, Dataset
from collegium.shown import fixed, mark_of, real, scaled, short, whole
from collegium.table import Figure, MeasureInfo
from collegium.top_share import top_codes_band, top_share_band
from collegium.view import Measure
from collegium.wholes import parts_of_whole

__all__ = ["describe", "figures", "mark_of", "scale_beside", "unit_of"]

Sums = NDArray[np.int64]

_SMALL = 6.0  # as in `collegium.intervals`


def describe(layout: Layout, measure: Measure, dataset: Dataset) -> MeasureInfo:
    """The public facts about a measure that a reader of the table needs."""
    component = layout.parts[measure.parts[0]].component
    kind = measure.of[0] if measure.of is not None else measure.kind
    model = measure.columns is not None
    name = measure.columns[0] if measure.columns is not None else component.column
    if kind == "ratio" and (component.kind != "sum" or layout.parts[measure.parts[1]].component.kind == "sum"):
        name = None  # no unit, but for a sum divided by a count
    column = dataset.columns[name] if name is not None else None
    in_units = component.kind == "sum" or kind in ("mean", "stddev", "variance", "quantile", "intercept")
    bins = layout.parts[measure.parts[0]].bins if measure.kind == "histogram" else None
    clip = component.clip
    return MeasureInfo(
        label=measure.label,
        kind=measure.kind,
        of=measure.of[0] if measure.of is not None else None,
        part=True if kind == "ratio" and _part_of_whole(layout, measure) else None,
        column=name,
        unit="bits" if measure.kind == "entropy" else column.unit or None if column is not None and in_units else None,
        decimals=column.decimals if column is not None and in_units else None,
        clip=(fixed(column.decode(clip[0])), fixed(column.decode(clip[1]))) if column is not None and clip is not None else None,
        bins=bins.labels if bins is not None else labels_of(measure) if model and measure.kind == "regression" else None,
    )


def figures(layout: Layout, measure: Measure, dataset: Dataset, sums: Sums, nodes: Added) -> list[Figure]:
    """The figures of one measure in every group cell.

    Args:
        sums: the sum of the releases of `nodes`, shape (layout.length,).
    """
    parts = [layout.parts[index] for index in measure.parts]
    slices = [sums[part.start : part.stop] for part in parts]
    column = dataset.columns[parts[0].component.column] if parts[0].component.column is not None else None
    if measure.kind == "value":
        return whole(slices[0], parts[0], nodes, column)
    if measure.kind == "histogram":
        flat = whole(slices[0], parts[0], nodes, None)
        assert parts[0].bins is not None
        size = parts[0].bins.size
        return [Figure(bins=tuple(flat[i : i + size])) for i in range(0, len(flat), size)]
    none: list[tuple[int, ...] | None] = [None] * layout.cells
    if measure.kind == "quantile":
        assert column is not None
        band = _quantile(slices, parts, nodes, column, measure)
        return real(band, none, beside=scale_beside(band, column))
    if measure.kind == "entropy":
        return real(entropy_band(slices[0], parts[0], nodes), none)
    if measure.kind == "top_share":
        top = measure.top
        found = top_codes_band(slices[0], parts[0], nodes, top) if top is not None else None
        return real(found or top_share_band(slices[0], parts[0], nodes, float(measure.q or 0)), none)
    if measure.columns is not None:
        return _model(layout, measure, dataset, slices, parts, nodes)
    raws: list[tuple[int, ...] | None] = none if measure.q is not None else list(zip(*(s.tolist() for s in slices), strict=True))
    if measure.kind == "proportion":
        return real(_proportion(layout, measure, slices[0], parts[0], nodes), raws)
    if measure.kind == "difference":
        assert measure.of is not None
        cut = len(parts) // 2
        halves = ((measure.of[0], slices[:cut], parts[:cut]), (measure.of[1], slices[cut:], parts[cut:]))
        if measure.q is not None:
            assert column is not None
            one, other = (_quantile(s, p, nodes, column, measure) for _, s, p in halves)
        else:
            one, other = (_band(layout, kind, s, p, nodes, dataset) for kind, s, p in halves)
        band = difference(one, other, floor=measure.of[0] == "value")
        shown = real(band, raws)
        return [each.model_copy(update={"significant": sure}) for each, sure in zip(shown, significant(band), strict=True)]
    band = _band(layout, measure.kind, slices, parts, nodes, dataset)
    return real(band, raws, beside=scale_beside(band, column) if measure.kind == "mean" and column is not None else None)


def _part_of_whole(layout: Layout, measure: Measure) -> bool:
    """Whether a ratio, or both of a difference, cannot be above 1: the numerator counts among what the denominator counts."""
    components = [layout.parts[index].component for index in measure.parts]
    pairs = (components[at : at + 2] for at in range(0, len(components), 2))
    return all(ratio_limit(one, other, layout.question.bounds.max_rows) == 1 for one, other in pairs)


def _quantile(slices: Sequence[Sums], parts: Sequence[Part], nodes: Added, column: Column, measure: Measure) -> Band:
    """In natural units."""
    assert measure.q is not None
    return scaled(quantile_band(slices, parts, nodes, column, float(measure.q)), float(column.step))


def scale_beside(band: Band, column: Column) -> Floats:
    """What the error of a mean or quantile is compared with: 3.2 ± 0.5 on a scale from 0 to 4 is poor though small beside 3.2.

    Where zero lies inside the scale only the scale counts.
    """
    half_scale = np.full(band.value.shape, column.half_range * float(column.step))
    return half_scale if column.min_steps < 0 < column.max_steps else np.minimum(np.abs(band.value), half_scale)


def _band(layout: Layout, kind: str, slices: Sequence[Sums], parts: Sequence[Part], nodes: Added, dataset: Dataset) -> Band:
    """Values and intervals of one measure in natural units."""
    if kind == "value":
        noise, unit = noise_of(parts[0], nodes), unit_of(parts[0], dataset)
        half = TWO_SIDED * noise.sd + (0.5 if noise.sd < _SMALL else 0.0)
        return scaled(plain(slices[0].astype(np.float64), half, noise.sd), unit)
    if kind == "share":
        return share_band(slices[0], slices[1], (parts[0], parts[1]), nodes)
    if kind == "ratio":
        limit = ratio_limit(parts[0].component, parts[1].component, layout.question.bounds.max_rows)
        band = ratio_band(slices[0], slices[1], (parts[0], parts[1]), nodes, limit)
        return scaled(band, unit_of(parts[0], dataset) / unit_of(parts[1], dataset))
    assert parts[0].component.column is not None
    column = dataset.columns[parts[0].component.column]
    step = float(column.step)
    if kind == "mean":
        band = mean_band(slices[0], slices[1], (parts[0], parts[1]), nodes, column)
        return scaled(Band(band.value + column.centre, band.low + column.centre, band.high + column.centre, band.error), step)
    band = variance_band((slices[0], slices[1], slices[2]), (parts[0], parts[1], parts[2]), nodes, column)
    if kind == "variance":
        return scaled(band, step * step)
    value = np.sqrt(band.value)
    error = np.where(value > 0, band.error / (2 * np.where(value > 0, value, 1.0)), np.nan)
    return scaled(Band(value, np.sqrt(band.low), np.sqrt(band.high), error), step)


def _proportion(layout: Layout, measure: Measure, cells: Sums, part: Part, nodes: Added) -> Band:
    """Each cell in the sum over all cells that are alike in the keys `within`, unknown ones included. The parts add up to 1."""
    sizes = tuple(axis.size for axis in layout.axes)
    free = tuple(number for number, axis in enumerate(layout.axes) if axis.column not in (measure.within or ()))
    last = tuple(range(len(sizes) - len(free), len(sizes)))
    wholes = np.moveaxis(cells.reshape(sizes), free, last)  # the cells of one whole lie together
    whole = wholes.reshape(-1, int(np.prod([sizes[number] for number in free], dtype=np.int64))).astype(np.float64)
    total = np.broadcast_to(whole.sum(axis=1, keepdims=True), whole.shape)
    counts = parts_of_whole(whole)

    def in_order(table: Floats) -> Floats:
        return np.moveaxis(table.reshape(wholes.shape), last, free).ravel()

    band = proportion_band(cells, in_order(total), part, nodes, whole.shape[1])
    with np.errstate(invalid="ignore"):
        value = np.where(np.isnan(band.value), np.nan, in_order(counts / np.where(total > 0, total, 1.0)))
        return Band(value, np.fmin(band.low, value), np.fmax(band.high, value), band.error)


def _model(
    layout: Layout, measure: Measure, dataset: Dataset, slices: Sequence[Sums], parts: Sequence[Part], nodes: Added
) -> list[Figure]:
    """Slope, intercept, correlation or regression of the measure's columns: y first."""
    assert measure.columns is not None
    columns = [dataset.columns[name] for name in measure.columns]
    if measure.kind == "regression":
        bands = coefficients(slices, parts, nodes, columns)
        lists = [_with_model_error(band, extra) for band, extra in bands]
        return [Figure(bins=each) for each in zip(*lists, strict=True)]
    y, x = columns
    found = gram(slices, parts, nodes, x, y)
    none: list[tuple[int, ...] | None] = [None] * layout.cells
    if measure.kind == "correlation":
        return real(correlation_band(found), none)
    slope = slope_band(found)
    if measure.kind == "slope":
        unit = float(y.step) / float(x.step)
        return _with_model_error(scaled(slope, unit), residual_error(found, slope.value, None) * unit)
    band, step = intercept_band(found), float(y.step)
    height = Band(band.value + y.centre, band.low + y.centre, band.high + y.centre, band.error)
    extra = residual_error(found, slope.value, -float(x.centre))
    return _with_model_error(scaled(height, step), extra * step)


def _with_model_error(band: Band, sampling: Floats) -> list[Figure]:
    """`model_error` is the classical standard error and that of the noise together, where both are known."""
    both = np.sqrt(band.error**2 + sampling**2).tolist()
    shown = real(band, [None] * len(both))
    return [f.model_copy(update={"model_error": None if e != e else short(e)}) for f, e in zip(shown, both, strict=True)]


def unit_of(part: Part, dataset: Dataset) -> float:
    """What one step of a linear component is worth: a sum is in steps of its column, all else counts."""
    if part.component.kind != "sum" or part.component.column is None:
        return 1.0
    return float(dataset.columns[part.component.column].step)
