"""A condition as a ratio counts it: true or not, where SQL has a third value for nulls.

`SUM(CASE WHEN passed = 1 THEN 1 ELSE 0 END) / COUNT(*)` counts a row whose `passed` is null in the denominator and not in the
numerator. A `total` counts +1 and -1 and leaves out rows where the condition is unknown, so the condition it gets must never be.
"""

from __future__ import annotations

from collegium.question import And, In, Not, Or, Predicate, Range, Unknown, canonical_predicate

__all__ = ["is_true"]


def is_true(predicate: Predicate) -> Predicate:
    """`predicate IS TRUE`, canonical: the same rows, and false instead of unknown for all others."""
    return canonical_predicate(_when(predicate, True))


def _when(predicate: Predicate, wanted: bool) -> Predicate:
    """The rows in which the predicate is surely `wanted` (Kleene's logic), in terms that are never unknown."""
    if isinstance(predicate, Not):
        return _when(predicate.arg, not wanted)
    if isinstance(predicate, And | Or):
        terms = tuple(_when(arg, wanted) for arg in predicate.args)
        return And(args=terms) if isinstance(predicate, And) == wanted else Or(args=terms)
    assert isinstance(predicate, In | Range | Unknown)
    plain: Predicate = predicate if wanted else Not(arg=predicate)
    if isinstance(predicate, Unknown):
        return plain
    return And(args=(plain, Not(arg=Unknown(column=predicate.column))))
