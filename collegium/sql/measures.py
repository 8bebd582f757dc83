"""Measures: one item of SELECT becomes components of the question and a measure of the view.

Functions are told apart by their name in the text, not by sqlglot's classes alone: sqlglot reads VAR_SAMP and VARIANCE as one.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from collegium.errors import Invalid
from collegium.question import Not, Predicate, Unknown
from collegium.sql.components import Components
from collegium.sql.grammar import FUNCTIONS, NODES, remedy
from collegium.sql.keys import one_cell_each, public_edges
from collegium.sql.predicates import both, compile_predicate
from collegium.sql.source import closest
from collegium.view import Kind, Measure

__all__ = ["compile_measure"]

_Shape = tuple[Kind, tuple[int, ...], str | None]  # kind, components, column
_Args = list[exp.Expr]
_Maker = Callable[[exp.Expr, _Args, Predicate | None, Components], _Shape]


def compile_measure(node: exp.Expr, label: str, components: Components) -> Measure:
    """The measure of an item of SELECT; its components are added. Raises Invalid with the place of what is no measure."""
    inner = _bare(node)
    if isinstance(inner, exp.Div):
        sides = (_numerator(inner.this), _bare(inner.expression))
        parts = tuple(_figure(side, components) for side in sides)
        if parts[0] == parts[1]:
            raise components.scope.source.refuse(inner, "numerator and denominator are the same", remedy("ratio"))
        return Measure(label=label, kind="ratio", parts=parts)
    kind, parts, column = _aggregate(inner, components)
    return Measure(label=label, kind=kind, parts=parts, column=column)


def _numerator(node: exp.Expr) -> exp.Expr:
    """The figure of `1.0 * figure` and `figure * 1.0`, which people write so that SQL does not divide whole numbers."""
    node = _bare(node)
    if isinstance(node, exp.Mul):
        for one, figure in ((node.this, node.expression), (node.expression, node.this)):
            if isinstance(one, exp.Literal) and not one.is_string and one.this in ("1", "1.", "1.0"):
                return _bare(figure)
    return node


def _figure(node: exp.Expr, components: Components) -> int:
    kind, parts, _ = _aggregate(node, components, "ratio")
    if kind != "value":
        raise components.scope.source.refuse(node, "a ratio is made of counts and sums", remedy("ratio"))
    return parts[0]


def _aggregate(node: exp.Expr, components: Components, otherwise: str = "rows") -> _Shape:
    """An aggregate with or without FILTER; `otherwise` is the form to propose for what is none."""
    scope = components.scope
    narrowed: Predicate | None = None
    if isinstance(node, exp.Filter):
        where = node.expression
        if not isinstance(where, exp.Where):
            raise scope.source.refuse_form(node, "measure", "filter")
        narrowed = compile_predicate(where.this, scope)
        node = node.this
    name = scope.source.function_name(node) if isinstance(node, exp.Func) else ""
    if name not in _MAKERS or type(node) is not _MAKERS[name][0]:
        raise _no_measure(node, name, components, otherwise)
    if isinstance(node, exp.Anonymous):
        scope.source.only(node, "this", "expressions")
        args = list(node.expressions)
    else:
        scope.source.only(node, "this", "expressions", "big_int")
        args = [part for part in (node.this, *node.expressions) if part is not None]
    if not args or (len(args) > 1 and name != "HISTOGRAM"):
        raise scope.source.refuse(node, f"{name} takes one argument", remedy(_MAKERS[name][2]))
    return _MAKERS[name][1](node, args, narrowed, components)


def _count(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    scope, arg = components.scope, _bare(args[0])
    if isinstance(arg, exp.Star):
        scope.source.only(arg)
        return "value", (components.add(node, "rows", filter=narrowed),), None
    if isinstance(arg, exp.Distinct):
        scope.source.only(arg, "expressions")
        if arg.expressions and isinstance(arg.expressions[0], exp.Case):
            raise scope.source.refuse(arg.expressions[0], "CASE is not offered", remedy("filter"))
        if len(arg.expressions) != 1 or not scope.is_person(arg.expressions[0]):
            raise scope.source.refuse(node, "only persons are counted distinct", f"Write COUNT(DISTINCT {scope.dataset.person}).")
        return "value", (components.add(node, "people", filter=narrowed),), None
    if _is_condition(arg):
        raise scope.source.refuse(node, "COUNT(condition) would count the false ones too", remedy("rows_if"))
    name, column = scope.column(arg, "column", "present")
    if column.is_number:
        return "value", (components.add(node, "count", column=name, filter=narrowed),), name
    present = both(narrowed, Not(arg=Unknown(column=name)), node, scope)
    return "value", (components.add(node, "rows", filter=present),), None


def _count_if(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    condition = both(narrowed, compile_predicate(args[0], components.scope), args[0], components.scope)
    return "value", (components.add(node, "rows", filter=condition),), None


def _sum(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    if _is_condition(_bare(args[0])) or _is_boolean(args[0], components):
        raise components.scope.source.refuse(node, "a condition is counted, not summed", remedy("rows_if"))
    name = _number(node, args[0], "sum", components)
    return "value", (components.add(node, "sum", column=name, filter=narrowed),), name


def _share(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    condition = compile_predicate(args[0], components.scope)
    parts = tuple(components.add(node, kind, condition=condition, filter=narrowed) for kind in ("count", "total"))
    return "share", parts, None


def _mean(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    if _is_condition(_bare(args[0])) or _is_boolean(args[0], components):
        return _share(node, args, narrowed, components)
    name = _number(node, args[0], "mean", components)
    return "mean", tuple(components.add(node, kind, column=name, filter=narrowed) for kind in ("count", "total")), name


def _variance(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    name = _number(node, args[0], "variance", components)
    parts = tuple(components.add(node, kind, column=name, filter=narrowed) for kind in ("count", "total", "squares"))
    return "variance", parts, name


def _stddev(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    return "stddev", *_variance(node, args, narrowed, components)[1:]


def _histogram(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    name, column = components.scope.column(args[0], "column", "histogram")
    edges = None
    if len(args) > 1:
        edges = public_edges(node, name, column, args[1:], components.scope, "histogram")
    else:
        one_cell_each(node, name, column, components.scope, "histogram")
    return "histogram", (components.add(node, "bins", column=name, filter=narrowed, edges=edges),), name


# Name in the text: the class it must have been read as, what makes it, and the form that its messages propose.
_MAKERS: dict[str, tuple[type[exp.Expr], _Maker, str]] = {
    "COUNT": (exp.Count, _count, "rows"),
    "COUNT_IF": (exp.CountIf, _count_if, "rows_if"),
    "COUNTIF": (exp.CountIf, _count_if, "rows_if"),
    "SUM": (exp.Sum, _sum, "sum"),
    "AVG": (exp.Avg, _mean, "mean"),
    "MEAN": (exp.Anonymous, _mean, "mean"),
    "SHARE": (exp.Anonymous, _share, "share"),
    "VARIANCE": (exp.Variance, _variance, "variance"),
    "VAR_POP": (exp.VariancePop, _variance, "variance"),
    "STDDEV": (exp.Stddev, _stddev, "stddev"),
    "STDDEV_POP": (exp.StddevPop, _stddev, "stddev"),
    "HISTOGRAM": (exp.Anonymous, _histogram, "histogram"),
}


def _number(node: exp.Expr, arg: exp.Expr, form: str, components: Components) -> str:
    name, column = components.scope.column(_bare(arg), "number column, and nothing is computed from columns", form)
    if not column.is_number:
        raise components.scope.source.refuse(node, f"{name} has codes, not numbers", remedy("histogram"))
    return name


def _is_condition(node: exp.Expr) -> bool:
    return isinstance(node, exp.Connector | exp.Predicate | exp.Not | exp.In | exp.Between | exp.Boolean)


def _is_boolean(node: exp.Expr, components: Components) -> bool:
    node = _bare(node)
    column = components.scope.dataset.columns.get(components.scope.name(node)) if isinstance(node, exp.Column) else None
    return column is not None and column.type == "boolean"


def _no_measure(node: exp.Expr, name: str, components: Components, otherwise: str) -> Invalid:
    source = components.scope.source
    if isinstance(node, exp.Func) and name not in FUNCTIONS and type(node).__name__ not in NODES:
        near = "" if name in _MAKERS else closest(name, [*_MAKERS, "BIN"])
        return source.refuse(node, f"there is no measure {name}", f"Did you mean {near}?" if near else remedy("mean"))
    if isinstance(node, exp.Binary):
        return source.refuse(node, "nothing is computed from figures but the ratio of two", remedy("ratio"))
    return source.refuse_form(node, "measure", otherwise)


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node
