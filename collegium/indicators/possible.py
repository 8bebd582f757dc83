"""Cells that a condition leaves empty by its meaning: structural zeros, known before anything is measured.

Three-valued, as conditions are: a row is counted where its condition is true. Terms are looked at one by one, so that a cell is
called empty only when it certainly is.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from collegium.question import And, In, Not, Or, Predicate, Range, Unknown

__all__ = ["can_hold"]

Truth = bool | None
Code = str | int | None
_ANY: frozenset[Truth] = frozenset((True, False, None))


def can_hold(predicate: Predicate, cell: Mapping[str, Code]) -> bool:
    """Whether a row with these codes (numbers in steps; None is the cell `unknown`) can fulfil the condition."""
    return True in _truths(predicate, cell)


def _truths(predicate: Predicate, cell: Mapping[str, Code]) -> frozenset[Truth]:
    if isinstance(predicate, Not):
        return frozenset(None if truth is None else not truth for truth in _truths(predicate.arg, cell))
    if isinstance(predicate, And | Or):
        found: frozenset[Truth] = frozenset((isinstance(predicate, And),))
        for arg in predicate.args:
            join = _and if isinstance(predicate, And) else _or
            found = frozenset(join(one, other) for one, other in product(found, _truths(arg, cell)))
        return found
    if predicate.column not in cell:
        return frozenset((True, False)) if isinstance(predicate, Unknown) else _ANY
    value = cell[predicate.column]
    if isinstance(predicate, Unknown):
        return frozenset((value is None,))
    if value is None:
        return frozenset((None,))
    if isinstance(predicate, In):
        return frozenset((value in predicate.values,))
    return frozenset((_within(value, predicate),))


def _within(value: str | int, range_: Range) -> bool:
    assert isinstance(value, int)
    return (range_.min is None or value >= range_.min) and (range_.max is None or value <= range_.max)


def _and(one: Truth, other: Truth) -> Truth:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _or(one: Truth, other: Truth) -> Truth:
    if one is True or other is True:
        return True
    return None if one is None or other is None else False
