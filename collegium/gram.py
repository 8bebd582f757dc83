"""Slope, intercept and correlation of two numbers from six noisy sums, with intervals for the noise.

All sums are over the rows in which both are known, each number counted from the centre of its bounds: count n, totals X and Y,
squares Q (offset taken off) and R of x and y, product P. With S = Q + o·n, the truth fulfils

    slope = U / V,  U = n·P - X·Y,  V = n·S - X²      intercept - c' = W / V,  W = Y·S - X·P - c·U      correlation = U / sqrt(V·V')

Products of different sums have independent noise and are unbiased; from n² and X² their noise variance is taken off, so U, V and W
are unbiased. Their variances and covariances follow from the first derivatives at the noisy sums, which overstates them a little
where noise is strong. A quotient's interval is Fieller's: all slopes b for which U - b·V is within 1.96 standard deviations of 0.
Where V itself is not above 1.96 of its own the data do not bound the slope, and there is no interval and no figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collegium.intervals import Band, noise_of
from collegium.inversion import Evidence, Floats, invert
from collegium.lattice import TWO_SIDED
from collegium.layout import Part
from collegium.national.law import Added
from collegium.schema import Column

__all__ = ["Gram", "correlation_band", "gram", "intercept_band", "residual_error", "slope_band"]


class Noisy(NamedTuple):
    """A function of the six sums: value, and its derivatives by n, X, Q, Y, R, P, shape (6, cells)."""

    value: Floats
    slope: Floats


class Gram(NamedTuple):
    """U, V, V' and W of the module's heading, the variances of the six sums, and the count."""

    u: Noisy
    v: Noisy
    other: Noisy
    w: Noisy
    variances: Floats
    rows: Floats


def gram(sums: Sequence[NDArray[np.int64]], parts: Sequence[Part], nodes: Added, x: Column, y: Column) -> Gram:
    """From count; total and squares of x; total and squares of y; product."""
    n, tx, q, ty, r, p = (each.astype(np.float64) for each in sums)
    variances = np.array([max(noise_of(part, nodes).sd, 1e-9) ** 2 for part in parts])
    ox, oy = float(parts[2].offset), float(parts[4].offset)
    none = np.zeros(n.shape)
    s, t = q + ox * n, r + oy * n
    u = Noisy(n * p - tx * ty, np.stack([p, -ty, none, -tx, none, n]))
    v = Noisy(n * s - ox * variances[0] - tx * tx + variances[1], np.stack([s + ox * n, -2 * tx, n, none, none, none]))
    other = Noisy(n * t - oy * variances[0] - ty * ty + variances[3], np.stack([t + oy * n, none, none, -2 * ty, n, none]))
    c = float(x.centre)
    plain = Noisy(ty * s - tx * p, np.stack([ty * ox, -p, ty, s, none, -tx]))
    w = Noisy(plain.value - c * u.value, plain.slope - c * u.slope)
    return Gram(u, v, other, w, variances, n)


def slope_band(found: Gram) -> Band:
    """The slope in steps of y a step of x."""
    return _fieller(found.u, found.v, found)


def intercept_band(found: Gram) -> Band:
    """The intercept minus the centre of y, in steps of y: the line's height where x is 0 in natural units."""
    return _fieller(found.w, found.v, found)


def residual_error(found: Gram, slope: Floats, at: float | None) -> Floats:
    """The classical standard error of the slope (`at` None), or of the line's height at x - centre = `at`, without noise.

    What the persons of the table would differ by from others of the same kind: sqrt of residual variance / (n - 2) / spread of x.
    """
    n = np.where(found.rows > 3, found.rows, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread_x, spread_y = found.v.value / n, found.other.value / n  # sums of squared distances from the mean
        residual = np.maximum(spread_y - slope * slope * spread_x, 0.0) / (n - 2)
        error = residual / spread_x
        if at is not None:
            mean = -found.v.slope[1] / 2 / n
            error = residual / n + error * (mean - at) ** 2
        return np.sqrt(np.where(spread_x > 0, error, np.nan))


def correlation_band(found: Gram) -> Band:
    """The correlation in [-1, 1]; where a spread is not significant, the whole range."""
    sds = [np.sqrt(_variance(each, each, found.variances)) for each in (found.v, found.other)]
    known = (found.v.value > TWO_SIDED * sds[0]) & (found.other.value > TWO_SIDED * sds[1])
    v, other = np.where(known, found.v.value, 1.0), np.where(known, found.other.value, 1.0)
    root = np.sqrt(v) * np.sqrt(other)
    both = Noisy(root, (other * found.v.slope + v * found.other.slope) / (2 * root))
    one, two = _variance(found.u, found.u, found.variances), _variance(both, both, found.variances)
    shared = _variance(found.u, both, found.variances)

    def test(r: Floats) -> Evidence:
        sd = np.sqrt(np.maximum(one - 2 * r * shared + r * r * two, 1e-300))
        return Evidence((found.u.value - r * root) / sd, sd / root)

    ends = np.full(root.shape, -1.0)
    low, high = invert(test, ends, -ends)
    value = np.clip(found.u.value / root, -1.0, 1.0)
    error = test(value).reach
    return Band(*(np.where(known, a, b) for a, b in ((value, np.nan), (low, -1.0), (high, 1.0), (error, np.nan))))


def _variance(one: Noisy, two: Noisy, variances: Floats) -> Floats:
    """Covariance of two functions of the sums by their derivatives; added in a fixed order."""
    total = np.zeros(one.value.shape)
    for variance, a, b in zip(variances.tolist(), one.slope, two.slope, strict=True):
        total = total + variance * a * b
    return total


def _fieller(num: Noisy, den: Noisy, found: Gram) -> Band:
    z = TWO_SIDED * TWO_SIDED
    one, two = _variance(num, num, found.variances), _variance(den, den, found.variances)
    shared = _variance(num, den, found.variances)
    a = den.value**2 - z * two
    known = (a > 0) & (den.value > 0)
    a = np.where(known, a, 1.0)
    b, c = num.value * den.value - z * shared, num.value**2 - z * one
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    value = num.value / np.where(known, den.value, 1.0)
    sd = np.sqrt(np.maximum(one - 2 * value * shared + value * value * two, 0.0)) / np.where(known, den.value, 1.0)
    return Band(
        np.where(known, value, np.nan),
        np.where(known, (b - root) / a, -np.inf),
        np.where(known, (b + root) / a, np.inf),
        np.where(known, sd, np.nan),
    )
