"""Group keys: a column, public bins of a number, or a public fact; and the edges that bins and histograms share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from collegium.schema import Column
from collegium.sql.grammar import remedy
from collegium.sql.scope import Scope
from collegium.sql.values import exact_steps

__all__ = ["Key", "compile_key", "compile_keys", "is_key", "one_cell_each", "public_edges"]

MAX_VALUES = 1000  # cells of a whole number without edges
MAX_KEYS = 8


@dataclass(frozen=True, slots=True)
class Key:
    """One group key; `edges` in steps."""

    kind: Literal["column", "fact"]
    name: str
    edges: tuple[int, ...] | None = None


def is_key(node: exp.Expr) -> bool:
    """Has this the form of a key: a name, or bin(...)?"""
    return isinstance(node, exp.Column) or (isinstance(node, exp.Anonymous) and node.name.lower() == "bin")


def compile_key(node: exp.Expr, scope: Scope) -> Key:
    """The key of an expression. Raises Invalid for anything that is no key of this dataset."""
    source = scope.source
    if isinstance(node, exp.Column):
        if scope.fact(node) is not None:
            return Key("fact", scope.name(node))
        name, column = scope.column(node)
        one_cell_each(node, name, column, scope, "bin")
        return Key("column", name)
    if not is_key(node):
        raise source.refuse_form(node, "key", "key")
    source.only(node, "this", "expressions")
    if len(node.expressions) < 3:
        raise source.refuse(node, "bin needs a number and at least two edges", remedy("bin"))
    name, column = scope.column(node.expressions[0], "number", "bin")
    return Key("column", name, public_edges(node, name, column, node.expressions[1:], scope))


def compile_keys(group: Sequence[exp.Expr], items: Sequence[exp.Expr], scope: Scope) -> tuple[Key, ...]:
    """The keys of GROUP BY in their order. A number is the position of an item of SELECT."""
    source = scope.source
    keys: list[Key] = []
    for node in group:
        target = node
        if isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit() and len(node.this) < 5:
            position = int(node.this)
            if not 1 <= position <= len(items):
                raise source.refuse(node, f"SELECT has no item {position}", remedy("key"))
            target = items[position - 1]
            if not is_key(target):
                raise source.refuse(node, f"item {position} of SELECT is a measure, not a key", remedy("key"))
        key = compile_key(target, scope)
        if any(key.name == other.name for other in keys):
            raise source.refuse(node, f"{key.name} is a key twice", "Leave one out.")
        keys.append(key)
        if len(keys) > MAX_KEYS:
            raise source.refuse(node, f"there are more than {MAX_KEYS} keys", "Use fewer.")
    return tuple(keys)


def public_edges(
    node: exp.Expr, name: str, column: Column, nodes: Sequence[exp.Expr], scope: Scope, form: str = "bin"
) -> tuple[int, ...]:
    """Edges in steps. Raises Invalid unless they are multiples of the step, within the bounds and increasing."""
    source = scope.source
    if not column.is_number:
        raise source.refuse(node, f"{name} has codes, not numbers; it takes no edges", "Write the column alone.")
    if not 2 <= len(nodes) <= MAX_VALUES + 1:
        raise source.refuse(node, f"there are {len(nodes)} edges; from 2 to {MAX_VALUES + 1} are taken", remedy(form))
    edges = tuple(exact_steps(edge, name, column, source) for edge in nodes)
    for low, high, edge in zip(edges, edges[1:], nodes[1:], strict=False):
        if low >= high:
            raise source.refuse(edge, "the edges must increase", remedy(form))
    return edges


def one_cell_each(node: exp.Expr, name: str, column: Column, scope: Scope, form: str) -> None:
    """Refuses a number with too many values for a cell each; `form` is what takes edges instead."""
    if column.is_number and (column.type != "integer" or column.max_steps - column.min_steps >= MAX_VALUES):
        raise scope.source.refuse(node, f"{name} has too many values for a cell each", remedy(form))
