"""Bin trees: one histogram a level of a tree over a number's bounds, made to agree, for the distribution function and quantiles.

Every bin of a level is divided into equally many bins of the next. The levels are measured with independent noise and estimate the
same rows, so they are reconciled by weighted least squares in two passes, up and down (Hay, Rastogi, Miklau and Suciu 2010,
"Boosting the accuracy of differentially private histograms through consistency"; with a variance for each level as Honaker 2015).
The noise left in any weighted sum of bins has a closed form: contrasts between the bins that share a parent at level l are
eigenvectors of the information matrix, with eigenvalue

    lambda(l) = sum over levels j >= l of  n(j) / var(j),      n(j) = finest bins in a bin of level j

Which divisions are best under an equal split of rho is chosen by the expected variance of the distribution function (`design`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from collegium.inversion import Floats

__all__ = ["MAX_BINS", "MAX_DEPTH", "contrast_variance", "design", "expected_variance", "grids_of", "reconcile"]

MAX_BINS = 1000  # of the finest level, as a component may have
MAX_DEPTH = 4


def reconcile(levels: Sequence[Floats], variances: Sequence[float]) -> Floats:
    """The finest bins that fit all levels best, unbiased.

    Args:
        levels: from the coarsest to the finest, shape (cells, bins of the level); noisy counts.
        variances: of the noise in one bin of each level, above zero.

    Returns:
        shape (cells, finest bins).
    """
    up = [levels[-1]]
    sums: list[Floats] = []
    spread = variances[-1]
    for own, variance in zip(reversed(levels[:-1]), reversed(variances[:-1]), strict=True):
        below = up[-1].reshape(*own.shape, -1)
        total = below.sum(axis=2)
        spread *= below.shape[2]
        up.append((own * spread + total * variance) / (spread + variance))
        sums.append(total)
        spread = spread * variance / (spread + variance)
    found = up.pop()
    while up:
        below, total = up.pop(), sums.pop()
        fan = below.shape[1] // found.shape[1]
        found = below + np.repeat((found - total) / fan, fan, axis=1)
    return found


def contrast_variance(sizes: Sequence[int], variances: Sequence[float], q: float) -> Floats:
    """Variance of (rows below edge j) - q · (all rows) after reconciling, for every edge j, shape (finest bins + 1,).

    Args:
        sizes: bins of each level, from the coarsest to the finest.
    """
    finest = sizes[-1]
    # Column j holds the weights of the finest bins in the figure of edge j.
    below = np.tril(np.ones((finest + 1, finest)), -1).T - q
    result = np.zeros(finest + 1)
    before = np.zeros(finest + 1)
    for level, size in enumerate(sizes):
        grouped = below.reshape(size, finest // size, finest + 1).sum(axis=1)
        norm = (grouped * grouped).sum(axis=0) * size / finest
        result += (norm - before) / _information(sizes, variances, level)
        before = norm
    return result


def expected_variance(fans: Sequence[int], q: float = 0.5) -> float:
    """The mean over all edges of `contrast_variance` for noise of variance 1 in one level at the whole rho, rho split equally."""
    sizes = [math.prod(fans[: level + 1]) for level in range(len(fans))]
    finest, variances = sizes[-1], [float(len(fans))] * len(fans)
    total = 0.0
    for level, size in enumerate(sizes):
        n = finest // size
        # The bin with the edge: p of its n finest bins lie below it, p = 0 ... n-1; k of its f siblings lie below it altogether.
        p, pp = (n - 1) / 2, (n - 1) * (2 * n - 1) / 6
        if level == 0:
            norm = (size - 1) / 2 * n * ((1 - q) ** 2 + q * q) + pp / n - 2 * q * p + q * q * n
        else:
            f = fans[level]
            k, kk = (f - 1) / 2, (f - 1) * (2 * f - 1) / 6
            norm = (k * n * n + pp) / n - (kk * n * n + 2 * k * n * p + pp) / (f * n)
        total += norm / _information(sizes, variances, level)
    return total


def _information(sizes: Sequence[int], variances: Sequence[float], level: int) -> float:
    """lambda of the module's heading."""
    return math.fsum(sizes[-1] // sizes[j] / variances[j] for j in range(level, len(sizes)))


@lru_cache(maxsize=256)
def design(values: int) -> tuple[tuple[int, ...], int]:
    """For a number with so many possible values: into how many bins each level divides those above it, and the finest width.

    Widths are whole numbers of steps and as fine as 1,000 bins allow, or up to a quarter more where it saves noise.
    """
    if values <= 2:
        return (2,), 1
    narrowest = -(-values // MAX_BINS)
    best: tuple[float, tuple[int, ...], int] | None = None
    for width in range(narrowest, narrowest + min(narrowest // 4, 8) + 1):
        need = -(-values // width)
        for fans in _divisions(need):
            found = (expected_variance(fans), fans, width)
            if best is None or found < best:
                best = found
    assert best is not None
    return best[1], best[2]


def _divisions(need: int) -> Iterator[tuple[int, ...]]:
    """Fans of up to four levels with at least `need` finest bins, and few more."""
    yield (need,)
    for depth in range(2, MAX_DEPTH + 1):
        yield from _tails(need, depth)


def _tails(need: int, depth: int) -> Iterator[tuple[int, ...]]:
    if depth == 1:
        if need >= 2:
            yield (need,)
        return
    for first in range(2, max(2, min(need, 40)) + 1):
        for rest in _tails(-(-need // first), depth - 1):
            if first * math.prod(rest) <= min(MAX_BINS, need + need // 16 + 1):
                yield (first, *rest)


def grids_of(low: int, fans: Sequence[int], width: int) -> list[tuple[int, int, int]]:
    """First edge, width and number of the bins of every level in steps, the coarsest first.

    The last edges may lie beyond the bounds, where no value is.
    """
    finest = math.prod(fans)
    sizes = [math.prod(fans[: level + 1]) for level in range(len(fans))]
    return [(low, width * (finest // size), size) for size in sizes]
