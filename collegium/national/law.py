"""The law of the noise in a table of national sums, where every round's total is first rounded to whole steps.

A round's total lies on a lattice finer than a step. It is rounded, halves to even, before anything is made of it: so a national
table holds whole figures as any other, its groups add up to the nation exactly, and every method for whole noise serves. Rounding
adds up to 1/12 to a variance of σ²·|U|/m. That is nothing where σ is some steps wide, and is in the intervals where it is not:

    f > 0    the noise is that of a normal deviate rounded to whole numbers: a lattice on which the sum has at least 4·√|U| points a
             standard deviation is as good as none (`collegium.national.share`)
    f = 0    nothing is rounded: a sum of discrete Gaussians of scale s ≥ 4 is one of scale s·√|U|

Of several rounds the laws are folded into one another, each with its own number of participants.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collegium.lattice import EXACT_BELOW, TAIL, Noise, discrete_gaussian, noise_of_law, smooth_noise
from collegium.layout import Part
from collegium.national.share import make_share, sigma_for

__all__ = ["Added", "RoundOf", "rounded_noise", "rounding_variance"]


class RoundOf(NamedTuple):
    """What the noise of one round hangs on: k, |U| and m."""

    homes: int
    participants: int
    honest: int


Added = int | tuple[RoundOf, ...]
"""What a sum is of: so many releases, each with its own noise, or these rounds of national sums."""


def rounded_noise(part: Part, rounds: tuple[RoundOf, ...]) -> Noise:
    """The noise in the sum of these rounds' rounded totals, in steps."""
    return _noise(part.component.rho, part.sensitivity_squared, rounds)


def rounding_variance(fine: int) -> float:
    """Of the error of rounding to whole steps what lies anywhere on a lattice of 2^fine points a step, halves to even."""
    return (1 + 2 / 4**fine) / 12 if fine else 0.0


@lru_cache(maxsize=4096)
def _noise(rho: int, squared: int, rounds: tuple[RoundOf, ...]) -> Noise:
    spreads = [_spread(rho, squared, each) for each in rounds]
    variance = math.fsum(sd * sd + rounding_variance(fine) for sd, fine in spreads)
    if variance >= EXACT_BELOW**2:
        return smooth_noise(math.sqrt(variance))
    law = np.ones(1)
    for sd, fine in spreads:
        law = np.convolve(law, _rounded(sd) if fine else discrete_gaussian(sd))
    reach = (len(law) - 1) // 2
    exact = math.fsum(float(p) * x * x for p, x in zip(law, range(-reach, reach + 1), strict=True))
    return noise_of_law(np.pad(law, 1), math.sqrt(exact))


def _spread(rho: int, squared: int, of: RoundOf) -> tuple[float, int]:
    """Standard deviation of a round's total in steps, and its f."""
    share = make_share(sigma_for(rho, squared, of.homes), of.honest)
    return share.scale * math.sqrt(of.participants) / 2**share.fine, share.fine


def _rounded(sd: float) -> NDArray[np.float64]:
    """The law of a normal deviate rounded to whole numbers, shape (2·reach + 1,)."""
    reach = math.ceil(TAIL * sd) + 2
    tails = [math.erfc((x + 0.5) / (sd * math.sqrt(2))) / 2 for x in range(-1, reach + 1)]  # P(N > x + 1/2), from x = -1
    half = np.array([above - beyond for above, beyond in pairwise(tails)], dtype=np.float64)
    return np.concatenate([half[:0:-1], half])
