"""Intervals by inverting a test: all candidates of a public range that the noisy figures do not reject at 95 %.

A statistic R(t) is about standard normal when the candidate t is the truth, and falls as t rises: a large R says that t is too low.
A candidate is rejected when |R| is above the two-sided point. Near an end of the range only one side can be wrong: an estimate
beyond a share of 100 % is no evidence against 100 %, and cutting the interval off there would hold such a truth 97.5 % of the
time, or leave nothing at all. So a candidate that the data cannot tell from an end is tested from the other side only, at the
one-sided point. Every candidate is rejected 5 % of the time, the interval is never empty, and far from the ends it is the plain
one. When the data say nothing, nothing is rejected and the interval is the whole range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collegium.lattice import ONE_SIDED, TWO_SIDED

__all__ = ["Evidence", "Floats", "invert"]

Floats = NDArray[np.float64]

_HALVINGS = 48  # the ends are right to 2^-48 of the range, beyond the 12 digits a table shows


class Evidence(NamedTuple):
    """What the data say about one candidate for each figure."""

    statistic: Floats  # R(t): positive when the candidate is too low
    reach: Floats  # how far the truth must lie from the candidate to move R by one


def invert(test: Callable[[Floats], Evidence], low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Ends of the 95 % intervals within [low, high], element by element, by bisection with a fixed number of steps.

    The same arithmetic runs on every machine: only + - * / and square roots, which IEEE 754 rounds in one way.
    """
    middle = (low + high) / 2

    def too_low(t: Floats) -> NDArray[np.bool_]:
        evidence = test(t)
        near_low = (t <= middle) & (t - low < TWO_SIDED * evidence.reach)
        near_high = (t > middle) & (high - t < TWO_SIDED * evidence.reach)
        return ~near_high & (evidence.statistic > np.where(near_low, ONE_SIDED, TWO_SIDED))

    def too_high(t: Floats) -> NDArray[np.bool_]:
        evidence = test(t)
        near_low = (t <= middle) & (t - low < TWO_SIDED * evidence.reach)
        near_high = (t > middle) & (high - t < TWO_SIDED * evidence.reach)
        return ~near_low & (evidence.statistic < -np.where(near_high, ONE_SIDED, TWO_SIDED))

    return _edge(too_low, low, high), _edge(too_high, high, low)


def _edge(rejected: Callable[[Floats], NDArray[np.bool_]], start: Floats, end: Floats) -> Floats:
    """The first candidate on the way from `start` to `end` that is not rejected; `end` is taken to be none that is."""
    out, inside = start.copy(), np.where(rejected(start), end, start)
    for _ in range(_HALVINGS):
        t = (out + inside) / 2
        no = rejected(t)
        out, inside = np.where(no, t, out), np.where(no, inside, t)
    return inside
