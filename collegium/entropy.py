"""Shannon entropy of a histogram, in bits, from noisy counts: log2 N - (1/N) · sum of n·log2 n over all bins but `unknown`.

With y = count / noise and v = their sum, the figure is a quotient, (v·ln v - sum of y·ln y) / v, whose parts are made unbiased:

- Noise of variance 1 lifts y·ln y by 1/(2y) on average where y is large, which is taken off again. (It lifts v·ln v by B/(2v) for B
  bins, less than a tenth of the figure's own deviation: that is left.)
- Where y is near zero, no function of it has y·ln y as its mean. Below 2 noise deviations a parabola takes its place, the one whose
  mean errs least for all counts from zero on: by at most 0.114 (Wu and Yang 2016, "Minimax rates of entropy estimation on large
  alphabets", do so with Poisson counts).

What that may be off in all bins with less than 6 deviations together is a known bound, and the interval is made longer by as much
as it can matter (Armstrong and Kolesár 2020, "Simple and honest confidence intervals"): exact where all bins are clear of the
noise, and **more than 95 % where many are near it**. Where all bins are about equal, entropy
is at its largest and its first derivatives vanish: intervals hold up to 99 %. Where the whole histogram is not five of its own
deviations above zero nothing is bounded, and the interval is all that can be true: from 0 to log2 B.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collegium.fieller import correlated_interval
from collegium.intervals import Band, noise_of
from collegium.inversion import Floats
from collegium.lattice import ONE_SIDED, TWO_SIDED
from collegium.layout import Part
from collegium.national.law import Added

__all__ = ["MEND", "OFF", "entropy_band", "logarithm", "mended", "stretched"]

MEND = 2.0  # noise deviations below which the parabola stands in
OFF = 0.114  # the most that its mean is off; a test integrates it
_PARABOLA = (-0.9492, -0.6511, 0.8469)
_NEAR = 6.0  # deviations from which nothing is off
_CLEAR = 5.0
_LN2 = 0.6931471805599453
_DIGITS = 10


def entropy_band(sums: NDArray[np.int64], part: Part, nodes: Added) -> Band:
    """The entropy in bits for every cell. `sums` are the bins of all cells, `unknown` last in each."""
    assert part.bins is not None
    size = part.bins.size - 1
    counts = sums.reshape(-1, size + 1)[:, :size].astype(np.float64) / max(noise_of(part, nodes).sd, 1e-9)
    whole = _added(counts)
    clear = whole > _CLEAR * size**0.5
    v = np.where(clear, whole, 1.0)
    ln = logarithm(v)
    spread_out, slopes = mended(counts)
    numerator = v * ln - _added(spread_out)
    weights = ln[:, None] + 1 - slopes  # of each count in the numerator; in the denominator it is 1
    var_num, cov, var_den = _added(weights * weights), _added(weights), float(size)
    most = float(logarithm(np.array([float(size)]))[0])
    t = np.clip(numerator / v, 0.0, most)
    sd = np.sqrt(np.maximum(var_num - 2 * t * cov + t * t * var_den, 1e-12 * var_den))
    longer = stretched(OFF * (counts < _NEAR).sum(axis=1) / sd) ** 2
    low, high = correlated_interval(numerator, v, var_num * longer, size * longer, cov * longer, 0.0, most)
    value = np.where(whole > 0, np.where(clear, np.clip(t, low, high), most / 2), np.nan)
    found = [value, np.where(clear, low, 0.0), np.where(clear, high, most), np.where(clear, sd / v, np.nan)]
    return Band(*(np.asarray(np.round(each / _LN2, _DIGITS), dtype=np.float64) for each in found))


def mended(counts: Floats) -> tuple[Floats, Floats]:
    """A function of each noisy count (noise of variance 1) whose mean is about n·ln n, and its slope.

    The slope is that of one deviation further down, of the parabola that at 0: where the count is near the noise, a slope that
    moved with it would make intervals short just where it errs.
    """
    a, b, c = _PARABOLA
    far = counts >= MEND
    y = np.where(far, counts, 1.0)
    ln = logarithm(y)
    return (
        np.where(far, y * ln - 1 / (2 * y), a + b * counts + c * counts * counts),
        np.where(far, logarithm(np.where(far, counts - 1, 1.0)) + 1, b),
    )


def stretched(off: Floats) -> Floats:
    """How much longer an interval must be if its middle may be `off` by so many deviations: at least 1, and a little too long.

    The exact factor is the 95 % point of |N(off, 1)| beside 1.96; 1.645 + sqrt(off² + 0.315²) is equal to it at both ends.
    """
    short = TWO_SIDED - ONE_SIDED
    return np.asarray((ONE_SIDED + np.sqrt(off * off + short * short)) / TWO_SIDED, dtype=np.float64)


def logarithm(x: Floats) -> Floats:
    """Natural logarithm of numbers above zero, from + - * / alone: libraries differ in the last digit, tables must not.

    x = m·2^e with m in [0.7, 1.42); ln m = 2·(z + z³/3 + z⁵/5 + ...) with z = (m - 1)/(m + 1), |z| < 0.18.
    """
    m, e = np.frexp(x)
    small = m < 0.7071067811865476
    m, e = np.where(small, 2 * m, m), np.where(small, e - 1, e)
    z = (m - 1) / (m + 1)
    square, series = z * z, np.zeros(z.shape)
    for k in range(25, 0, -2):
        series = series * square + 1 / k
    return np.asarray(2 * z * series + e * _LN2, dtype=np.float64)


def _added(values: Floats) -> Floats:
    """The sum of each row, one after the other: in one order on every machine."""
    return np.asarray(np.cumsum(values, axis=1)[:, -1], dtype=np.float64)
