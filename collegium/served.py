"""Which columns a question looks at, and which of them a university does not serve.

A column to which a steward has mapped nothing holds `unknown` in every row. A question that names it is answered all the same: its
other cells are as good as any. What cannot be told from the figures is said beside them, signed: the release names the columns that
its snapshot does not serve, and a figure that rests on one of them counts the university as not covered instead of adding a zero.

What is served follows from the steward's configuration when the snapshot was made, never from a row.
"""

from __future__ import annotations

from collections.abc import Iterable

from collegium.question import Predicate, Question, columns_of

__all__ = ["absent_from", "columns_named"]


def columns_named(question: Question) -> set[str]:
    """The columns of the dataset that a question looks at: in its filters, keys and components."""
    named = {key.column for key in question.group if key.cases is None}
    conditions: list[Predicate | None] = [question.filter]
    for key in question.group:
        conditions += key.cases or ()
    for component in question.components:
        named |= {name for name in (component.column, component.other) if name is not None}
        conditions += (component.filter, component.condition)
    return named.union(*(columns_of(condition) for condition in conditions if condition is not None))


def absent_from(question: Question, absent: Iterable[str]) -> tuple[str, ...] | None:
    """Those of the columns that are not served which the question looks at, sorted; None when there is none."""
    return tuple(sorted(columns_named(question) & set(absent))) or None
