"""The law of the noise in a sum of releases: n independent discrete Gaussians on the whole numbers, and intervals that know it.

Noise is whole, and for a small scale that shows: with scale 1 the interval ±1 holds a truth 88 % of the time and ±2 99 %. Nothing
between can be had from a fixed rule on whole numbers, so we take the smallest k that holds at least 95 %. One more step holds
2·P(k) more, about 0.117/sd: **over-coverage of up to 0.117/sd is unavoidable**, and is below 1 % once the standard deviation of
the national sum is 12 steps.

Near a public floor (a count is never negative) the plain interval would lie partly or wholly outside. Cutting it off would make
an empty cell's zero be held 97.5 % of the time, and would sometimes leave only the point 0. So the interval inverts one
test for every possible truth m: m ≤ k2 is rejected only from above, by the one-sided 95 % point k1; m > k2 from both sides by k2.
Every m is held equally often, the interval is never empty, and far from zero it is the plain one. (The same idea as Mandelkern
and Schultz 2000, "The statistical analysis of Gaussian and Poisson signals near physical boundaries".)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "EXACT_BELOW",
    "LEVEL",
    "ONE_SIDED",
    "TWO_SIDED",
    "Noise",
    "discrete_gaussian",
    "national_noise",
    "noise_of_law",
    "smooth_noise",
    "whole_interval",
]

LEVEL = 0.95
TWO_SIDED = 1.959963984540054  # of the standard normal; written out so that every machine has the same
ONE_SIDED = 1.6448536269514722

EXACT_BELOW = 60.0
"""Standard deviation above which the normal law is right in all digits that matter."""

TAIL = 10
"""Standard deviations kept on each side: what lies beyond has probability 1e-23."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of one national figure, in steps: its standard deviation, and the smallest whole k with P(|N| ≤ k), P(N ≤ k) ≥ 95 %."""

    sd: float
    two_sided: int
    one_sided: int


@lru_cache(maxsize=4096)
def national_noise(scale: float, nodes: int) -> Noise:
    """The noise in the sum of `nodes` releases of one component.

    Args:
        scale: of the discrete Gaussian at each node: P(x) ~ exp(-x²/(2 scale²)). Below 0.5 its standard deviation is well below it.
        nodes: how many releases were added, at least 1.
    """
    if scale * math.sqrt(nodes) >= EXACT_BELOW and scale >= 1:
        return smooth_noise(scale * math.sqrt(nodes))
    one = discrete_gaussian(scale)
    reach = (len(one) - 1) // 2
    sd = math.sqrt(nodes * math.fsum(float(p) * x * x for p, x in zip(one, range(-reach, reach + 1), strict=True)))
    if sd >= EXACT_BELOW:
        return smooth_noise(sd)
    return noise_of_law(_power(one, nodes, math.ceil(TAIL * sd) + 2), sd)


def smooth_noise(sd: float) -> Noise:
    """Whole noise so wide that it is normal."""
    return Noise(sd, math.ceil(TWO_SIDED * sd - 0.5), math.ceil(ONE_SIDED * sd - 0.5))


def noise_of_law(law: NDArray[np.float64], sd: float) -> Noise:
    """Noise with a symmetric law on the whole numbers, shape (2·reach + 1,), and its standard deviation."""
    centre = (len(law) - 1) // 2
    inside = float(law[centre])
    k = 0
    one_sided = 0 if (1 + inside) / 2 >= LEVEL else -1
    while inside < LEVEL:
        k += 1
        inside += 2 * float(law[centre + k])
        if one_sided < 0 and (1 + inside) / 2 >= LEVEL:  # P(N ≤ k) = (1 + P(|N| ≤ k)) / 2, the law is symmetric
            one_sided = k
    return Noise(sd, k, one_sided)


def whole_interval(
    noisy: NDArray[np.int64], noise: Noise, *, floor: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Best value and 95 % interval of whole figures, in steps. `floor`: the truth cannot be below 0.

    Returns value, low, high with the shape of `noisy`; low ≤ value ≤ high.
    """
    k1, k2 = noise.one_sided, noise.two_sided
    if not floor:
        return noisy, noisy - k2, noisy + k2
    value = np.maximum(noisy, 0)
    low = np.where(noisy <= k1 + k2, np.maximum(noisy - k1, 0), np.maximum(noisy - k2, k2 + 1))
    return value, low, value + k2


def discrete_gaussian(scale: float) -> NDArray[np.float64]:
    """The law of one draw, shape (2·reach + 1,)."""
    reach = math.ceil(TAIL * scale) + 2
    weights = [math.exp(-((x / scale) ** 2) / 2) for x in range(reach + 1)]
    total = weights[0] + 2 * math.fsum(weights[1:])
    half = np.array(weights, dtype=np.float64) / total
    return np.concatenate([half[:0:-1], half])


def _power(one: NDArray[np.float64], nodes: int, reach: int) -> NDArray[np.float64]:
    """The law of a sum of `nodes` draws, by repeated squaring, cut to ±reach after every step to bound the work."""
    result: NDArray[np.float64] = np.ones(1)
    square = one
    while True:
        if nodes & 1:
            result = _cut(np.convolve(result, square), reach)
        nodes >>= 1
        if nodes == 0:
            return result
        square = _cut(np.convolve(square, square), reach)


def _cut(law: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    centre = (len(law) - 1) // 2
    return law[max(0, centre - reach) : centre + reach + 1]
