"""From year to year: the difference of two measurements of one indicator, and whether it is more than their noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from collegium.differences import difference, significant
from collegium.indicators.edition import Estimate
from collegium.intervals import Band

__all__ = ["Change", "changes"]


@dataclass(frozen=True, slots=True)
class Change:
    """`after` minus `before`, with its 95 % interval. Significant where the interval leaves 0 out."""

    before: int
    after: int
    by: Estimate
    significant: bool


def changes(found: Sequence[tuple[int, Estimate]]) -> list[Change]:
    """The change between each two neighbouring years that both have a figure. Their noise is independent.

    Of changes that are 0 in truth about one in twenty is called significant (see `collegium.differences`).
    """
    shown = [(year, each) for year, each in found if each.value is not None and each.mark != "—"]
    result = []
    for (before, one), (after, other) in pairwise(shown):
        band = difference(_band(other), _band(one), floor=True)
        by = Estimate(value=_number(band.value), low=_number(band.low), high=_number(band.high), error=_number(band.error))
        result.append(Change(before, after, by, significant(band)[0]))
    return result


def _band(figure: Estimate) -> Band:
    low = -np.inf if figure.low is None else figure.low
    high = np.inf if figure.high is None else figure.high
    error = np.nan if figure.error is None else figure.error
    return Band(*(np.array([float(end)]) for end in (figure.value or 0.0, low, high, error)))


def _number(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    value = float(values[0])
    return value if np.isfinite(value) else None
