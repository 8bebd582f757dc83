"""The difference of two figures with independent noise, from the intervals of each ("MOVER", Zou and Donner 2008).

    low  = d - sqrt((one - one.low)² + (other.high - other)²)      high = d + sqrt((one.high - one)² + (other - other.low)²)

Each figure's own interval is right however small its denominator is and however near it lies to the end of its range; this carries
over what each side knows, and far from all ends it is the plain interval. Where a figure is not there the difference may be
anything in the public range. A difference is significant where its 95 % interval leaves 0 out: of differences that are 0 in truth,
about one in twenty is called significant.
"""

from __future__ import annotations

import numpy as np

from collegium.intervals import Band
from collegium.inversion import Floats

__all__ = ["difference", "significant"]


def difference(one: Band, other: Band, *, floor: bool = False) -> Band:
    """one - other. The noise in the two must be independent.

    `floor`: their values are unbounded above, with truths at 0 or above, and were cut there (counts): the point estimates given
    are then taken as they are.
    """
    value = one.value - other.value
    with np.errstate(invalid="ignore"):
        low = value - np.sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
        high = value + np.sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    if not floor:  # the truth lies between the ends of the public ranges
        low, high = np.maximum(low, one.low - other.high), np.minimum(high, one.high - other.low)
    missing = np.isnan(value)
    low = np.where(missing, one.low - other.high, low)
    high = np.where(missing, one.high - other.low, high)
    return Band(value, low, high, np.sqrt(one.error**2 + other.error**2))


def significant(band: Band) -> list[bool]:
    """Whether the interval leaves 0 out."""
    found = ~np.isnan(band.value) & ((band.low > 0) | (band.high < 0))
    return [bool(each) for each in found.tolist()]


def plain(value: Floats, half: float, error: float) -> Band:
    """The band of linear figures with one half width."""
    return Band(value, value - half, value + half, np.full(value.shape, error))
