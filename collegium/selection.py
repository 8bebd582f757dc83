"""HAVING, ORDER BY and LIMIT: which rows of a finished table are shown, and in what order. Noisy figures decide, and nothing else.

Noise moves rows about, so what is chosen says how sure it is: a row whose interval reaches across a limit of HAVING is `unsure`,
a row of an ordered table has the best and the worst `rank` that the intervals leave it, and the selection counts the rows left
out by LIMIT whose intervals reach among those shown. Intervals are compared one by one: each holds its truth 95 % of the time.

    Condition   compare | and | or | not      three-valued: a figure that is not there fulfils nothing
    Order       one measure or one key, upwards or downwards; ties, and figures that are not there, in the order of the public lists
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cmp_to_key
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from collegium.table import Figure, Row, Selection

__all__ = ["All", "Compare", "Condition", "Either", "Never", "Order", "measures_of", "select"]

MAX_TERMS = 64

Index = Annotated[int, Field(ge=0, lt=64, strict=True)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Plain = Annotated[str, StringConstraints(pattern=r"^-?(0|[1-9][0-9]{0,29})(\.[0-9]{0,29}[1-9])?$")]
Sign = Literal["<", "<=", "=", "<>", ">=", ">"]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Compare(_Closed):
    """The value of a measure, in natural units, beside a number."""

    op: Literal["compare"] = "compare"
    measure: Index
    sign: Sign
    value: Plain


class All(_Closed):
    op: Literal["and"] = "and"
    args: Annotated[tuple[Condition, ...], Field(min_length=2, max_length=MAX_TERMS)]


class Either(_Closed):
    op: Literal["or"] = "or"
    args: Annotated[tuple[Condition, ...], Field(min_length=2, max_length=MAX_TERMS)]


class Never(_Closed):
    op: Literal["not"] = "not"
    arg: Condition


Condition = Annotated[Compare | All | Either | Never, Field(discriminator="op")]

All.model_rebuild()
Either.model_rebuild()
Never.model_rebuild()


class Order(_Closed):
    """One term of ORDER BY: a measure by its index, or a key (a group key or fact) by its name."""

    measure: Index | None = None
    key: Name | None = None
    descending: bool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.measure is None) == (self.key is None):
            raise ValueError("a table is ordered by a measure or by a key")
        return self


def measures_of(condition: Condition) -> list[int]:
    """The measures that a condition compares, each as often as it does."""
    if isinstance(condition, Compare):
        return [condition.measure]
    args = (condition.arg,) if isinstance(condition, Never) else condition.args
    return [measure for arg in args for measure in measures_of(arg)]


def select(
    rows: Sequence[Row],
    having: Condition | None,
    order: Sequence[Order],
    limit: int | None,
    place: Callable[[Row, str], int],
) -> tuple[list[Row], Selection]:
    """The rows to show, in their order, and how sure the choice is.

    Args:
        rows: all rows of the statement, in the order of the public lists.
        place: of a row on one key, counted along the public list.
    """
    kept: list[Row] = []
    for row in rows:
        if having is None or _holds(having, row):
            sure = having is None or _surely(having, row) is not None
            kept.append(row if having is None else row.model_copy(update={"unsure": not sure}))

    def before(one: tuple[int, Row], two: tuple[int, Row]) -> int:
        for term in order:
            found = _compare(term, one[1], two[1], place)
            if found:
                return found
        return one[0] - two[0]

    ordered = [row for _, row in sorted(enumerate(kept), key=cmp_to_key(before))]
    first = order[0] if order and order[0].measure is not None else None
    if first is not None:
        ordered = _ranked(ordered, first)
    shown = ordered if limit is None else ordered[:limit]
    contenders = None
    if first is not None and limit is not None:
        contenders = sum(row.rank is not None and row.rank[0] <= limit for row in ordered[limit:])
    return shown, Selection(of=len(rows), kept=len(kept), shown=len(shown), contenders=contenders)


_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, "=": operator.eq, "<>": operator.ne, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip


def _holds(condition: Condition, row: Row) -> bool:
    return _kleene(condition, lambda term: _by_value(term, row.figures[term.measure])) is True


def _surely(condition: Condition, row: Row) -> bool | None:
    """Whether it holds, or does not, wherever in their intervals the truths lie; None if that depends."""
    return _kleene(condition, lambda term: _by_interval(term, row.figures[term.measure]))


def _kleene(condition: Condition, leaf: Callable[[Compare], bool | None]) -> bool | None:
    if isinstance(condition, Compare):
        return leaf(condition)
    if isinstance(condition, Never):
        inner = _kleene(condition.arg, leaf)
        return None if inner is None else not inner
    stop = isinstance(condition, Either)
    found = [_kleene(arg, leaf) for arg in condition.args]
    return stop if stop in found else None if None in found else not stop


def _by_value(term: Compare, figure: Figure) -> bool | None:
    return None if figure.value is None else _SIGNS[term.sign](Decimal(figure.value), Decimal(term.value))


def _by_interval(term: Compare, figure: Figure) -> bool | None:
    if figure.value is None:
        return None
    low, high = _ends(figure)
    limit = Decimal(term.value)
    # Equality is monotone in no direction; for the rest the two ends decide for all that lies between them.
    if term.sign in ("=", "<>"):
        return (term.sign == "<>") if limit < low or limit > high else None if low < high else term.sign == "="
    at_low, at_high = (_SIGNS[term.sign](end, limit) for end in (low, high))
    return at_low if at_low == at_high else None


def _ends(figure: Figure) -> tuple[Decimal, Decimal]:
    low = Decimal("-Infinity") if figure.low is None else Decimal(figure.low)
    return low, Decimal("Infinity") if figure.high is None else Decimal(figure.high)


def _compare(term: Order, one: Row, two: Row, place: Callable[[Row, str], int]) -> int:
    if term.key is not None:
        found = place(one, term.key) - place(two, term.key)
    else:
        assert term.measure is not None
        a, b = one.figures[term.measure].value, two.figures[term.measure].value
        if a is None or b is None:  # what is not there comes last, whichever way
            return (a is None) - (b is None)
        x, y = Decimal(a), Decimal(b)
        found = (x > y) - (x < y)
    return -found if term.descending else found


def _ranked(rows: list[Row], term: Order) -> list[Row]:
    """The rows with the best and worst place that the intervals of the first measure leave each."""
    assert term.measure is not None
    figures = [row.figures[term.measure] for row in rows]
    ends = [_ends(figure) for figure in figures if figure.value is not None]
    result = []
    for row, figure in zip(rows, figures, strict=True):
        if figure.value is None:
            result.append(row)
            continue
        low, high = _ends(figure)
        above, below = sum(other[0] > high for other in ends), sum(other[1] < low for other in ends)
        ahead, behind = (above, below) if term.descending else (below, above)
        result.append(row.model_copy(update={"rank": (1 + ahead, len(ends) - behind)}))
    return result
