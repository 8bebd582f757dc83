"""Compile before the first question, and check that what runs is what the source says.

Numba keeps compiled code on disk and judges its age by the date of one file, so code of an older version could survive an upgrade
of another. A few made-up persons go through the compiled kernel; the figures must be the golden ones, which a test compares with
the slow referee. A node whose kernel differs answers nothing.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import numpy as np

from collegium.errors import Failed
from collegium_node.choice import NULL, Int64s, derive_key, fold_row_digests
from collegium_node.engine import kernel, slots

__all__ = ["GOLDEN", "sample", "warm_up"]

ROWS_OF_PERSONS = (5, 0, 40, 3)
CELLS = 6
MAX_GROUPS, MAX_ROWS = 2, 3
LENGTH = 8 * CELLS
# fmt: off
GOLDEN: tuple[int, ...] = (
    0, 1, 1, 1, 1, 2,  # people
    0, 3, 1, 1, 3, 2,  # rows, filtered
    0, 100, 54, 2, 100, 93,  # sum, clipped
    0, 3, 1, 1, 3, 2,  # count
    0, -51, 24, -28, 26, 33,  # total
    0, -1467, -1224, -1016, -852, -2295,  # squares
    0, 0, 1, 2, 1, 0,  # bins
    0, 1, 2, 1, 2, 0,  # (two a cell)
    # the same with bounds over all cells of a person
    0, 1, 1, 1, 1, 2,
    0, 1, 1, 1, 2, 2,
    0, 57, 54, 2, 43, 93,
    0, 1, 1, 1, 2, 2,
    0, 27, 24, -28, 70, 33,
    0, -1071, -1224, -1016, -988, -2295,
    0, 0, 0, 1, 1, 0,
    0, 1, 1, 1, 2, 0,
)
# fmt: on


@cache
def warm_up() -> None:
    """Compile, or load, the kernel: once a process, a few seconds on the first start of an installation, then milliseconds.

    Raises:
        Failed: the compiled kernel does not compute what it should.
    """
    with suppress(OSError):  # a full disk stops the saving of compiled code, after it is compiled
        sample()
    if tuple(sample().tolist()) != GOLDEN:
        raise Failed(
            "the compiled kernel does not give the golden figures",
            place=kernel.__file__,
            remedy="Delete the __pycache__ folders of this installation, or install it again.",
        )


def sample() -> Int64s:
    """int64[2 * LENGTH]: with bounds in each cell, then over all cells of a person."""
    return np.concatenate((_sample(0), _sample(1)))


def _sample(across: int) -> Int64s:
    """int64[LENGTH]: every kind of component over made-up rows that meet both caps, both sorts, nulls and a filter."""
    offsets = np.cumsum([0, *ROWS_OF_PERSONS], dtype=np.int64)
    rows = np.arange(offsets[-1], dtype=np.int64)
    persons = (np.arange(len(ROWS_OF_PERSONS), dtype=np.int64) + 1) * 0x0123456789ABCDEF
    values = rows * 37 % 101 - 20
    values[::7] = NULL
    cells = (rows * 5 % (CELLS + 1) - 1).astype(np.int32)
    owner = np.repeat(persons, ROWS_OF_PERSONS)
    secret = bytes(range(32))
    digests = fold_row_digests(owner, [values, rows], secret)
    table = np.zeros((7, slots.COLUMNS), dtype=np.int64)
    table[:, slots.KIND] = range(7)
    table[:, slots.FILTER] = (-1, 0, -1, 0, -1, 0, -1)
    table[:, slots.OPERAND] = (-1, -1, 0, 0, 0, 0, 1)
    table[:, slots.START] = np.arange(7) * CELLS
    table[:, slots.LOW] = (0, 0, 0, 0, -60, -60, 0)
    table[:, slots.HIGH] = (0, 0, 100, 0, 60, 60, 0)
    table[:, slots.CENTRE] = 30
    table[:, slots.OFFSET] = 1800
    table[:, slots.WIDTH] = (1, 1, 1, 1, 1, 1, 2)
    result = np.zeros(LENGTH, dtype=np.int64)
    for array in (offsets, persons, digests):
        array.flags.writeable = False
    kernel.count_chunk(
        offsets,
        persons,
        digests,
        cells,
        np.stack([rows % 5 != 0]),
        np.stack([values, rows % 2]),
        table,
        MAX_GROUPS,
        MAX_ROWS,
        across,
        derive_key(secret, "groups"),
        derive_key(secret, "rows"),
        result,
    )
    return result
