"""Linear regression of one number on several, from a noisy Gram matrix: coefficients, intervals for the noise, standard errors.

The coefficients b solve C·b = c, where C and c are n times the centred sums of squares and products, as U and V in
`collegium.gram`. To first order a change dC of all of them moves a coefficient j by row j of the inverse times (dc - dC·b); every
noisy sum enters that linearly, and the variances of the noise add up. **Where some predictor's spread beside the others is not
three standard deviations above the noise, first order means nothing and there are no figures.** One predictor is done better by
`collegium.gram`, whose intervals are right for every strength of noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from collegium.intervals import Band, noise_of
from collegium.inversion import Floats
from collegium.lattice import TWO_SIDED
from collegium.layout import Part
from collegium.national.law import Added
from collegium.schema import Column
from collegium.view import Measure

__all__ = ["coefficients", "labels_of"]

_CLEAR = 3.0  # standard deviations that a pivot must lie above its noise


def labels_of(measure: Measure) -> tuple[str, ...]:
    """What the coefficients of one cell are called, in their order."""
    assert measure.columns is not None
    return ("intercept", *measure.columns[1:])


def coefficients(
    sums: Sequence[NDArray[np.int64]], parts: Sequence[Part], nodes: Added, columns: Sequence[Column]
) -> list[tuple[Band, Floats]]:
    """Intercept and coefficients in natural units, each with its classical standard error (without noise), for every cell.

    Args:
        sums, parts: count; total and squares of each predictor, then of y; products of all pairs in that order.
        columns: y first, then the predictors.
    """
    cells = len(sums[0])
    results = [_one_cell([float(s[cell]) for s in sums], parts, nodes, columns) for cell in range(cells)]
    found = []
    for j in range(len(columns)):
        values, errors, sampling = (np.array([result[k][j] for result in results]) for k in range(3))
        known = ~np.isnan(values)
        low = np.where(known, values - TWO_SIDED * errors, -np.inf)
        high = np.where(known, values + TWO_SIDED * errors, np.inf)
        found.append((Band(values, low, high, errors), sampling))
    return found


def _one_cell(
    sums: list[float], parts: Sequence[Part], nodes: Added, columns: Sequence[Column]
) -> tuple[list[float], list[float], list[float]]:
    """Values, standard errors of the noise, classical standard errors: intercept first. NaN where the data do not bound them."""
    y, *predictors = columns
    k = len(predictors)
    nothing = [float("nan")] * (k + 1)
    variances = [max(noise_of(part, nodes).sd, 1e-9) ** 2 for part in parts]
    n = sums[0]
    totals, squares = sums[1 : 2 * k + 3 : 2], sums[2 : 2 * k + 3 : 2]
    offsets = [float(part.offset) for part in parts[2 : 2 * k + 3 : 2]]
    raw = np.zeros((k + 1, k + 1))  # sums of products from the centres
    place = {}
    for at, (i, j) in enumerate(combinations(range(k + 1), 2)):
        raw[i, j] = raw[j, i] = sums[2 * k + 3 + at]
        place[i, j] = 2 * k + 3 + at
    for i in range(k + 1):
        raw[i, i] = squares[i] + offsets[i] * n
    centred = np.array([[n * raw[i, j] - totals[i] * totals[j] for j in range(k + 1)] for i in range(k + 1)])
    for i in range(k + 1):
        centred[i, i] += variances[1 + 2 * i] - offsets[i] * variances[0]
    if n <= k + 2 or n <= _CLEAR * variances[0] ** 0.5:
        return nothing, nothing, nothing

    def gradient(one: list[float], two: list[float]) -> list[float]:
        """Derivatives of (one' C two) by every sum."""
        found = [0.0] * len(sums)
        for i in range(k + 1):
            found[0] += one[i] * two[i] * offsets[i] * n
            found[2 + 2 * i] = n * one[i] * two[i]
            for j in range(k + 1):
                found[0] += one[i] * two[j] * float(raw[i, j])
                found[1 + 2 * i] -= (one[i] * two[j] + one[j] * two[i]) * totals[j]
        for (i, j), at in place.items():
            found[at] = n * (one[i] * two[j] + one[j] * two[i])
        return found

    def noise(slope: list[float]) -> float:
        return math.sqrt(sum(v * d * d for v, d in zip(variances, slope, strict=True)))

    inverse = _inverse(centred[:k, :k])
    if inverse is None:
        return nothing, nothing, nothing
    for j in range(k):  # the spread of one predictor that the others leave: the inverse of the diagonal, and its noise
        if inverse[j][j] <= 0:
            return nothing, nothing, nothing
        direction = [value / inverse[j][j] for value in inverse[j]] + [0.0]
        if 1 / inverse[j][j] < _CLEAR * noise(gradient(direction, direction)):
            return nothing, nothing, nothing
    slopes = [sum(inverse[j][i] * float(centred[i, k]) for i in range(k)) for j in range(k)]
    residual = [-b for b in slopes] + [1.0]
    gradients = [gradient([*inverse[j], 0.0], residual) for j in range(k)]
    height = (totals[k] - sum(b * t for b, t in zip(slopes, totals, strict=False))) / n
    middles = [totals[i] / n + predictors[i].centre for i in range(k)]
    of_intercept = [-sum(gradients[j][at] * middles[j] for j in range(k)) for at in range(len(sums))]
    of_intercept[0] -= height / n
    for i in range(k + 1):
        of_intercept[1 + 2 * i] += residual[i] / n
    intercept = y.centre + height - sum(b * x.centre for b, x in zip(slopes, predictors, strict=True))
    left = sum(residual[i] * residual[j] * float(centred[i, j]) for i in range(k + 1) for j in range(k + 1)) / n
    spread = max(left, 0.0) / (n - k - 1)
    sampling = [max(spread * inverse[j][j] * n, 0.0) ** 0.5 for j in range(k)]
    across = sum(middles[i] * inverse[i][j] * middles[j] for i in range(k) for j in range(k))
    units = [float(y.step), *(float(y.step / x.step) for x in predictors)]
    values = [intercept, *slopes]
    errors = [noise(of_intercept), *(noise(each) for each in gradients)]
    classical = [max(spread * (1 / n + across * n), 0.0) ** 0.5, *sampling]
    return (
        [v * u for v, u in zip(values, units, strict=True)],
        [e * u for e, u in zip(errors, units, strict=True)],
        [s * u for s, u in zip(classical, units, strict=True)],
    )


def _inverse(matrix: Floats) -> list[list[float]] | None:
    """Gauss and Jordan with plain floats in a fixed order: the same on every machine. None where a pivot is not above zero."""
    size = len(matrix)
    rows = [[float(x) for x in matrix[i]] + [float(i == j) for j in range(size)] for i in range(size)]
    for i in range(size):
        pivot = rows[i][i]
        if not pivot > 0:
            return None
        rows[i] = [x / pivot for x in rows[i]]
        for j in range(size):
            if j != i:
                factor = rows[j][i]
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[size:] for row in rows]
