"""A node's share of the noise in a national sum: OpenDP's discrete Gaussian, added on a lattice 2^f times finer than a step.

The noise is drawn on a zero vector and added modulo 2^64, because OpenDP saturates at the ends of int64 where a sum must wrap.
The share alone protects little; see docs/national-sums.md for what the sum promises. There is no seed and no way to pass one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# See collegium_node.noise: a backtrace at every level is slow and a side output.
os.environ["RUST_BACKTRACE"] = "0"

import numpy as np
import opendp.prelude as dp
from numpy.typing import NDArray

from collegium.errors import Failed
from collegium.national.share import SMALLEST_SCALE, Share
from collegium_node.choice import Int64s

__all__ = ["SharedPart", "add_share"]

Draw = Callable[[float], Callable[[list[int]], Sequence[int]]]
"""A scale's noise: it takes a vector and gives it with noise."""

dp.enable_features("contrib")  # see collegium_node.noise


@dataclass(frozen=True, slots=True)
class SharedPart:
    """One component of the plan: `cells` values, its share, and the reach that the plan's head room was checked for."""

    cells: int
    share: Share
    reach: int


def add_share(parts: Sequence[SharedPart], exact: Int64s, *, draw: Draw | None = None) -> NDArray[np.uint64]:
    """2^f·tally + noise modulo 2^64, shape (sum of the parts' cells,). One draw: the result is stored, never made again.

    `exact` are the figures of a tally, which `collegium_node.noise` alone may open; this module opens none.

    1. The tally has the plan's length and no share is below the smallest scale.
    2. Each value is cut to ±reach. That moves no value by more than a person could, so the sensitivity stays; an honest reach cuts
       nothing. Refusing instead would tell of a row.
    3. The noise of a part is drawn in one call on zeros and added with wrap-around.

    Args:
        draw: other noise than OpenDP's, for tests of the arithmetic; no caller within the node passes one (a test looks).

    Raises:
        Failed: (1) does not hold. The text holds no figure.
    """
    draw = draw or _gaussian
    # (1)
    if exact.shape != (sum(part.cells for part in parts),):
        raise Failed("the tally does not fit the plan of the national sum")
    if any(not part.share.scale >= SMALLEST_SCALE for part in parts):
        raise Failed("a share of noise is below the smallest scale; nothing is sent")
    result = np.empty(len(exact), dtype=np.uint64)
    start = 0
    for part in parts:
        # (2)
        values = np.clip(exact[start : start + part.cells], -part.reach, part.reach).astype(np.int64)
        # (3)
        noise = np.asarray(draw(part.share.scale)([0] * part.cells), dtype=np.int64)
        result[start : start + part.cells] = (values.view(np.uint64) << np.uint64(part.share.fine)) + noise.view(np.uint64)
        start += part.cells
    return result


def _gaussian(scale: float) -> Any:
    # T is named: OpenDP's plain `int` has 32 bits and saturates.
    return dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64"), scale=scale)
