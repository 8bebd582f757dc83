"""The bounds of scope `person`: one person's rows in all their cells at once. Compiled; the kernel calls it.

The rows of all cells compete for `max_rows`, and the clip of a sum is spent on them in the order of their keys, on sizes without
sign. So a person's part of the tally has an L1 norm of at most the component's bound, wherever the rows lie, and no margin of it
has more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collegium_node.choice import NULL, Int64s
from collegium_node.compiled import compiled
from collegium_node.engine.bounding import clip, in_row_order, keep_rows
from collegium_node.engine.slots import (
    BINS,
    CENTRE,
    FILTER,
    HIGH,
    KIND,
    LOW,
    OFFSET,
    OPERAND,
    PEOPLE,
    SQUARES,
    START,
    SUM,
    TOTAL,
    WIDTH,
)

__all__ = ["count_across"]


def _count_across(
    mine: Int64s,
    n: int,
    row_digest: Int64s,
    cells: NDArray[np.int32],
    filters: NDArray[np.bool_],
    operands: Int64s,
    table: Int64s,
    max_rows: int,
    rows_key: Int64s,
    picked: Int64s,
    keys: Int64s,
    ordered: Int64s,
    spare: Int64s,
    tally: Int64s,
) -> None:
    """Add one person to `tally`. mine[:n] are the rows in the person's cells; the last four before `tally` are room to work in."""
    for c in range(table.shape[0]):
        kind, which, operand = table[c, KIND], table[c, FILTER], table[c, OPERAND]
        if kind == PEOPLE:
            continue
        # (3) the component's rows
        m = 0
        for i in range(n):
            row = mine[i]
            if which >= 0 and not filters[which, row]:
                continue
            if operand >= 0 and operands[operand, row] == NULL:
                continue
            picked[m] = row
            m += 1
        # (4) bounded; (5) clamped; (6) added
        if kind == SUM:
            in_row_order(picked, m, row_digest, rows_key, keys, ordered, spare)
            left = max(abs(table[c, LOW]), abs(table[c, HIGH]))
            for i in range(m):
                value = clip(clip(operands[operand, picked[i]], table[c, LOW], table[c, HIGH]), -left, left)
                left -= abs(value)
                tally[table[c, START] + cells[picked[i]]] += value
            continue
        m = keep_rows(picked, m, max_rows, row_digest, rows_key, keys, ordered)
        for i in range(m):
            at = table[c, START] + cells[picked[i]] * table[c, WIDTH]
            if kind == BINS:
                tally[at + operands[operand, picked[i]]] += 1
            elif kind in (TOTAL, SQUARES):
                value = clip(operands[operand, picked[i]] - table[c, CENTRE], table[c, LOW], table[c, HIGH])
                tally[at] += value * value - table[c, OFFSET] if kind == SQUARES else value
            else:
                tally[at] += 1


count_across = compiled(_count_across)
