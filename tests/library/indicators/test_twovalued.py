"""A ratio's condition is true or not, for every row; and true for the same rows as before."""

from __future__ import annotations

from itertools import product

import pytest

from collegium.indicators.twovalued import is_true
from collegium.question import And, In, Not, Or, Predicate, Range, Unknown

A, B = In(column="a", values=("1",)), Range(column="b", min=5)
KNOWN = Not(arg=Unknown(column="b"))


def value(predicate: Predicate, a: str | None, b: int | None) -> bool | None:
    """SQL's three-valued logic, written out; None is unknown."""
    if isinstance(predicate, And | Or):
        parts = [value(arg, a, b) for arg in predicate.args]
        sure = isinstance(predicate, Or)
        return sure if sure in parts else None if None in parts else not sure
    if isinstance(predicate, Not):
        inner = value(predicate.arg, a, b)
        return None if inner is None else not inner
    if isinstance(predicate, Unknown):
        return {"a": a, "b": b}[predicate.column] is None
    if isinstance(predicate, In):
        return None if a is None else a in predicate.values
    return None if b is None else b >= (predicate.min or 0)


@pytest.mark.parametrize(
    "predicate",
    [
        A,
        Not(arg=A),
        And(args=(A, B)),
        Or(args=(A, B)),
        Not(arg=And(args=(A, Not(arg=B)))),
        Not(arg=Or(args=(A, B))),
        And(args=(Or(args=(A, KNOWN)), Not(arg=Not(arg=B)))),
        Unknown(column="a"),
        Not(arg=Or(args=(Unknown(column="a"), And(args=(B, Not(arg=A)))))),
    ],
    ids=lambda predicate: predicate.op,
)
def test_true_for_the_same_rows_and_never_unknown(predicate: Predicate) -> None:
    for a, b in product(("1", "2", None), (3, 7, None)):
        assert value(is_true(predicate), a, b) is (value(predicate, a, b) is True), (a, b)
