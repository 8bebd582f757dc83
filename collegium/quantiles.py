"""Quantiles from a bin tree: the smallest value that at least a share q of the rows do not exceed, and an interval that holds it.

With D(e) = (rows below the edge e) - q · (rows), the quantile is at or above e exactly where D(e) < 0, and below e where
D(e) >= 0. So an interval inverts tests of single edges, each of which may be wrong 2.5 % of the time. Two things made such an
interval hold more than it says, and are undone:

1. The true D rises from edge to edge, the noisy one goes up and down. Looking for the first edge that is not rejected finds one
   too early, wherever the noise in a bin is larger than the bin. So the tests are made on a rising D, the mean of its running
   maximum from the left and its running minimum from the right: then the first edge not rejected follows the last that is.
2. An end is the edge of a bin, but the truth lies somewhere in the bin. With n rows in it and s the noise of D, the test at its
   right edge is wrong the less often the further to the left the truth lies. So the test is made at the middle of the bin, by n/2
   rows earlier, and by at most 0.3·s: then a truth at the worst place in the bin is held 94 % of the time, whatever the bin looks
   like inside, and one at an average place 95 %.

**Where a bin holds more rows than the noise blurs (n above s), the interval still holds more than 95 %:** it is a bin or two wide,
because what the rows of one bin look like is not measured. The value is interpolated in its bin and is a whole number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collegium.intervals import Band, noise_of
from collegium.inversion import Floats
from collegium.lattice import TWO_SIDED
from collegium.layout import Part
from collegium.national.law import Added
from collegium.schema import Column
from collegium.tree import contrast_variance, reconcile

__all__ = ["quantile_band"]

_EARLIER = 0.3  # standard deviations: Φ(-1.96 + 0.3) + Φ(-1.96 - 0.3) and all that lies between stay below 6 %
_SMOOTH = 6.0  # as in `collegium.intervals`: below it whole noise shows, and half a step is added


def quantile_band(
    sums: Sequence[np.ndarray[tuple[int], np.dtype[np.int64]]], parts: Sequence[Part], nodes: Added, column: Column, q: float
) -> Band:
    """The quantile in steps, in [min, max], for every cell. `sums` and `parts` are the levels, from the coarsest."""
    levels, variances, sizes = [], [], []
    for values, part in zip(sums, parts, strict=True):
        assert part.bins is not None
        size = part.bins.size - 1  # without unknown
        levels.append(values.reshape(-1, size + 1)[:, :size].astype(np.float64))
        sd = max(noise_of(part, nodes).sd, 1e-9)
        variances.append((sd + 0.5 / TWO_SIDED) ** 2 if sd < _SMOOTH else sd * sd)
        sizes.append(size)
    assert parts[-1].bins is not None
    edges = parts[-1].bins.edges
    assert edges is not None
    return _band(reconcile(levels, variances), np.sqrt(contrast_variance(sizes, variances, q)), np.array(edges), column, q)


def _band(bins: Floats, sds: Floats, edges: np.ndarray[tuple[int], np.dtype[np.int64]], column: Column, q: float) -> Band:
    below = np.concatenate([np.zeros((len(bins), 1)), np.cumsum(bins, axis=1)], axis=1)
    rows = below[:, -1:]
    distance = _rising(below - q * rows)  # D, shape (cells, edges)
    inner, spread = distance[:, 1:-1], sds[1:-1]
    held = np.diff(distance, axis=1)  # rows of each bin, and never below zero
    to_left, to_right = (np.minimum(part / 2, _EARLIER * spread) for part in (held[:, :-1], held[:, 1:]))
    too_low = inner < to_left - TWO_SIDED * spread  # the quantile lies at or above the edge
    too_high = inner > TWO_SIDED * spread - to_right
    first = np.argmin(np.concatenate([too_low, np.zeros((len(bins), 1), np.bool_)], axis=1), axis=1)
    last = np.argmin(np.concatenate([too_high[:, ::-1], np.zeros((len(bins), 1), np.bool_)], axis=1), axis=1)
    low = np.clip(edges[first], column.min_steps, column.max_steps)
    high = np.clip(edges[len(edges) - 1 - last] - 1, column.min_steps, column.max_steps)
    high = np.maximum(np.where(last == 0, column.max_steps, high), low)
    value = np.clip(_crossing(distance, edges), low, high)
    known = (rows[:, 0] > 0) & ((low > column.min_steps) | (high < column.max_steps))
    error = np.where(known, (high - low) / (2 * TWO_SIDED), np.nan)
    return Band(np.where(rows[:, 0] > 0, value, np.nan), low.astype(np.float64), high.astype(np.float64), error)


def _rising(distance: Floats) -> Floats:
    """The middle of the running maximum from the left and the running minimum from the right."""
    rising = (np.maximum.accumulate(distance, axis=1) + np.minimum.accumulate(distance[:, ::-1], axis=1)[:, ::-1]) / 2
    return np.asarray(np.round(rising, 9), dtype=np.float64)  # the same bin on every machine


def _crossing(rising: Floats, edges: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    """Where the rising D reaches 0, interpolated in its bin, as the last whole step at or below."""
    at = np.clip((rising < 0).sum(axis=1) - 1, 0, len(edges) - 2)
    start, end = (np.take_along_axis(rising, (at + step)[:, None], axis=1)[:, 0] for step in (0, 1))
    part = np.where(end > start, -start / np.where(end > start, end - start, 1.0), 1.0)
    width = edges[at + 1] - edges[at]
    found: Floats = edges[at] + np.clip(np.ceil(np.round(np.clip(part, 0.0, 1.0) * width, 9)), 1, width) - 1
    return found
