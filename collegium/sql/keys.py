"""Group keys: a column, public bins of a number, cases of CASE, or a public fact; and the edges that bins and histograms share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlglot import exp

from collegium.question import MAX_CASES, Or, Predicate, canonical_predicate
from collegium.schema import UNKNOWN, Column
from collegium.sql.grammar import remedy
from collegium.sql.predicates import compile_predicate
from collegium.sql.scope import Scope
from collegium.sql.values import exact_steps

__all__ = ["Key", "compile_key", "is_key", "key_of_name", "one_cell_each", "public_edges", "unaliased"]

MAX_VALUES = 1000  # cells of a whole number without edges


@dataclass(frozen=True, slots=True)
class Key:
    """One group key. `edges` in steps; `cases` with their `labels`, of which the last is that of all other rows."""

    kind: Literal["column", "fact", "case"]
    name: str
    edges: tuple[int, ...] | None = None
    cases: tuple[Predicate, ...] | None = None
    labels: tuple[str, ...] | None = None

    def same(self, other: Key) -> bool:
        """Are these one key? Cases have no name before they have a place among the keys."""
        return replace(self, name="") == replace(other, name="") if self.kind == "case" else self == other


def is_key(node: exp.Expr) -> bool:
    """Has this the form of a key: a name, bin(...), or CASE?"""
    return isinstance(node, exp.Column | exp.Case) or (isinstance(node, exp.Anonymous) and node.name.lower() == "bin")


def unaliased(item: exp.Expr) -> tuple[exp.Expr, exp.Identifier | None]:
    """An item of SELECT and its alias."""
    if isinstance(item, exp.Alias) and isinstance(item.args.get("alias"), exp.Identifier):
        return item.this, item.args["alias"]
    return item, None


def key_of_name(node: exp.Expr, items: Sequence[exp.Expr], scope: Scope, *, alias_first: bool = False) -> exp.Expr:
    """The item of SELECT that a name or position in GROUP BY (or ORDER BY) stands for; the node itself if it is neither.

    A column of the dataset goes before an alias of the same name, as in SQL; in ORDER BY the alias goes first, as in SQL.
    """
    if isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit() and len(node.this) < 5:
        position = int(node.this)
        if not 1 <= position <= len(items):
            raise scope.source.refuse(node, f"SELECT has no item {position}", remedy("key"))
        return unaliased(items[position - 1])[0]
    if isinstance(node, exp.Column) and not node.table and isinstance(node.this, exp.Identifier):
        name = scope.name(node)
        if alias_first or (name not in scope.dataset.columns and name not in scope.schema.facts):
            for item in items:
                inner, alias = unaliased(item)
                if alias is not None and " ".join(alias.name.split()).lower() == name:
                    return inner
    return node


def compile_key(node: exp.Expr, scope: Scope) -> Key:
    """The key of an expression. Raises Invalid for anything that is no key of this dataset."""
    source = scope.source
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Column):
        if scope.fact(node) is not None:
            return Key("fact", scope.name(node))
        name, column = scope.column(node)
        one_cell_each(node, name, column, scope, "bin")
        return Key("column", name)
    if isinstance(node, exp.Case):
        return _cases(node, scope)
    if not is_key(node):
        raise source.refuse_form(node, "key", "key")
    source.only(node, "this", "expressions")
    if len(node.expressions) < 3:
        raise source.refuse(node, "bin needs a number and at least two edges", remedy("bin"))
    name, column = scope.column(node.expressions[0], "number", "bin")
    return Key("column", name, public_edges(node, name, column, node.expressions[1:], scope))


def _cases(node: exp.Case, scope: Scope) -> Key:
    """CASE WHEN condition THEN 'label' ... [ELSE 'label'] END, also with a column after CASE.

    Neighbours with one label are one cell, and so are the last ones with the label of ELSE. The same label further apart would be
    a cell that is no run of conditions, and is refused.
    """
    source = scope.source
    cases: list[tuple[str, Predicate]] = []
    for branch in node.args.get("ifs") or ():
        when, then = branch.this, branch.args.get("true")
        if node.this is not None:
            when = exp.EQ(this=node.this.copy(), expression=when.copy())
            when.parent = branch
        label = _label(then, branch, scope)
        predicate = compile_predicate(when, scope)
        if cases and cases[-1][0] == label:
            predicate = canonical_predicate(Or(args=(cases.pop()[1], predicate)))
        elif any(label == other for other, _ in cases):
            raise source.refuse(then, f"the label {label!r} stands apart from its like", "Write one WHEN with OR.")
        cases.append((label, predicate))
    default = node.args.get("default")
    rest = UNKNOWN if default is None or isinstance(default, exp.Null) else _label(default, node, scope)
    while len(cases) > 1 and cases[-1][0] == rest:
        cases.pop()
    if any(label == rest for label, _ in cases):
        raise source.refuse(node, f"the label {rest!r} stands apart from its like", "Write one WHEN with OR.")
    if not 1 <= len(cases) <= MAX_CASES:
        raise source.refuse(node, f"there are {len(cases)} cases; from 1 to {MAX_CASES} are taken", remedy("case"))
    return Key("case", "case", cases=tuple(p for _, p in cases), labels=(*(label for label, _ in cases), rest))


def _label(node: exp.Expr | None, around: exp.Expr, scope: Scope) -> str:
    if not isinstance(node, exp.Literal):
        raise scope.source.refuse(node if node is not None else around, "THEN and ELSE give a text here", remedy("case"))
    label = " ".join(str(node.this).split())
    if not 1 <= len(label) <= 64 or any(ord(sign) < 32 or ord(sign) == 127 for sign in label):
        raise scope.source.refuse(node, "a label has 1 to 64 characters", remedy("case"))
    return label


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
