"""Figures of one measure from national sums: decimal strings in natural units, and the reliability mark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Context, Decimal

import numpy as np
from numpy.typing import NDArray

from collegium.intervals import Band, mean_band, never_negative, noise_of, ratio_band, ratio_limit, share_band, variance_band
from collegium.inversion import Floats
from collegium.lattice import whole_interval
from collegium.layout import Layout, Part
from collegium.schema import Column, Dataset
from collegium.table import Figure, Mark, MeasureInfo
from collegium.view import Measure

__all__ = ["CAUTION", "RELIABLE", "describe", "figures", "mark_of", "unit_of"]

RELIABLE, CAUTION = 1 / 6, 1 / 3
"""Relative standard errors up to which a figure is reliable, or to be used with caution (as Statistics Canada publishes)."""

_EXACT = Context(prec=60)  # whatever precision the caller's thread has set

DIGITS = 12  # significant digits of quotients: the same on every machine, and far below the noise


def describe(layout: Layout, measure: Measure, dataset: Dataset) -> MeasureInfo:
    """The public facts about a measure that a reader of the table needs."""
    component = layout.parts[measure.parts[0]].component
    name = component.column if measure.kind != "ratio" else None
    column = dataset.columns[name] if name is not None else None
    in_units = component.kind == "sum" or measure.kind in ("mean", "stddev", "variance")
    bins = layout.parts[measure.parts[0]].bins
    clip = component.clip
    return MeasureInfo(
        label=measure.label,
        kind=measure.kind,
        column=name,
        unit=column.unit or None if column is not None and in_units else None,
        decimals=column.decimals if column is not None and in_units else None,
        clip=(_fixed(column.decode(clip[0])), _fixed(column.decode(clip[1]))) if column is not None and clip is not None else None,
        bins=bins.labels if bins is not None else None,
    )


def figures(layout: Layout, measure: Measure, dataset: Dataset, sums: NDArray[np.int64], nodes: int) -> list[Figure]:
    """The figures of one measure in every group cell.

    Args:
        sums: the sum of the releases of `nodes` nodes, shape (layout.length,).
    """
    parts = [layout.parts[index] for index in measure.parts]
    slices = [sums[part.start : part.stop] for part in parts]
    column = dataset.columns[parts[0].component.column] if parts[0].component.column is not None else None
    raws: list[tuple[int, ...]] = list(zip(*(s.tolist() for s in slices), strict=True))
    if measure.kind == "value":
        return _whole(slices[0], parts[0], nodes, column)
    if measure.kind == "histogram":
        flat = _whole(slices[0], parts[0], nodes, None)
        assert parts[0].bins is not None
        size = parts[0].bins.size
        return [Figure(bins=tuple(flat[i : i + size])) for i in range(0, len(flat), size)]
    if measure.kind == "share":
        return _real(share_band(slices[0], slices[1], (parts[0], parts[1]), nodes), raws)
    if measure.kind == "ratio":
        limit = ratio_limit(parts[0].component, parts[1].component, layout.question.bounds.max_rows)
        band = ratio_band(slices[0], slices[1], (parts[0], parts[1]), nodes, limit)
        return _real(_scaled(band, unit_of(parts[0], dataset) / unit_of(parts[1], dataset)), raws)
    assert column is not None
    step = float(column.step)
    if measure.kind == "mean":
        band = mean_band(slices[0], slices[1], (parts[0], parts[1]), nodes, column)
        shifted = Band(band.value + column.centre, band.low + column.centre, band.high + column.centre, band.error)
        # 3.2 ± 0.5 on a scale from 0 to 4 is poor though small beside 3.2; where zero lies inside the scale only the scale counts.
        half_scale = np.full(band.value.shape, column.half_range * step)
        straddles = column.min_steps < 0 < column.max_steps
        band = _scaled(shifted, step)
        return _real(band, raws, beside=half_scale if straddles else np.minimum(np.abs(band.value), half_scale))
    band = variance_band((slices[0], slices[1], slices[2]), (parts[0], parts[1], parts[2]), nodes, column)
    if measure.kind == "variance":
        return _real(_scaled(band, step * step), raws)
    value = np.sqrt(band.value)
    error = np.where(value > 0, band.error / (2 * np.where(value > 0, value, 1.0)), np.nan)
    return _real(_scaled(Band(value, np.sqrt(band.low), np.sqrt(band.high), error), step), raws)


def mark_of(size: float, error: float) -> Mark:
    """The reliability mark, from the size of the noisy value and its error and nothing else."""
    if not error <= CAUTION * size:  # also where either is NaN
        return "unreliable"
    return "reliable" if error <= RELIABLE * size else "caution"


def _whole(sums: NDArray[np.int64], part: Part, nodes: int, column: Column | None) -> list[Figure]:
    noise = noise_of(part, nodes)
    counted = part.component.kind != "sum"
    step = Decimal(1) if counted or column is None else column.step

    def text(steps: int) -> str:
        return _fixed(_EXACT.multiply(Decimal(steps), step))

    value, low, high = whole_interval(sums, noise, floor=never_negative(part, column))
    error = float(step) * noise.sd
    shown = _short(error)
    return [
        Figure(
            value=text(v),
            low=text(lo),
            high=text(hi),
            error=shown,
            mark=mark_of(abs(v) * float(step), error),
            raw=(raw,),
        )
        for raw, v, lo, hi in zip(sums.tolist(), value.tolist(), low.tolist(), high.tolist(), strict=True)
    ]


def _real(band: Band, raws: Sequence[tuple[int, ...]], *, beside: Floats | None = None) -> list[Figure]:
    """`beside`: what the error is compared with for the mark; the value if not given."""
    scale = np.abs(band.value) if beside is None else beside
    return [
        Figure(
            value=None if math.isnan(value) else _short(value),
            low=_short(low),
            high=None if math.isinf(high) else _short(high),
            error=None if math.isnan(error) else _short(error),
            mark=mark_of(size, error),
            raw=raw,
            reason="no-denominator" if math.isnan(value) else None,
        )
        for value, low, high, error, size, raw in zip(*(_floats(a) for a in (*band, scale)), raws, strict=True)
    ]


def _floats(array: Floats) -> list[float]:
    return [float(x) for x in array.tolist()]


def _scaled(band: Band, step: float) -> Band:
    return Band(band.value * step, band.low * step, band.high * step, band.error * step)


def unit_of(part: Part, dataset: Dataset) -> float:
    """What one step of a linear component is worth: a sum is in steps of its column, all else counts."""
    if part.component.kind != "sum" or part.component.column is None:
        return 1.0
    return float(dataset.columns[part.component.column].step)


def _fixed(value: Decimal) -> str:
    """Exact, without exponent and without zeros that say nothing."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _short(value: float) -> str:
    return _fixed(Decimal(f"{value:.{DIGITS}g}"))
