"""Figures with 95 % intervals from estimates: all indicators of one sort at once, each with a variance of its own.

Values that add up (counts, sums, shares of one table) are left as least squares made them, so that they do; the intervals know that
a count is not below zero and a share not above one. Other quotients are cut to what can be true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from collegium.fieller import quotient_interval
from collegium.indicators.families import Recipe
from collegium.indicators.figure import MISSING, Figure, mark_of
from collegium.inversion import Floats
from collegium.lattice import TWO_SIDED

__all__ = ["Pairs", "plain_figures", "quotient_figures"]

_EXACT = 1e-12  # stands in for the noise of a figure that is known to be 0


class Pairs(NamedTuple):
    """Numerators and denominators with the standard deviations and the covariance of their noise, in steps."""

    numerator: Floats
    denominator: Floats
    sd_numerator: Floats
    sd_denominator: Floats
    covariance: Floats


def plain_figures(
    recipes: Sequence[Recipe], values: Floats, sd: Floats, one: Floats, two: Floats, nodes: Sequence[int], share: float
) -> list[Figure]:
    """Figures by themselves. `one` and `two` are the one-sided and two-sided points of their noise; `share` makes the marks."""
    floor = np.array([recipe.floor for recipe in recipes], dtype=bool)
    scale = np.array([recipe.unit * recipe.factor for recipe in recipes])
    # As `collegium.lattice`: every possible truth is rejected 5 % of the time, near zero from above only.
    low = np.where(values <= one + two, np.maximum(values - one, 0.0), np.maximum(values - two, two))
    low = np.where(floor, low, values - two) * scale
    high = np.where(floor, np.maximum(values, 0.0) + two, values + two) * scale
    found = values * scale
    return [
        Figure(v, lo, hi, se, mark_of(v, (hi - lo) / 2, share), n)
        for v, lo, hi, se, n in zip(found.tolist(), low.tolist(), high.tolist(), (sd * scale).tolist(), nodes, strict=True)
    ]


def quotient_figures(recipes: Sequence[Recipe], pairs: Pairs, nodes: Sequence[int], share: float) -> list[Figure]:
    """Figures over figures, within the range that each recipe gives."""
    if not recipes:
        return []
    top, below = pairs.numerator, pairs.denominator
    limits = np.array([np.inf if recipe.high is None else recipe.high for recipe in recipes])
    floors = np.array([recipe.low for recipe in recipes])
    endless = np.isinf(limits)
    low, high = _interval(pairs, floors, np.where(endless, 1.0, limits))
    if endless.any():
        apart = Pairs(*(part[endless] for part in pairs))
        low[endless], high[endless] = _endless(apart)
    positive = below > 0
    safe = np.where(positive, below, 1.0)
    quotient = top / safe
    adds = np.array([recipe.adds_up for recipe in recipes], dtype=bool)
    value = np.where(positive, np.where(adds, quotient, np.clip(quotient, floors, limits)), np.nan)
    spread = pairs.sd_numerator**2 - 2 * quotient * pairs.covariance + (quotient * pairs.sd_denominator) ** 2
    error = np.sqrt(np.maximum(spread, 0.0)) / safe
    error = np.where(below > TWO_SIDED * pairs.sd_denominator, error, np.nan)
    nothing = (top == 0) & (pairs.sd_numerator <= _EXACT)  # a cell that is 0 by its meaning
    low, high, error = (np.where(nothing & positive, 0.0, part) for part in (low, high, error))
    rows = np.stack([value, low, high, error], axis=1).tolist()
    return [_figure(recipe, row, n, share) for recipe, row, n in zip(recipes, rows, nodes, strict=True)]


def _interval(pairs: Pairs, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Fieller's interval for each pair, both figures in units of their noise."""
    above, below = np.maximum(pairs.sd_numerator, _EXACT), np.maximum(pairs.sd_denominator, _EXACT)
    unit = above / below
    x, y, together = pairs.numerator / above, pairs.denominator / below, pairs.covariance / (above * below)
    found = quotient_interval(x, y, 1.0, 1.0, low / unit, high / unit, cov=together)
    return found[0] * unit, found[1] * unit


def _endless(pairs: Pairs) -> tuple[Floats, Floats]:
    """Without an upper limit: of numerator / (numerator + denominator), in units of noise, carried over (`collegium.intervals`)."""
    above, below = np.maximum(pairs.sd_numerator, _EXACT), np.maximum(pairs.sd_denominator, _EXACT)
    x, y = pairs.numerator / above, pairs.denominator / below
    low, high = quotient_interval(x, x + y, 1.0, 2.0, np.zeros(x.shape), np.ones(x.shape), cov=1.0)
    with np.errstate(divide="ignore"):
        return above / below * (low / (1 - low)), above / below * (high / (1 - high))


def _figure(recipe: Recipe, row: Sequence[float], nodes: int, share: float) -> Figure:
    value, low, high, error = row

    def shown(quotient: float) -> float:
        return recipe.factor * (recipe.middle + recipe.unit * quotient)

    ends = shown(low), None if high == np.inf else shown(high)
    known = None if np.isnan(error) else recipe.factor * recipe.unit * error
    if np.isnan(value):
        return Figure(None, *ends, known, MISSING, nodes, "no-denominator")
    half = np.inf if ends[1] is None else (ends[1] - ends[0]) / 2
    return Figure(shown(value), *ends, known, mark_of(shown(value), half, share), nodes)
