"""How much the top holds, from a noisy histogram: of a number's total the share of the top rows, or of all rows that of k codes.

Of a number: every row counts with the middle of its bin. T = sum of n(j)·m(j); the top q·N rows are taken from the highest bin
downwards, of the last bin only as many as are needed. What they hold is the least over all thresholds c of

    A(c) = sum of n(j)·max(m(j) - c, 0) + q·c·N          (Rockafellar and Uryasev 2000, on the mean beyond a quantile)

linear in the counts for each c and least where c is the middle of the last bin needed, so that noise enters A to first order only
through the counts themselves. The noise chooses a threshold too, perhaps the wrong one: so the interval goes from the lowest to the
highest end of the intervals of all thresholds that lie within the noise of the quantile. `collegium.fieller` makes the rest.

Of codes: the k largest counts in all. Where other codes lie within the noise of the k-th, picking the largest of the noisy counts
picks the noise too: for m codes of equal size it lifts the sum by what the largest of m normal deviates are on average. The lower
end allows for that, so such an interval **holds more than 95 %**; where the k-th is clear of the next it is exact.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from collegium.fieller import correlated_interval
from collegium.intervals import Band, noise_of
from collegium.inversion import Floats
from collegium.lattice import TWO_SIDED
from collegium.layout import Axis, Part
from collegium.national.law import Added

__all__ = ["middles", "top_codes_band", "top_share_band"]

_TIED = 4.0  # noise deviations within which two codes may be of one size
_DIGITS = 10


def middles(bins: Axis) -> tuple[int, ...] | None:
    """Twice the middle of every bin but the last, in steps; the value itself for a whole number. None for codes."""
    if bins.edges is not None:
        return tuple(low + high for low, high in zip(bins.edges, bins.edges[1:], strict=False))
    if bins.first is not None:
        return tuple(2 * (bins.first + at) for at in range(bins.size - 1))
    return None


def top_share_band(sums: NDArray[np.int64], part: Part, nodes: Added, q: float) -> Band:
    """The share of the total that the top `q` of the rows hold. `sums` are the bins of all cells, `unknown` last in each."""
    assert part.bins is not None
    values = middles(part.bins)
    size = part.bins.size - 1
    counts = sums.reshape(-1, size + 1)[:, :size].astype(np.float64)
    if values is None or values[0] < 0 or values[-1] == 0:  # a total of what may be negative has no shares
        nothing = np.full(len(counts), np.nan)
        return Band(nothing, np.full(len(counts), -np.inf), np.full(len(counts), np.inf), nothing)
    m = np.array(values, dtype=np.float64) / values[-1]
    sd = max(noise_of(part, nodes).sd, 1e-9)
    above = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]  # rows in the bin and those above
    rows = above[:, :1]
    excess = above - q * rows  # above zero while the threshold lies in the bin or higher
    # Noise of `excess`: 1 - q of the bins counted, q of the others.
    spread = sd * np.sqrt([(size - j) * (1 - q) ** 2 + j * q * q for j in range(size)])
    held = (excess > -TWO_SIDED * spread) & np.concatenate(
        [excess[:, 1:] < TWO_SIDED * spread[1:], np.ones((len(counts), 1), np.bool_)], axis=1
    )
    held_above = np.cumsum((counts * m)[:, ::-1], axis=1)[:, ::-1]
    tops = held_above - m * above + q * m * rows  # A at every threshold
    best = np.argmin(np.round(tops, 6), axis=1)
    held[np.arange(len(counts)), best] = True
    total = _added(counts * m)
    most = q / (q + (1 - q) * float(m[0]))  # the top rows at the highest middle, all others at the lowest
    lowest, highest, value, error = (np.full(len(counts), np.nan) for _ in range(4))
    for c in np.flatnonzero(held.any(axis=0)).tolist():
        w = np.maximum(m - m[c], 0.0) + q * m[c]  # of each bin in A
        var_num, cov, var_den = (float(np.cumsum(each)[-1]) * sd**2 for each in (w * w, w * m, m * m))
        low, high = correlated_interval(tops[:, c], total, var_num, var_den, cov, q, most)
        here = best == c
        safe = np.where(total > 0, total, 1.0)
        ratio = np.clip(tops[:, c] / safe, q, most)
        value = np.where(here & (total > 0), ratio, value)
        known = here & (total > TWO_SIDED * var_den**0.5)
        error = np.where(known, np.sqrt(np.maximum(var_num - 2 * ratio * cov + ratio**2 * var_den, 0.0)) / safe, error)
        lowest = np.where(held[:, c], np.fmin(lowest, low), lowest)
        highest = np.where(held[:, c], np.fmax(highest, high), highest)
    return _rounded(value, lowest, highest, error)


def top_codes_band(sums: NDArray[np.int64], part: Part, nodes: Added, k: int) -> Band:
    """The share of the rows that the `k` largest codes have, for every cell. `sums` are the bins of all cells, `unknown` last."""
    assert part.bins is not None
    size = part.bins.size - 1
    counts = sums.reshape(-1, size + 1)[:, :size].astype(np.float64)
    total = _added(counts)
    if k >= size:
        one = np.ones(len(counts))
        return Band(np.where(total > 0, one, np.nan), one, one, np.zeros(len(counts)))
    sd = max(noise_of(part, nodes).sd, 1e-9)
    ordered = -np.sort(-counts, axis=1)
    top = _added(ordered[:, :k])
    surely = (counts > ordered[:, k : k + 1] + _TIED * sd).sum(axis=1)
    never = (counts < ordered[:, k - 1 : k] - _TIED * sd).sum(axis=1)
    lifted = sd * np.array([_largest(size - n - s, k - s) for s, n in zip(surely.tolist(), never.tolist(), strict=True)])
    variances = (k * sd**2, size * sd**2, k * sd**2)
    low, _ = correlated_interval(top - lifted, total, *variances, k / size, 1.0)
    _, high = correlated_interval(top, total, *variances, k / size, 1.0)
    safe = np.where(total > 0, total, 1.0)
    value = np.clip((top - lifted / 2) / safe, k / size, 1.0)
    error = np.sqrt(k - 2 * value * k + value**2 * size) * sd / safe
    known = total > TWO_SIDED * sd * size**0.5
    return _rounded(np.where(total > 0, value, np.nan), low, high, np.where(known, error, np.nan))


def _largest(tied: int, places: int) -> float:
    """What the `places` largest of `tied` standard normal deviates add up to on average, after Blom (1958)."""
    if not 0 < places < tied:
        return 0.0
    return sum(NormalDist().inv_cdf((tied - r + 0.625) / (tied + 0.25)) for r in range(1, places + 1))


def _added(values: Floats) -> Floats:
    """The sum of each row, one after the other: in one order on every machine."""
    return np.asarray(np.cumsum(values, axis=1)[:, -1], dtype=np.float64)


def _rounded(value: Floats, low: Floats, high: Floats, error: Floats) -> Band:
    found = (value, np.fmin(low, value), np.fmax(high, value), error)
    return Band(*(np.asarray(np.round(each, _DIGITS), dtype=np.float64) for each in found))
