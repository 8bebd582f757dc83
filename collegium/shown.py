"""Figures as a table holds them: decimal strings in natural units, the same on every machine, and the reliability mark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Context, Decimal

import numpy as np
from numpy.typing import NDArray

from collegium.intervals import Band, never_negative, noise_of
from collegium.inversion import Floats
from collegium.lattice import whole_interval
from collegium.layout import Part
from collegium.national.law import Added
from collegium.schema import Column
from collegium.table import Figure, Mark

__all__ = ["CAUTION", "RELIABLE", "fixed", "mark_of", "real", "scaled", "short", "whole"]

RELIABLE, CAUTION = 1 / 6, 1 / 3
"""Relative standard errors up to which a figure is reliable, or to be used with caution (as Statistics Canada publishes)."""

_EXACT = Context(prec=60)  # whatever precision the caller's thread has set

DIGITS = 12  # significant digits of quotients: the same on every machine, and far below the noise


def mark_of(size: float, error: float) -> Mark:
    """The reliability mark, from the size of the noisy value and its error and nothing else."""
    if not error <= CAUTION * size:  # also where either is NaN
        return "unreliable"
    return "reliable" if error <= RELIABLE * size else "caution"


def whole(sums: NDArray[np.int64], part: Part, nodes: Added, column: Column | None) -> list[Figure]:
    noise = noise_of(part, nodes)
    counted = part.component.kind != "sum"
    step = Decimal(1) if counted or column is None else column.step

    def text(steps: int) -> str:
        return fixed(_EXACT.multiply(Decimal(steps), step))

    value, low, high = whole_interval(sums, noise, floor=never_negative(part, column))
    error = float(step) * noise.sd
    shown = short(error)
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


def real(band: Band, raws: Sequence[tuple[int, ...] | None], *, beside: Floats | None = None) -> list[Figure]:
    """`beside`: what the error is compared with for the mark; the value if not given."""
    scale = np.abs(band.value) if beside is None else beside
    return [
        Figure(
            value=None if math.isnan(value) else short(value),
            low=None if math.isinf(low) else short(low),
            high=None if math.isinf(high) else short(high),
            error=None if math.isnan(error) else short(error),
            mark=mark_of(size, error),
            raw=raw,
            reason="no-denominator" if math.isnan(value) else None,
        )
        for value, low, high, error, size, raw in zip(*(_floats(a) for a in (*band, scale)), raws, strict=True)
    ]


def _floats(array: Floats) -> list[float]:
    return [float(x) for x in array.tolist()]


def scaled(band: Band, step: float) -> Band:
    return Band(band.value * step, band.low * step, band.high * step, band.error * step)


def fixed(value: Decimal) -> str:
    """Exact, without exponent and without zeros that say nothing."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def short(value: float) -> str:
    return fixed(Decimal(f"{value:.{DIGITS}g}"))
