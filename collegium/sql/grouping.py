"""GROUP BY: the keys in their order, and with GROUPING SETS, CUBE or ROLLUP the sets of keys that the table has rows for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from sqlglot import exp

from collegium.sql.grammar import remedy
from collegium.sql.keys import Key, compile_key, is_key, key_of_name
from collegium.sql.scope import Scope
from collegium.view import MAX_SETS

__all__ = ["Grouping", "compile_grouping"]

MAX_KEYS = 8

Names = tuple[str, ...]


@dataclass(frozen=True)
class Grouping:
    """`nodes` is where each key stands in the text; `sets` has the names of column keys, None without GROUPING SETS."""

    keys: tuple[Key, ...]
    nodes: tuple[exp.Expr, ...]
    sets: tuple[Names, ...] | None


def compile_grouping(group: Sequence[exp.Expr], items: Sequence[exp.Expr], scope: Scope) -> Grouping:
    """The keys of GROUP BY. A number is the position of an item of SELECT, a name may be its alias."""
    source = scope.source
    keys: list[Key] = []
    nodes: list[exp.Expr] = []

    def add(node: exp.Expr, *, again: bool) -> str:
        while isinstance(node, exp.Paren):
            node = node.this
        target = key_of_name(node, items, scope)
        if target is not node and not is_key(target):
            words = f"item {node.this} of SELECT" if isinstance(node, exp.Literal) else source.words(node)
            raise source.refuse(node, f"{words} is a measure, not a key", remedy("key"))
        key = compile_key(target, scope)
        for other in keys:
            if other.same(key) and again:
                return other.name
            if other.same(key) or (other.name == key.name and key.kind != "case"):
                words = key.name if key.kind != "case" else "this CASE"
                raise source.refuse(node, f"{words} is a key twice", "Leave one out.")
        if key.kind == "case":
            key = replace(key, name=f"case{1 + sum(other.kind == 'case' for other in keys)}")
        if again and key.kind == "fact":
            raise source.refuse(node, f"{key.name} is a fact of universities, whose total is always shown", "Name it outside.")
        keys.append(key)
        nodes.append(node)
        if len(keys) > MAX_KEYS:
            raise source.refuse(node, f"there are more than {MAX_KEYS} keys", "Use fewer.")
        return key.name

    factors: list[list[Names]] = []
    for node in group:
        if isinstance(node, exp.Cube | exp.Rollup | exp.GroupingSets):
            factors.append(_sets(node, lambda inner: add(inner, again=True), scope))
        else:
            name = add(node, again=False)
            factors.append([(name,)])
    sets = None
    if any(isinstance(node, exp.Cube | exp.Rollup | exp.GroupingSets) for node in group):
        columns = [key.name for key in keys if key.kind != "fact"]
        found: dict[Names, None] = {(): None}
        for factor in factors:
            found = {tuple(name for name in columns if name in one or name in other): None for one in found for other in factor}
            if len(found) > MAX_SETS:
                raise source.refuse_word("GROUP", f"there are more than {MAX_SETS} grouping sets", "Use fewer keys.")
        sets = tuple(found)
    return Grouping(tuple(keys), tuple(nodes), sets)


def _sets(node: exp.Expr, add: object, scope: Scope) -> list[Names]:
    """The sets of one CUBE, ROLLUP or GROUPING SETS, each with the names of its keys."""
    assert callable(add)
    scope.source.only(node, "expressions")
    if not node.expressions:
        raise scope.source.refuse(node, "there is no key", remedy("sets"))
    if isinstance(node, exp.GroupingSets):
        return [tuple(str(add(inner)) for inner in _members(part, scope)) for part in node.expressions]
    each = [tuple(str(add(inner)) for inner in _members(part, scope)) for part in node.expressions]
    if isinstance(node, exp.Rollup):
        return [tuple(name for names in each[:size] for name in names) for size in range(len(each), -1, -1)]
    if len(each) > MAX_KEYS:
        raise scope.source.refuse(node, f"there are more than {MAX_KEYS} keys", "Use fewer.")
    sizes = range(len(each), -1, -1)
    return [tuple(name for names in some for name in names) for size in sizes for some in combinations(each, size)]


def _members(part: exp.Expr, scope: Scope) -> list[exp.Expr]:
    if isinstance(part, exp.Tuple):
        return list(part.expressions)
    if isinstance(part, exp.Cube | exp.Rollup | exp.GroupingSets):
        raise scope.source.refuse(part, "grouping sets are not nested", remedy("sets"))
    return [part]
