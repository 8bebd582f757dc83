"""Tables whose margins add up: margins of one table measured with independent noise, reconciled by weighted least squares.

For a set T of keys let V(T) be the tables that depend on T alone and whose sums over any key of T are zero. These spaces are
orthogonal, span all tables, and are eigenspaces of every margin, so least squares falls into one weighted mean a space: closed
form, unbiased, no matrix (as in Xiao, He, Zhang and Kifer 2023, "ResidualPlanner"). With n(S) the cells that one cell of the
margin S adds up, and v(S) the noise in it, the information on V(T) is the sum over measured S that hold T of n(S)/v(S).

`weights` divides rho among the margins so that the noise in all cells of the tables asked for is least in total. For a table with
all its margins and one cell a person this reaches the lower bound of the matrix mechanism, (sum of singular values)²/cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from collegium.inversion import Floats

__all__ = ["Keys", "closure", "reconcile_margins", "spread_of_margins", "svd_bound", "total_variance", "weights"]

Keys = tuple[int, ...]
"""The keys that a margin keeps, as positions in increasing order."""

_ROUNDS = 2000
_LEAST = 1e-3  # a margin that would get less of rho than this is not measured


def closure(sets: Iterable[Keys]) -> list[Keys]:
    """The sets and all their subsets, smallest first."""
    found = {part for keys in sets for size in range(len(keys) + 1) for part in combinations(keys, size)}
    return sorted(found, key=lambda keys: (len(keys), keys))


def reconcile_margins(
    sizes: Sequence[int], measured: Mapping[Keys, tuple[NDArray[np.int64], float]], wanted: Sequence[Keys]
) -> dict[Keys, tuple[Floats, float]]:
    """The wanted margins, each as flat cells and the standard deviation of the noise in every one of them.

    Args:
        sizes: cells of each key.
        measured: for each measured margin its noisy flat cells, and the variance of the noise in one.
        wanted: each a subset of a measured margin.
    """
    spaces = closure(wanted)
    parts: dict[Keys, Floats] = {}
    variances: dict[Keys, float] = {}
    for keys in spaces:
        above = [margin for margin in sorted(measured) if set(keys) <= set(margin)]
        summed = [_add_up(measured[margin][0], sizes, margin, keys) for margin in above]
        information = [1 / (measured[margin][1] * _cells(sizes, set(margin) - set(keys))) for margin in above]
        # Whole numbers until here, and centring them is exact too unless they are enormous: the same figures on every machine.
        mean = np.zeros(tuple(sizes[key] for key in keys))
        for values, weight in zip(summed, information, strict=True):
            mean = mean + _centred(values) * weight
        parts[keys] = mean / sum(information) / _cells(sizes, keys)
        variances[keys] = 1 / sum(information) * math.prod(1 - 1 / sizes[key] for key in keys)
    result: dict[Keys, tuple[Floats, float]] = {}
    for keys in wanted:
        table = np.zeros(tuple(sizes[key] for key in keys))
        variance = 0.0
        for part in closure([keys]):
            n = _cells(sizes, set(keys) - set(part))
            shape = tuple(sizes[key] if key in part else 1 for key in keys)
            table = table + parts[part].reshape(shape) / n
            variance += variances[part] / n**2
        sd = math.sqrt(variance)
        grain = 2.0 ** (math.floor(math.log2(sd)) - 30)
        result[keys] = np.round(table / grain).ravel() * grain, sd
    return result


def spread_of_margins(sizes: Sequence[int], measured: Mapping[Keys, float], wanted: Sequence[Keys]) -> dict[Keys, float]:
    """The standard deviations of `reconcile_margins`, from the variances alone."""
    result = {}
    for keys in wanted:
        variance = 0.0
        for part in closure([keys]):
            information = sum(
                1 / (v * _cells(sizes, set(margin) - set(part)))
                for margin, v in sorted(measured.items())
                if set(part) <= set(margin)
            )
            own = math.prod(1 - 1 / sizes[key] for key in part) / information
            variance += own / _cells(sizes, set(keys) - set(part)) ** 2
        result[keys] = math.sqrt(variance)
    return result


def weights(sizes: Sequence[int], wanted: Sequence[Keys], squares: Mapping[Keys, int]) -> dict[Keys, float]:
    """The share of rho for each margin to measure, in sum 1, so that the variance summed over all wanted cells is least.

    Args:
        squares: the squared sensitivity of each margin in `closure(wanted)`.

    The multiplicative algorithm for A-optimal designs (Silvey, Titterington and Torsney 1978): the objective falls in every round.
    """
    spaces = closure(wanted)
    cost = np.array([_weight(sizes, keys, wanted) for keys in spaces])
    gain = np.array(
        [
            [
                (_cells(sizes, set(range(len(sizes))) - set(margin)) / squares[margin]) * (set(keys) <= set(margin))
                for margin in spaces
            ]
            for keys in spaces
        ]
    )
    share = np.full(len(spaces), 1 / len(spaces))
    for _ in range(_ROUNDS):
        information = gain @ share
        slope = (cost / information**2) @ gain
        share = share * np.sqrt(slope)
        share /= share.sum()
    largest = {keys for keys in wanted if not any(set(keys) < set(other) for other in wanted)}
    kept = {keys: float(x) for keys, x in zip(spaces, share, strict=True) if x >= _LEAST or keys in largest}
    total = sum(kept.values())
    return {keys: x / total for keys, x in kept.items()}


def total_variance(sizes: Sequence[int], wanted: Sequence[Keys], variances: Mapping[Keys, float]) -> float:
    """The variance summed over all cells of the wanted margins, when margins are measured with these variances."""
    spread = spread_of_margins(sizes, variances, wanted)
    return sum(spread[keys] ** 2 * _cells(sizes, keys) for keys in wanted)


def svd_bound(sizes: Sequence[int], wanted: Sequence[Keys]) -> float:
    """The least `total_variance` that any measurement of linear figures can have, with noise of variance 1 at sensitivity 1.

    Li and Miklau 2013, "Optimal error of query sets under the differentially-private matrix mechanism": (sum of the singular
    values of the wanted figures)² / cells.
    """
    roots = 0.0
    for keys in closure(wanted):
        above = sum(_cells(sizes, set(range(len(sizes))) - set(other)) for other in wanted if set(keys) <= set(other))
        roots += math.prod(sizes[key] - 1 for key in keys) * math.sqrt(above)
    return roots**2 / math.prod(sizes)


def _weight(sizes: Sequence[int], keys: Keys, wanted: Sequence[Keys]) -> float:
    """Dimension of the space times how strongly the wanted figures depend on it."""
    above = sum(_cells(sizes, set(range(len(sizes))) - set(other)) for other in wanted if set(keys) <= set(other))
    return math.prod(sizes[key] - 1 for key in keys) * above


def _cells(sizes: Sequence[int], keys: Iterable[int]) -> int:
    return math.prod(sizes[key] for key in keys)


def _add_up(values: NDArray[np.int64], sizes: Sequence[int], margin: Keys, keys: Keys) -> NDArray[np.int64]:
    table = values.reshape(tuple(sizes[key] for key in margin))
    summed: NDArray[np.int64] = table.sum(axis=tuple(at for at, key in enumerate(margin) if key not in keys))
    return np.asarray(summed)


def _centred(values: NDArray[np.int64]) -> Floats:
    """The table minus its means along every axis, times the number of its cells."""
    table: Floats = values.astype(np.float64)
    for axis in range(values.ndim):
        table = table * values.shape[axis] - table.sum(axis=axis, keepdims=True)
    return table
