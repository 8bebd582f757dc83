"""How many universities a sum is of, and how much noise is in it: of releases that were added, or of rounds of national sums."""

from __future__ import annotations

from collegium.indicators.batch import LEAST_VARIANCE
from collegium.indicators.places import Placed
from collegium.intervals import noise_of
from collegium.layout import Layout, Part
from collegium.national.law import Added

__all__ = ["times", "universities", "variance"]


def universities(added: Added) -> int:
    """How many universities are in it; 0 where nothing was added."""
    return added if isinstance(added, int) else sum(each.participants for each in added)


def variance(part: Part, added: Added) -> float:
    """Of the noise in one cell; above 0 even where the cost is so high that whole noise is all but always 0."""
    return max(noise_of(part, added).sd ** 2, LEAST_VARIANCE)


def times(layout: Layout, placed: Placed, added: Added) -> float:
    """How many times the variance of one release's estimates. Of n releases n; of national sums that of the table that has most,
    for rounding to whole steps adds more to narrow noise than to wide.
    """
    if isinstance(added, int):
        return float(added)
    parts = [layout.parts[part] for part in placed.parts.values()]
    return max(variance(part, added) / variance(part, 1) for part in parts) if added else 0.0
