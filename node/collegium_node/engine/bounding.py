"""What bounds one person, compiled: the order of rows, the choice of the first few, the clip."""

from __future__ import annotations

from collegium_node.choice import Int64s, row_order
from collegium_node.compiled import compiled

__all__ = ["clip", "in_row_order", "keep_rows", "sort"]

SMALL = 24


def _sort(keys: Int64s, n: int) -> None:
    """keys[:n] in increasing order: insertion for few, heap sort otherwise, which has no bad case a person could provoke."""
    if n <= SMALL:
        for i in range(1, n):
            key = keys[i]
            j = i - 1
            while j >= 0 and keys[j] > key:
                keys[j + 1] = keys[j]
                j -= 1
            keys[j + 1] = key
        return
    sorted_already = True
    for i in range(1, n):
        if keys[i - 1] > keys[i]:
            sorted_already = False
            break
    if sorted_already:
        return
    root = n // 2
    end = n
    while end > 1:
        if root > 0:
            root -= 1
            key = keys[root]
        else:
            end -= 1
            key = keys[end]
            keys[end] = keys[0]
        hole = root
        child = 2 * hole + 1
        while child < end:
            if child + 1 < end and keys[child + 1] > keys[child]:
                child += 1
            if keys[child] <= key:
                break
            keys[hole] = keys[child]
            hole = child
            child = 2 * hole + 1
        keys[hole] = key


def _clip(value: int, low: int, high: int) -> int:
    if value < low:
        return low
    if value > high:
        return high
    return value


sort = compiled(_sort)
clip = compiled(_clip)


def _keep_rows(picked: Int64s, n: int, most: int, row_digest: Int64s, key: Int64s, keys: Int64s, ordered: Int64s) -> int:
    """Leave in picked[:most] the rows with the smallest order keys, equal keys in stored order. Returns how many are left."""
    if n <= most:
        return n
    for i in range(n):
        keys[i] = row_order(key, row_digest[picked[i]])
        ordered[i] = keys[i]
    sort(ordered, n)
    threshold = ordered[most - 1]
    ties = 0  # rows at the threshold that still fit
    for i in range(most):
        if ordered[i] == threshold:
            ties += 1
    kept = 0
    for i in range(n):
        if keys[i] == threshold and ties > 0:
            ties -= 1
        elif keys[i] >= threshold:
            continue
        picked[kept] = picked[i]
        kept += 1
    return kept


def _in_row_order(picked: Int64s, n: int, row_digest: Int64s, key: Int64s, keys: Int64s, ordered: Int64s, spare: Int64s) -> None:
    """picked[:n] by their order keys, smallest first; equal keys in the order in which they came. O(n log n) whatever the keys."""
    for i in range(n):
        keys[i] = row_order(key, row_digest[picked[i]])
        ordered[i] = keys[i]
    sort(ordered, n)
    for i in range(n):
        low, high = 0, n - 1
        while low < high:  # the first place of this key
            middle = (low + high) // 2
            if ordered[middle] < keys[i]:
                low = middle + 1
            else:
                high = middle
        keys[i] = low
    for i in range(n):
        ordered[i] = 0
    for i in range(n):  # ordered[place] counts the rows of one key that have been put down
        place = keys[i]
        spare[place + ordered[place]] = picked[i]
        ordered[place] += 1
    for i in range(n):
        picked[i] = spare[i]


keep_rows = compiled(_keep_rows)
in_row_order = compiled(_in_row_order)
