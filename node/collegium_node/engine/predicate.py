"""Filters in three-valued logic, as SQL has it: a row is kept where the filter is true, not where it is false or unknown.

`holds` and `fails` give the rows where a predicate is certainly true and certainly false; in neither it is unknown. Each is
defined by the other through `not`, and no third array is needed:

    holds(a and b) = holds(a) & holds(b)     fails(a and b) = fails(a) | fails(b)
    holds(a or b)  = holds(a) | holds(b)     fails(a or b)  = fails(a) & fails(b)
    holds(not a)   = fails(a)                fails(not a)   = holds(a)
"""

from __future__ import annotations

import operator
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from collegium.question import And, In, Not, Or, Predicate, Range, Unknown
from collegium_node.choice import NULL
from collegium_node.engine.columns import Rows

__all__ = ["fails", "holds"]

Booleans = NDArray[np.bool_]


def holds(predicate: Predicate, rows: Rows) -> Booleans:
    """bool[rows]: the predicate is true."""
    return _where(predicate, rows, true=True)


def fails(predicate: Predicate, rows: Rows) -> Booleans:
    """bool[rows]: the predicate is false."""
    return _where(predicate, rows, true=False)


def _where(predicate: Predicate, rows: Rows, *, true: bool) -> Booleans:
    if isinstance(predicate, Not):
        return _where(predicate.arg, rows, true=not true)
    if isinstance(predicate, And | Or):
        both = isinstance(predicate, And) == true
        terms = (_where(arg, rows, true=true) for arg in predicate.args)
        return reduce(operator.and_ if both else operator.or_, terms)
    if rows.is_number(predicate.column):
        return _number(predicate, rows, true)
    return _code(predicate, rows, true)


def _number(predicate: In | Range | Unknown, rows: Rows, true: bool) -> Booleans:
    values = rows.numbers(predicate.column)
    known: Booleans = values != NULL
    if isinstance(predicate, Unknown):
        return known ^ true
    inside = np.ones(len(rows), dtype=np.bool_)
    if isinstance(predicate, In):
        inside = np.isin(values, np.array(predicate.values, dtype=np.int64))
    else:
        if predicate.min is not None:
            inside &= values >= predicate.min
        if predicate.max is not None:
            inside &= values <= predicate.max
    return known & (inside ^ (not true))


def _code(predicate: In | Range | Unknown, rows: Rows, true: bool) -> Booleans:
    known = list(rows.schema.values(rows.dataset.columns[predicate.column]))
    answer = np.zeros(len(known) + 1, dtype=np.bool_)  # by code; unknown last
    if isinstance(predicate, Unknown):
        answer[-1 if true else slice(0, -1)] = True
    else:
        assert isinstance(predicate, In)  # a layout lets no range over codes through
        answer[:-1] = [(code in predicate.values) == true for code in known]
    found: Booleans = answer[rows.codes(predicate.column)]
    return found
