"""Conditions: from SQL expressions to the closed predicates of the question model, with SQL's three-valued logic unchanged.

A comparison with a value between two steps becomes the nearest whole step on the right side: `gpa > 3.575` at step 0.01 is
`gpa >= 3.58`. Values beyond the public bounds become the bound's neighbour, where the meaning is the same and the digest too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from sqlglot import exp

from collegium.errors import Invalid
from collegium.question import MAX_DEPTH, MAX_TERMS, And, In, Not, Or, Predicate, Range, Unknown, canonical_predicate
from collegium.schema import Column
from collegium.sql.grammar import remedy
from collegium.sql.scope import Scope
from collegium.sql.values import code, exact_steps, flag, is_literal, number

__all__ = ["both", "compile_predicate", "flatten"]

_MIRROR: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.EQ, exp.NEQ: exp.NEQ, exp.LT: exp.GT, exp.GT: exp.LT, exp.LTE: exp.GTE, exp.GTE: exp.LTE,
}  # fmt: skip

# The whole steps that fulfil a comparison with the exact value v: (lowest, highest).
_RANGES: dict[type[exp.Expr], Callable[[Fraction], tuple[int | None, int | None]]] = {
    exp.LT: lambda v: (None, math.ceil(v) - 1),
    exp.LTE: lambda v: (None, math.floor(v)),
    exp.GT: lambda v: (math.floor(v) + 1, None),
    exp.GTE: lambda v: (math.ceil(v), None),
}


def compile_predicate(node: exp.Expr, scope: Scope) -> Predicate:
    """The canonical predicate of a condition on rows. Raises Invalid with the place of what it may not contain."""
    if sum(isinstance(part, exp.Connector) for part in node.walk()) >= MAX_TERMS:
        raise _too_many(node, scope)
    return _within_limits(canonical_predicate(_condition(node, scope)), node, scope)


def both(first: Predicate | None, second: Predicate | None, node: exp.Expr, scope: Scope) -> Predicate | None:
    """Both conditions, canonical; None is no condition. Raises Invalid at `node` when together they are too large."""
    if first is None or second is None:
        return first or second
    if _measure(first)[1] + _measure(second)[1] >= MAX_TERMS:
        raise _too_many(node, scope)
    return _within_limits(canonical_predicate(And(args=(first, second))), node, scope)


def _within_limits(predicate: Predicate, node: exp.Expr, scope: Scope) -> Predicate:
    depth, size = _measure(predicate)
    if depth > MAX_DEPTH:
        raise scope.source.refuse(node, f"the condition is nested deeper than {MAX_DEPTH}", "Write it flat, with AND, OR and IN.")
    if size > MAX_TERMS:
        raise _too_many(node, scope)
    return predicate


def _too_many(node: exp.Expr, scope: Scope) -> Invalid:
    return scope.source.refuse(node, f"the condition has more than {MAX_TERMS} terms", remedy("in"))


def flatten(node: exp.Expr, *kinds: type[exp.Expr]) -> list[exp.Expr]:
    """The terms of a chain of AND (or OR), from left to right, through parentheses. Not recursive: chains are deep on the left."""
    terms: list[exp.Expr] = []
    waiting = [node]
    while waiting:
        current = waiting.pop()
        while isinstance(current, exp.Paren):
            current = current.this
        if isinstance(current, kinds):
            waiting += [current.expression, current.this]
        else:
            terms.append(current)
    return terms


def _condition(node: exp.Expr, scope: Scope) -> Predicate:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.And):
        return And(args=tuple(_condition(term, scope) for term in flatten(node, exp.And)))
    if isinstance(node, exp.Or):
        return Or(args=tuple(_condition(term, scope) for term in flatten(node, exp.Or)))
    if isinstance(node, exp.Not):
        return Not(arg=_condition(node.this, scope))
    if isinstance(node, exp.Column):
        name, column = scope.column(node)
        if column.type != "boolean":
            raise scope.source.refuse(node, f"{name} alone is no condition: it is not boolean", remedy(_form(column)))
        return In(column=name, values=("1",))
    if isinstance(node, exp.Is):
        return _is(node, scope)
    if isinstance(node, exp.In):
        return _in(node, scope)
    if isinstance(node, exp.Between):
        return _between(node, scope)
    if type(node) in _MIRROR:
        return _comparison(node, scope)
    if is_literal(node):
        raise scope.source.refuse(node, "a condition is about a column", "Leave it out, or compare a column with it.")
    if isinstance(node, exp.Case):
        raise scope.source.refuse(node, "CASE makes keys, not conditions", remedy("logic"))
    raise scope.source.refuse_form(node, "condition", "logic")


def _comparison(node: exp.Expr, scope: Scope) -> Predicate:
    left, right, kind = node.this, node.expression, type(node)
    if is_literal(left) and not is_literal(right):
        left, right, kind = right, left, _MIRROR[kind]
    if not is_literal(right) and isinstance(left, exp.Column) and isinstance(right, exp.Column):
        raise scope.source.refuse(node, "two columns cannot be compared", remedy("compare"))
    if is_literal(left):
        raise scope.source.refuse(node, "a condition is about a column", "Leave it out.")
    name, column = scope.column(_bare(left), "column, and nothing is computed from columns", "compare")
    if kind in _RANGES:
        if not column.is_number:
            raise scope.source.refuse(node, f"{name} has codes, and codes have no order", remedy(_form(column)))
        low, high = _RANGES[kind](number(right, scope.source) / Fraction(column.step))
        return _range(name, column, low, high)
    equal = In(column=name, values=(_value(right, name, column, scope),))
    return equal if kind is exp.EQ else Not(arg=equal)


def _in(node: exp.In, scope: Scope) -> Predicate:
    query = node.args.get("query")
    if query is not None:
        raise scope.source.refuse(query, "a condition is about the same row", remedy("in"))
    scope.source.only(node, "this", "expressions")
    name, column = scope.column(_bare(node.this), "column", "in")
    if not node.expressions:
        raise scope.source.refuse(node, "the list is empty", remedy("in" if column.is_number else "code"))
    if len(node.expressions) > 1000:
        raise scope.source.refuse(node, "the list has more than 1000 values", remedy("between"))
    for item in node.expressions:
        if isinstance(item, exp.Null):
            raise scope.source.refuse(
                node, "NULL in a list equals nothing, and makes NOT IN true for no row", f"Write OR {name} IS NULL."
            )
    return In(column=name, values=tuple(_value(item, name, column, scope) for item in node.expressions))


def _between(node: exp.Between, scope: Scope) -> Predicate:
    scope.source.only(node, "this", "low", "high")
    name, column = scope.column(_bare(node.this), "column, and nothing is computed from columns", "between")
    if not column.is_number:
        raise scope.source.refuse(node, f"{name} has codes, and codes have no order", remedy(_form(column)))
    step = Fraction(column.step)
    low, high = (number(node.args[end], scope.source) / step for end in ("low", "high"))
    if math.ceil(low) > math.floor(high):
        then = "Write the lower value first." if low > high else f"It has steps of {column.step}."
        raise scope.source.refuse(node, f"no value of {name} lies between these", then)
    return _range(name, column, math.ceil(low), math.floor(high))


def _is(node: exp.Is, scope: Scope) -> Predicate:
    name, column = scope.column(_bare(node.this), "column", "null")
    if isinstance(node.expression, exp.Null):
        return Unknown(column=name)
    if isinstance(node.expression, exp.Boolean) and column.type == "boolean":
        # x IS TRUE is false, not unknown, for a null: true only where x is known.
        return And(args=(In(column=name, values=(flag(node.expression, name, scope.source),)), Not(arg=Unknown(column=name))))
    raise scope.source.refuse(node, "IS takes NULL, or TRUE and FALSE for a boolean column", remedy("null"))


def _value(node: exp.Expr, name: str, column: Column, scope: Scope) -> str | int:
    if column.is_number:
        return exact_steps(node, name, column, scope.source)
    if column.type == "boolean":
        return flag(node, name, scope.source)
    return code(node, name, scope.schema.values(column), scope.source)


def _range(name: str, column: Column, low: int | None, high: int | None) -> Range:
    """A range with its ends brought to at most one step outside the bounds, where no value of the column lies."""

    def within(end: int | None) -> int | None:
        return None if end is None else min(max(end, column.min_steps - 1), column.max_steps + 1)

    return Range(column=name, min=within(low), max=within(high))


def _form(column: Column) -> str:
    """The form of a comparison with the column."""
    return "compare" if column.is_number else "boolean" if column.type == "boolean" else "code"


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _measure(predicate: Predicate) -> tuple[int, int]:
    """Depth and number of terms, as the question model counts them."""
    if isinstance(predicate, Not):
        depth, size = _measure(predicate.arg)
        return depth + 1, size + 1
    if isinstance(predicate, And | Or):
        inner = [_measure(arg) for arg in predicate.args]
        return 1 + max(depth for depth, _ in inner), 1 + sum(size for _, size in inner)
    return 1, 1
