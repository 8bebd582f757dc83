"""HAVING, ORDER BY and LIMIT: which rows of the finished table are shown. They look at its noisy figures and at nothing else.

A figure named here is one that SELECT shows: by its alias, its position, or written again. Asking for another would cost privacy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sqlglot import exp

from collegium.selection import MAX_TERMS, All, Compare, Condition, Either, Never, Order, Sign
from collegium.sql.components import Components
from collegium.sql.grammar import remedy
from collegium.sql.keys import Key, compile_key, is_key, key_of_name
from collegium.sql.measures import compile_measure
from collegium.sql.parse import Statement
from collegium.sql.predicates import flatten
from collegium.sql.values import is_literal, number
from collegium.view import Measure

__all__ = ["Chosen", "compile_chosen"]

MAX_ORDER = 16
MAX_DEPTH = 16

_SIGNS: dict[type[exp.Expr], tuple[Sign, Sign]] = {
    exp.LT: ("<", ">"), exp.LTE: ("<=", ">="), exp.GT: (">", "<"), exp.GTE: (">=", "<="), exp.EQ: ("=", "="), exp.NEQ: ("<>", "<>"),
}  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    having: Condition | None
    order: tuple[Order, ...] | None
    limit: int | None


def compile_chosen(statement: Statement, keys: Sequence[Key], measures: Sequence[Measure], components: Components) -> Chosen:
    """The selection of a statement. Raises Invalid with the place."""
    scope, source = components.scope, components.scope.source
    components.closed = True

    def figure(node: exp.Expr) -> int:
        """The measure of SELECT that a name, position or expression stands for."""
        bare = node
        while isinstance(bare, exp.Paren):
            bare = bare.this
        target = key_of_name(bare, statement.items, scope)
        if is_key(target):
            raise source.refuse(node, "this is a key, not a figure", "Put the condition into WHERE.")
        asked = compile_measure(target, "figure", components)
        for index, measure in enumerate(measures):
            if measure.model_copy(update={"label": "figure"}) == asked:
                if measure.kind in ("histogram", "regression"):
                    raise source.refuse(node, f"a {measure.kind} has many figures, and rows are chosen by one", remedy("having"))
                return index
        raise source.refuse(node, f"SELECT does not show {source.words(node)}", "Add it to SELECT.")

    having = None
    if statement.having is not None:
        if sum(isinstance(part, exp.Connector) for part in statement.having.walk()) >= MAX_TERMS:
            raise source.refuse(statement.having, f"HAVING has more than {MAX_TERMS} terms", "Use fewer.")
        having = _condition(statement.having, figure, components, 1)
    order = tuple(_order(node, statement, keys, figure, components) for node in statement.order)
    if len(order) > MAX_ORDER:
        raise source.refuse_word("ORDER", f"ORDER BY has more than {MAX_ORDER} terms", "Use fewer.")
    limit = _limit(statement, components)
    if limit is not None and not order:
        raise source.refuse_word("LIMIT", "LIMIT without ORDER BY would show rows by chance", remedy("limit"))
    return Chosen(having, order or None, limit)


def _condition(node: exp.Expr, figure: Callable[[exp.Expr], int], components: Components, depth: int) -> Condition:
    source = components.scope.source
    while isinstance(node, exp.Paren):
        node = node.this
    if depth > MAX_DEPTH:
        raise source.refuse(node, f"HAVING is nested deeper than {MAX_DEPTH}", "Write it flat, with AND and OR.")
    if isinstance(node, exp.And | exp.Or):
        kind = exp.And if isinstance(node, exp.And) else exp.Or
        args = tuple(_condition(term, figure, components, depth + 1) for term in flatten(node, kind))
        return All(args=args) if kind is exp.And else Either(args=args)
    if isinstance(node, exp.Not):
        return Never(arg=_condition(node.this, figure, components, depth + 1))
    if isinstance(node, exp.Between):
        source.only(node, "this", "low", "high")
        measure = figure(node.this)
        ends = (
            Compare(measure=measure, sign=s, value=_plain(node.args[e], components)) for s, e in ((">=", "low"), ("<=", "high"))
        )
        return All(args=tuple(ends))
    if type(node) in _SIGNS:
        left, right, (sign, mirrored) = node.this, node.expression, _SIGNS[type(node)]
        if is_literal(left) and not is_literal(right):
            left, right, sign = right, left, mirrored
        if not is_literal(right):
            raise source.refuse(node, "two figures are not compared here", remedy("difference"))
        return Compare(measure=figure(left), sign=sign, value=_plain(right, components))
    raise source.refuse_form(node, "condition on figures", "having")


def _plain(node: exp.Expr, components: Components) -> str:
    """The number as a decimal of at most 30 places, without exponent."""
    value = number(node, components.scope.source)
    scaled = value * Fraction(10) ** 30
    if scaled.denominator != 1 or abs(value) >= 10**30:
        raise components.scope.source.refuse(node, "this number is out of all proportion", "Write at most 30 digits.")
    digits = f"{abs(scaled.numerator):031d}"
    text = f"{digits[:-30]}.{digits[-30:]}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text


def _order(
    node: exp.Expr, statement: Statement, keys: Sequence[Key], figure: Callable[[exp.Expr], int], components: Components
) -> Order:
    scope, source = components.scope, components.scope.source
    inner: exp.Expr = node
    descending = False
    if isinstance(node, exp.Ordered):
        source.only(node, "this", "desc", "nulls_first")
        if node.args.get("nulls_first"):
            raise source.refuse(node, "figures that are not there come last", "Leave NULLS FIRST out.")
        inner, descending = node.this, bool(node.args.get("desc"))
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Literal) and not inner.this.isdigit():
        raise source.refuse(node, "a table is ordered by its columns", remedy("order"))
    target = key_of_name(inner, statement.items, scope, alias_first=True)
    if is_key(target):
        key = compile_key(target, scope)
        for other in keys:
            if other.same(key):
                return Order(key=other.name, descending=descending)
        raise source.refuse(inner, f"{source.words(inner)} is no key of the table", "Add it to SELECT and GROUP BY.")
    by_alias = key_of_name(inner, statement.items, scope) is inner  # the alias is a column's name too; elsewhere that goes first
    return Order(measure=figure(target if by_alias else inner), descending=descending)


def _limit(statement: Statement, components: Components) -> int | None:
    node = statement.limit
    if node is None:
        return None
    source = components.scope.source
    if not isinstance(node, exp.Limit):
        raise source.refuse_word("FETCH", "FETCH is not offered", remedy("limit"))
    source.only(node, "expression")
    value = node.expression
    if (
        not isinstance(value, exp.Literal)
        or value.is_string
        or not value.this.isdigit()
        or not 1 <= int(value.this[:8]) <= 1_000_000
        or len(value.this) > 7
    ):
        raise source.refuse(value, "LIMIT takes a whole number from 1 to 1,000,000", remedy("limit"))
    return int(value.this)
