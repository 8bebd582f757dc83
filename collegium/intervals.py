"""From noisy national sums to values with 95 % intervals, one function a kind of measure.

All arrays have one entry a cell. Sums are in the tally's own steps and centring (see `collegium.question.Component`); results of
quotients are in steps too, relative to the centre: the caller adds the centre and converts. Intervals speak of the *bounded*
figure, the one that the person bounds define, and of the noise alone: the nodes' rows are taken as they are.

The truth always lies in the public range, so the interval is cut to it; `collegium.inversion` does that without holding a truth
at its end too often. What cannot be had: whole-number noise of a standard deviation below 12 steps makes the intervals of counts
hold more than 95 % (`collegium.lattice`), and below 6 steps those of quotients too, which then get half a step more.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collegium.accounting import noise_scale
from collegium.fieller import quotient_interval
from collegium.inversion import Floats
from collegium.lattice import ONE_SIDED, TWO_SIDED, Noise, national_noise
from collegium.layout import Part
from collegium.national.law import Added, rounded_noise
from collegium.question import And, Component, Predicate
from collegium.schema import Column
from collegium.spread import variance_estimate, variance_interval

__all__ = [
    "Band",
    "mean_band",
    "never_negative",
    "noise_of",
    "proportion_band",
    "quotient_band",
    "ratio_band",
    "ratio_limit",
    "share_band",
    "unlimited_band",
    "variance_band",
    "whole_band",
]

Sums = NDArray[np.int64]

_SMOOTH = 6.0  # above this standard deviation in steps a whole-number noise is as good as a continuous one in a quotient


class Band(NamedTuple):
    """Estimates of quotients. `value` is NaN where the noisy denominator is not above zero, `error` where it is not significant."""

    value: Floats
    low: Floats
    high: Floats
    error: Floats


def noise_of(part: Part, nodes: Added) -> Noise:
    """The noise in the sum of `nodes` releases of this component, in steps; or of rounds of national sums."""
    return national_noise(noise_scale(part), nodes) if isinstance(nodes, int) else rounded_noise(part, nodes)


def never_negative(part: Part, column: Column | None) -> bool:
    """Is the true figure of a people, rows, count, bins or sum component at least 0, whatever the data are?"""
    if part.component.clip is None:
        return True
    return part.component.clip[0] >= 0 or (column is not None and column.min_steps >= 0)


def mean_band(count: Sums, total: Sums, parts: tuple[Part, Part], nodes: Added, column: Column) -> Band:
    """The mean minus the centre, in steps, in [min - centre, max - centre]. Parts are count and total."""
    low, high = column.min_steps - column.centre, column.max_steps - column.centre
    return _quotient_band(total, count, parts[1], parts[0], nodes, low, high)


def share_band(count: Sums, total: Sums, parts: tuple[Part, Part], nodes: Added) -> Band:
    """A share in [0, 1]. The total counts +1 for true and -1 for false, so that share = 1/2 + total / (2·count)."""
    band = _quotient_band(total, count, parts[1], parts[0], nodes, -1, 1)
    return Band(0.5 + band.value / 2, 0.5 + band.low / 2, 0.5 + band.high / 2, band.error / 2)


def ratio_band(num: Sums, den: Sums, parts: tuple[Part, Part], nodes: Added, limit: float) -> Band:
    """num / den in [0, limit]; without a limit the upper end may be infinite.

    Without a limit the interval is made for num / (num + den) on [0, 1], both in units of their noise, and carried over:
    there "no denominator at all" is an ordinary end of the range.
    """
    if math.isfinite(limit):
        return _quotient_band(num, den, parts[0], parts[1], nodes, 0, limit)
    return unlimited_band(num, den, _sd(parts[0], nodes, smooth=True), _sd(parts[1], nodes))


def unlimited_band(num: Sums | Floats, den: Sums | Floats, sd_num: float, sd_den: float) -> Band:
    """num / den in [0, infinity)."""
    x, y = num.astype(np.float64) / sd_num, den.astype(np.float64) / sd_den
    low, high = quotient_interval(x, x + y, 1.0, 2.0, 0.0, 1.0, cov=1.0)
    value, error = _point(num, den, sd_num, sd_den, 0.0, math.inf)
    with np.errstate(divide="ignore"):
        return Band(value, sd_num / sd_den * (low / (1 - low)), sd_num / sd_den * (high / (1 - high)), error)


def proportion_band(cell: Sums, total: Sums | Floats, part: Part, nodes: Added, cells: int) -> Band:
    """A cell's share, in [0, 1], of a sum of `cells` cells that it is one of: both hold the cell's own noise."""
    sd = _sd(part, nodes, smooth=True)
    x, y = cell.astype(np.float64), total.astype(np.float64)
    low, high = quotient_interval(x, y, sd**2, cells * sd**2, 0.0, 1.0, cov=sd**2)
    safe = np.where(y > 0, y, 1.0)
    value = np.clip(x / safe, 0.0, 1.0)
    error = sd * np.sqrt(1 - 2 * value + cells * value**2) / safe
    return Band(np.where(y > 0, value, np.nan), low, high, np.where(y > TWO_SIDED * sd * math.sqrt(cells), error, np.nan))


def whole_band(value: Floats, sd: float, *, floor: bool) -> Band:
    """Linear figures whose noise is about normal. The value is left as it is, so that sums stay sums; the ends know the floor."""
    k1, k2 = (z * sd + (0.5 if sd < _SMOOTH else 0.0) for z in (ONE_SIDED, TWO_SIDED))
    if not floor:
        return Band(value, value - k2, value + k2, np.full(value.shape, sd))
    low = np.where(value <= k1 + k2, np.maximum(value - k1, 0.0), np.maximum(value - k2, k2))
    return Band(value, low, np.maximum(value, 0.0) + k2, np.full(value.shape, sd))


def variance_band(sums: tuple[Sums, Sums, Sums], parts: tuple[Part, Part, Part], nodes: Added, column: Column) -> Band:
    """The population variance in steps², in [0, (max - min)²/4] (Popoviciu). Parts are count, total and squares."""
    n, t, q = (s.astype(np.float64) for s in sums)
    sds = (_sd(parts[0], nodes), _sd(parts[1], nodes), _sd(parts[2], nodes, smooth=True))
    offset, highest = float(parts[2].offset), (column.max_steps - column.min_steps) ** 2 / 4
    low, high = variance_interval((n, t, q), sds, offset, float(column.half_range), highest)
    count = np.where(n > 0, n, 1.0)
    estimate, mean = variance_estimate(count, t, q, offset), t / count
    spread = np.sqrt(sds[2] ** 2 + (2 * mean * sds[1]) ** 2 + ((mean * mean + offset - estimate) * sds[0]) ** 2) / count
    value = np.where(n > 0, np.clip(estimate, 0.0, highest), np.nan)
    return Band(value, low, high, np.where(n > TWO_SIDED * sds[0], spread, np.nan))


def ratio_limit(num: Component, den: Component, max_rows: int) -> float:
    """The largest ratio that can be true, by the question alone: finite where the numerator's rows are among the denominator's."""
    if den.kind == "sum" or not _terms(den.filter) <= _terms(num.filter):
        return math.inf
    same = (num.column, num.condition) == (den.column, den.condition)
    if den.kind == "people":
        if num.kind == "sum":
            assert num.clip is not None
            return num.clip[1]
        return 1 if num.kind == "people" else max_rows
    if num.kind == "sum" or (den.kind == "count" and not (num.kind == "count" and same)):
        return math.inf
    return 1


def _terms(predicate: Predicate | None) -> set[str]:
    if predicate is None:
        return set()
    return {term.model_dump_json() for term in (predicate.args if isinstance(predicate, And) else (predicate,))}


def _quotient_band(num: Sums, den: Sums, num_part: Part, den_part: Part, nodes: Added, low: float, high: float) -> Band:
    return quotient_band(num, den, _sd(num_part, nodes, smooth=True), _sd(den_part, nodes), low, high)


def quotient_band(num: Sums | Floats, den: Sums | Floats, sd_num: float, sd_den: float, low: float, high: float) -> Band:
    """num / den in a finite range, from the standard deviations of their independent noise."""
    x, y = num.astype(np.float64), den.astype(np.float64)
    lower, upper = quotient_interval(x, y, sd_num**2, sd_den**2, float(low), float(high))
    value, error = _point(num, den, sd_num, sd_den, float(low), float(high))
    return Band(value, lower, upper, error)


def _point(num: Sums | Floats, den: Sums | Floats, sd_num: float, sd_den: float, low: float, high: float) -> tuple[Floats, Floats]:
    y = den.astype(np.float64)
    safe = np.where(y > 0, y, 1.0)
    value = np.clip(num.astype(np.float64) / safe, low, high)
    error = np.sqrt(sd_num**2 + (value * sd_den) ** 2) / safe
    return np.where(y > 0, value, np.nan), np.where(y > TWO_SIDED * sd_den, error, np.nan)


def _sd(part: Part, nodes: Added, *, smooth: bool = False) -> float:
    """Standard deviation of the noise; with `smooth` half a step is added to the two-sided point where whole numbers show."""
    sd = max(noise_of(part, nodes).sd, 1e-9)
    return sd + 0.5 / TWO_SIDED if smooth and sd < _SMOOTH else sd
