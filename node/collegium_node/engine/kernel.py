"""The compiled pass over persons: chooses cells and rows, clips, and adds to the tally. Nothing else bounds a person.

For each person, in this order:

(1) the rows that pass the question's filter, by cell; within one in their stored order, which hangs on the person's rows alone;
(2) at most `max_groups` cells: those whose order key is smallest;
(3) in each of them and for each component, the rows that pass the component's filter and whose operand is not null;
(4) of these at most `max_rows`, those whose order key is smallest (the sum takes all of them and is clipped instead);
(5) each value clamped to the bounds the sensitivity rests on, whatever the snapshot says;
(6) one addition to the tally.

With bounds of scope `person`, (3) to (6) take the rows of all these cells at once, of everything but people: see `across`.

Numba checks no index: the caller warrants that every cell is in [-1, cells) and every bin in [0, bins). Time for a person with
n rows is O(n log n) for each component, so that one person with a million rows in as many cells delays nobody for long.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collegium_node.choice import NULL, Int64s, cell_order
from collegium_node.compiled import compiled
from collegium_node.engine.across import count_across
from collegium_node.engine.bounding import clip, keep_rows, sort
from collegium_node.engine.slots import (
    BINS,
    CENTRE,
    COUNT,
    FILTER,
    HIGH,
    KIND,
    LOW,
    OFFSET,
    OPERAND,
    PEOPLE,
    ROWS,
    SQUARES,
    START,
    SUM,
    WIDTH,
)

__all__ = ["count_chunk"]

ROW_BITS = 32
ROW_MASK = 2**32 - 1
EVERY = 2**63 - 1
SATURATION = 2**62


def _cell_threshold(keys: Int64s, ordered: Int64s, n: int, most: int) -> int:
    """The `most`-th smallest of keys[:n], which are distinct; all of them when there are no more."""
    if n <= most:
        return EVERY
    for i in range(n):
        ordered[i] = keys[i]
    sort(ordered, n)
    return ordered[most - 1]  # type: ignore[no-any-return]


cell_threshold = compiled(_cell_threshold)


def _count_chunk(
    offsets: Int64s,
    person_digest: Int64s,
    row_digest: Int64s,
    cells: NDArray[np.int32],
    filters: NDArray[np.bool_],
    operands: Int64s,
    table: Int64s,
    max_groups: int,
    max_rows: int,
    across: int,
    groups_key: Int64s,
    rows_key: Int64s,
    tally: Int64s,
) -> None:
    """Add the persons of one chunk to `tally`.

    Args:
        offsets: int64[persons + 1]; the rows of person i are [offsets[i] - offsets[0], offsets[i + 1] - offsets[0]) of the chunk.
        person_digest: int64[persons], 62 bits.
        row_digest: int64[rows], 62 bits.
        cells: int32[rows], the group cell; -1 for a row that the question's filter leaves out.
        filters: bool[f, rows]. operands: int64[k, rows], `NULL` for null; for bins the index of the bin.
        table: int64[components, COLUMNS].
        across: 1 if max_rows and the clip of a sum hold for all cells of a person together, 0 if in each.
        tally: int64[layout.length], added to.
    """
    base = offsets[0]
    most = 0
    for person in range(offsets.size - 1):
        most = max(most, offsets[person + 1] - offsets[person])
    order = np.empty(most, np.int64)
    first_of = np.empty(most + 1, np.int64)
    keys = np.empty(most, np.int64)
    ordered = np.empty(most, np.int64)
    picked = np.empty(most, np.int64)
    mine = np.empty(most, np.int64)
    spare = np.empty(most, np.int64)

    for person in range(offsets.size - 1):
        start = offsets[person] - base
        # (1) rows by cell
        n = 0
        for row in range(start, offsets[person + 1] - base):
            if cells[row] >= 0:
                order[n] = (np.int64(cells[row]) << ROW_BITS) | (row - start)
                n += 1
        if n == 0:
            continue
        sort(order, n)
        found = 0
        for i in range(n):
            if i == 0 or (order[i] >> ROW_BITS) != (order[i - 1] >> ROW_BITS):
                first_of[found] = i
                found += 1
        first_of[found] = n
        # (2) the person's cells
        threshold = EVERY
        if found > max_groups:
            for g in range(found):
                keys[g] = cell_order(groups_key, person_digest[person], order[first_of[g]] >> ROW_BITS)
            threshold = cell_threshold(keys, ordered, found, max_groups)
        for g in range(found):
            cell = order[first_of[g]] >> ROW_BITS
            if threshold != EVERY and cell_order(groups_key, person_digest[person], cell) > threshold:
                continue
            for c in range(table.shape[0]):
                kind, which, operand = table[c, KIND], table[c, FILTER], table[c, OPERAND]
                if across and kind != PEOPLE:
                    continue
                # (3) the component's rows
                m = 0
                for i in range(first_of[g], first_of[g + 1]):
                    row = start + (order[i] & ROW_MASK)
                    # Written out here and in `across`: a call with arrays for each row made the pass half again as slow.
                    if which >= 0 and not filters[which, row]:
                        continue
                    if operand >= 0 and operands[operand, row] == NULL:
                        continue
                    picked[m] = row
                    m += 1
                if m == 0:
                    continue
                # (4) at most max_rows of them; (5) clamped; (6) added
                at = table[c, START] + cell
                if kind == PEOPLE:
                    tally[at] += 1
                elif kind in (ROWS, COUNT):
                    tally[at] += min(m, max_rows)
                elif kind == SUM:
                    total = 0
                    for i in range(m):
                        total = clip(total + operands[operand, picked[i]], -SATURATION, SATURATION)
                    tally[at] += clip(total, table[c, LOW], table[c, HIGH])
                else:
                    m = keep_rows(picked, m, max_rows, row_digest, rows_key, keys, ordered)
                    if kind == BINS:
                        at = table[c, START] + cell * table[c, WIDTH]
                        for i in range(m):
                            tally[at + operands[operand, picked[i]]] += 1
                    else:
                        total = 0
                        for i in range(m):
                            value = clip(operands[operand, picked[i]] - table[c, CENTRE], table[c, LOW], table[c, HIGH])
                            total += value * value - table[c, OFFSET] if kind == SQUARES else value
                        tally[at] += total
        if across:
            n = 0
            for g in range(found):
                cell = order[first_of[g]] >> ROW_BITS
                if threshold == EVERY or cell_order(groups_key, person_digest[person], cell) <= threshold:
                    for i in range(first_of[g], first_of[g + 1]):
                        mine[n] = start + (order[i] & ROW_MASK)
                        n += 1
            count_across(
                mine, n, row_digest, cells, filters, operands, table, max_rows, rows_key, picked, keys, ordered, spare, tally
            )


count_chunk = compiled(_count_chunk)
