"""WHERE: conditions on rows go to the question, conditions on public facts choose the universities that are asked.

A fact is the same for all rows of a university, so the two part cleanly at the ANDs on top; under OR they would not.
"""

from __future__ import annotations

from sqlglot import exp

from collegium.question import Predicate
from collegium.sql.grammar import remedy
from collegium.sql.predicates import both, compile_predicate, flatten
from collegium.sql.scope import Scope
from collegium.sql.values import code

__all__ = ["split_where"]


def split_where(where: exp.Expr | None, scope: Scope) -> tuple[Predicate | None, dict[str, frozenset[str]] | None]:
    """The filter of the question, and for each fact the codes of the universities to ask (None: all).

    Raises:
        Invalid: a fact stands elsewhere than on its own or after AND, or no university can have what is asked.
    """
    if where is None:
        return None, None
    rows: list[exp.Expr] = []
    facts: dict[str, frozenset[str]] = {}
    for term in flatten(where, exp.And):
        if not any(scope.fact(part) is not None for part in term.find_all(exp.Column)):
            rows.append(term)
            continue
        name, codes = _fact_condition(term, scope)
        facts[name] = facts.get(name, codes) & codes
        if not facts[name]:
            raise scope.source.refuse(term, f"no university can fulfil these conditions on {name}", remedy("fact_filter"))
    predicate: Predicate | None = None
    if rows and not facts:
        predicate = compile_predicate(where, scope)
    else:
        for term in rows:
            predicate = both(predicate, compile_predicate(term, scope), term, scope)
    return predicate, facts or None


def _fact_condition(term: exp.Expr, scope: Scope) -> tuple[str, frozenset[str]]:
    """The fact and the codes that fulfil a condition on it alone."""
    negated = False
    inner = term
    while isinstance(inner, exp.Not | exp.Paren):
        negated ^= isinstance(inner, exp.Not)
        inner = inner.this
    if isinstance(inner, exp.EQ | exp.NEQ):
        negated ^= isinstance(inner, exp.NEQ)
        sides = [inner.this, inner.expression]
        if scope.fact(sides[0]) is None:
            sides.reverse()
        column, values = sides[0], sides[1:]
    elif isinstance(inner, exp.In) and not any(inner.args.get(part) for part in ("query", "unnest", "field", "is_global")):
        column, values = inner.this, inner.expressions
    else:
        column, values = None, []
    fact = scope.fact(column)
    if fact is None or not values:
        raise scope.source.refuse(
            term,
            "a fact of universities stands in WHERE on its own or after AND, compared with its codes",
            remedy("fact_filter"),
        )
    name = scope.name(column)
    known = scope.schema.codes[fact.codes]
    named = {code(value, name, known, scope.source) for value in values}
    return name, frozenset(known.keys() - named if negated else named)
