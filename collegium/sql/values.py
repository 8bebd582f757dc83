"""Literals: from what is written, in natural units, to codes and whole steps. Exact: fractions, never floats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from sqlglot import exp

from collegium.schema import Column, Text
from collegium.sql.grammar import remedy
from collegium.sql.source import Source, closest

__all__ = ["code", "exact_steps", "flag", "is_literal", "number"]

_NUMBER = re.compile(r"(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,2})?")


def is_literal(node: exp.Expr) -> bool:
    """A number, text, TRUE, FALSE or NULL, with a sign or parentheses at most."""
    while isinstance(node, exp.Paren | exp.Neg):
        node = node.this
    return isinstance(node, exp.Literal | exp.Boolean | exp.Null)


def number(node: exp.Expr, source: Source) -> Fraction:
    """The exact value of a number in natural units. Raises Invalid for anything else."""
    sign, inner = 1, node
    while isinstance(inner, exp.Paren | exp.Neg):
        sign, inner = (-sign if isinstance(inner, exp.Neg) else sign), inner.this
    if isinstance(inner, exp.Null):
        raise source.refuse(inner, "a comparison with NULL is never true", remedy("null"))
    if isinstance(inner, exp.Literal) and inner.is_string:
        raise source.refuse(node, f"{inner.this!r} is a text and the column has numbers", "Write the number without quotes.")
    if not isinstance(inner, exp.Literal):
        raise source.refuse_form(inner, "number", "compare")
    if not _NUMBER.fullmatch(inner.this):
        raise source.refuse(node, "this number cannot be read", "Write at most 30 digits, such as 3.57.")
    return sign * Fraction(inner.this)


def exact_steps(node: exp.Expr, name: str, column: Column, source: Source) -> int:
    """The number in steps of its column; it must be a multiple of the step and lie within the public bounds."""
    value = number(node, source)
    steps = value / Fraction(column.step)
    if steps.denominator != 1:
        below = column.decode(steps.numerator // steps.denominator)
        raise source.refuse(
            node,
            f"{name} has steps of {_plain(column.step)}, so no value of it is {source.words(node)}",
            f"Write {_plain(below)} or {_plain(below + column.step)}.",
        )
    if not column.min_steps <= steps.numerator <= column.max_steps:
        assert column.min is not None
        assert column.max is not None
        raise source.refuse(
            node,
            f"{source.words(node)} lies outside the public bounds of {name}",
            f"They are {_plain(column.min)} to {_plain(column.max)}.",
        )
    return steps.numerator


def code(node: exp.Expr, name: str, codes: Mapping[str, Text], source: Source) -> str:
    """A code of the public list. A label or a near miss is answered with the code that was probably meant."""
    inner = node.unnest() if isinstance(node, exp.Paren) else node
    if isinstance(inner, exp.Null):
        raise source.refuse(inner, "a comparison with NULL is never true", remedy("null"))
    if not isinstance(inner, exp.Literal):
        if isinstance(inner, exp.Column):
            raise source.refuse(node, f"{name} is compared with its codes only", _codes(codes))
        raise source.refuse_form(inner, f"code of {name}", "code")
    value = str(inner.this)
    if not inner.is_string:
        meant = next((known for known in codes if known.lstrip("0") == value.lstrip("0")), "")
        raise source.refuse(node, f"{name} has codes, which are texts", f"Write '{meant}'." if meant else _codes(codes))
    if value in codes:
        return value
    by_label = [known for known, text in codes.items() if value.lower() in (text.en.lower(), text.zh)]
    near = by_label[0] if by_label else closest(value, codes)
    if near:
        raise source.refuse(node, f"{value!r} is no code of {name}", f"Did you mean '{near}' ({codes[near].en})?")
    raise source.refuse(node, f"{value!r} is no code of {name}", _codes(codes))


def flag(node: exp.Expr, name: str, source: Source) -> str:
    """The code of a boolean: TRUE, 1 and '1' are "1"; FALSE, 0 and '0' are "0"."""
    inner = node.unnest() if isinstance(node, exp.Paren) else node
    if isinstance(inner, exp.Null):
        raise source.refuse(inner, "a comparison with NULL is never true", remedy("null"))
    if isinstance(inner, exp.Boolean):
        return "1" if inner.this else "0"
    if isinstance(inner, exp.Literal) and inner.this in ("0", "1"):
        return str(inner.this)
    raise source.refuse(node, f"{name} is true or false", remedy("boolean"))


def _codes(codes: Mapping[str, Text]) -> str:
    shown = list(codes)[:20]
    return f"Its codes are: {', '.join(shown)}{', …' if len(codes) > len(shown) else ''}."


def _plain(value: Decimal) -> str:
    """Without exponent or needless zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
