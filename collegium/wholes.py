"""Parts of a whole: noisy counts made into parts that are not negative and add up to 100 %.

Cutting negative counts off at zero alone would leave the rest at more than 100 %. What is cut off is taken from the smallest of
the others, until nothing is owed ("Norm-Cut", Wang and others, NDSS 2020): parts that stand clear of the noise stay as they were
measured, without bias, and what changes is what could not be told from zero anyway. It costs no privacy; intervals are made
without it.
"""

from __future__ import annotations

import numpy as np

from collegium.inversion import Floats

__all__ = ["parts_of_whole"]


def parts_of_whole(counts: Floats) -> Floats:
    """Counts of at least 0 with the same sum along the last axis, exactly; all zero where that sum is not above zero.

    Args:
        counts: noisy whole counts, shape (wholes, cells).
    """
    owed = np.maximum(-counts, 0.0).sum(axis=-1, keepdims=True)
    positive = np.maximum(counts, 0.0)
    order = np.argsort(positive, axis=-1, kind="stable")
    rising = np.take_along_axis(positive, order, axis=-1)
    before = np.cumsum(rising, axis=-1) - rising  # what the smaller parts have given
    left = rising - np.clip(owed - before, 0.0, rising)
    parts = np.empty_like(counts)
    np.put_along_axis(parts, order, left, axis=-1)
    return parts
