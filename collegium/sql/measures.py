"""Measures: one item of SELECT becomes components of the question and a measure of the view.

Functions are told apart by their name in the text, not by sqlglot's classes alone: sqlglot reads VAR_SAMP and VARIANCE as one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

from sqlglot import exp

from collegium.errors import Invalid
from collegium.question import And, Not, Predicate, Unknown
from collegium.sql.components import Components
from collegium.sql.grammar import FUNCTIONS, NODES, remedy
from collegium.sql.keys import compile_key, one_cell_each, public_edges
from collegium.sql.predicates import both, compile_predicate
from collegium.sql.source import closest
from collegium.sql.values import number
from collegium.tree import design, grids_of
from collegium.view import MAX_PREDICTORS, Kind, Measure, Plain

__all__ = ["a_kind", "compile_measure"]


@dataclass(frozen=True, slots=True)
class _Shape:
    """A measure without its label."""

    kind: Kind
    parts: tuple[int, ...]
    column: str | None = None
    q: str | None = None
    columns: tuple[str, ...] | None = None
    top: int | None = None


_Args = list[exp.Expr]
_Maker = Callable[[exp.Expr, _Args, Predicate | None, Components], _Shape]


def compile_measure(node: exp.Expr, label: str, components: Components) -> Measure:
    """The measure of an item of SELECT; its components are added. Raises Invalid with the place of what is no measure."""
    inner = _bare(node)
    if isinstance(inner, exp.Sub):
        return _difference(inner, label, components)
    if isinstance(inner, exp.Div) and isinstance(_bare(inner.expression), exp.Window):
        return _proportion(inner, label, components)
    shape = _figure(inner, components)
    return Measure(
        label=label, kind=shape.kind, parts=shape.parts, column=shape.column, q=shape.q, top=shape.top, columns=shape.columns
    )


def a_kind(kind: str) -> str:
    """A measure's kind as a refusal names it."""
    words = kind.replace("_", " ")
    return f"an {words}" if words[0] in "aei" else f"a {words}"


def _figure(inner: exp.Expr, components: Components, otherwise: str = "rows") -> _Shape:
    """An aggregate, or the ratio of two."""
    if not isinstance(inner, exp.Div):
        return _aggregate(inner, components, otherwise)
    sides = (_numerator(inner.this), _bare(inner.expression))
    parts = tuple(_linear(side, components) for side in sides)
    if parts[0] == parts[1]:
        raise components.scope.source.refuse(inner, "numerator and denominator are the same", remedy("ratio"))
    return _Shape("ratio", parts)


def _difference(node: exp.Sub, label: str, components: Components) -> Measure:
    """A - B, two figures of one kind and unit that have no component in common."""
    source = components.scope.source
    one, other = (_figure(_bare(side), components, "difference") for side in (node.this, node.expression))
    kinds: list[Plain] = []
    for shape, side in ((one, node.this), (other, node.expression)):
        if shape.kind not in ("value", "mean", "share", "ratio", "quantile"):
            raise source.refuse(side, f"no difference is made of {a_kind(shape.kind)}", remedy("difference"))
        kinds.append(shape.kind)
    if kinds[0] == kinds[1] and one.q != other.q:
        raise source.refuse(node.expression, "the two quantiles are of different shares", remedy("difference"))
    if kinds[0] != kinds[1] or _unit(one, components) != _unit(other, components):
        raise source.refuse(node, "the two figures are of different kinds", remedy("difference"))
    if set(one.parts) & set(other.parts):
        what = "the same" if one.parts == other.parts else "not independent: they have a part in common"
        raise source.refuse(node, f"the two figures are {what}", "Give each its own FILTER, so that they count different rows.")
    of, parts = (kinds[0], kinds[1]), (*one.parts, *other.parts)
    return Measure(label=label, kind="difference", parts=parts, of=of, column=one.column, q=one.q)


def _unit(shape: _Shape, components: Components) -> str | None:
    """The column in whose unit a figure is; counts, shares and ratios have none."""
    if shape.kind in ("mean", "quantile") or components.found[shape.parts[0]].kind == "sum":
        return shape.column
    return None


def _proportion(node: exp.Div, label: str, components: Components) -> Measure:
    """count / SUM(count) OVER ([PARTITION BY keys])."""
    scope, source = components.scope, components.scope.source
    window = _bare(node.expression)
    source.only(window, "this", "partition_by", "over")
    inner = _bare(window.this)
    if not isinstance(inner, exp.Sum) or not isinstance(_bare(inner.this), exp.Count | exp.CountIf | exp.Filter):
        raise source.refuse(node, "only the sum of the same count stands over the table", remedy("proportion"))
    source.only(inner, "this")
    shape = _aggregate(_numerator(node.this), components, "proportion")
    if shape.kind != "value" or components.found[shape.parts[0]].kind == "sum":
        raise source.refuse(node.this, "a proportion is of a count", remedy("proportion"))
    if _aggregate(_bare(inner.this), components, "proportion") != shape:
        raise source.refuse(node, "numerator and denominator count different rows", remedy("proportion"))
    within = []
    for part in window.args.get("partition_by") or ():
        key = compile_key(part, scope)
        found = next((other for other in components.keys if other.same(key)), None)
        if found is None:
            raise source.refuse(part, f"{source.words(part)} is no key of the table", "Add it to SELECT and GROUP BY.")
        within.append(found.name)
    outside = [key.name for key in components.keys if key.kind == "fact" and key.name not in within]
    if outside:
        what = f"a proportion is within one group of universities, and {outside[0]} divides them"
        raise source.refuse(window, what, f"Write PARTITION BY {outside[0]}.")
    names = tuple(key.name for key in components.keys if key.kind != "fact" and key.name in within)
    return Measure(label=label, kind="proportion", parts=shape.parts, within=names)


def _numerator(node: exp.Expr) -> exp.Expr:
    """The figure of `1.0 * figure` and `figure * 1.0`, which people write so that SQL does not divide whole numbers."""
    node = _bare(node)
    if isinstance(node, exp.Mul):
        for one, figure in ((node.this, node.expression), (node.expression, node.this)):
            if isinstance(one, exp.Literal) and not one.is_string and one.this in ("1", "1.", "1.0"):
                return _bare(figure)
    return node


def _linear(node: exp.Expr, components: Components) -> int:
    shape = _aggregate(node, components, "ratio")
    if shape.kind != "value":
        raise components.scope.source.refuse(node, "a ratio is made of counts and sums", remedy("ratio"))
    return shape.parts[0]


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
        scope.source.only(node, "this", "expressions", "expression", "quantile", "big_int")
        parts = (node.this, node.args.get("quantile"), node.args.get("expression"), *node.expressions)
        args = [part for part in parts if part is not None]
    least, most = _ARGUMENTS.get(name, (1, 1))
    if not least <= len(args) <= most:
        how = {(1, 1): "one argument", (2, 2): "two arguments"}.get((least, most), f"{least} to {most} arguments")
        how = how if most < _MANY else "a column" if least == 1 else "a column and a share"
        raise scope.source.refuse(node, f"{name} takes {how}", remedy(_MAKERS[name][2]))
    return _MAKERS[name][1](node, args, narrowed, components)


def _count(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    scope, arg = components.scope, _bare(args[0])
    if isinstance(arg, exp.Star):
        scope.source.only(arg)
        return _Shape("value", (components.add(node, "rows", filter=narrowed),))
    if isinstance(arg, exp.Distinct):
        scope.source.only(arg, "expressions")
        if arg.expressions and isinstance(arg.expressions[0], exp.Case):
            raise scope.source.refuse(arg.expressions[0], "CASE makes keys, not figures", remedy("filter"))
        if len(arg.expressions) != 1 or not scope.is_person(arg.expressions[0]):
            raise scope.source.refuse(node, "only persons are counted distinct", f"Write COUNT(DISTINCT {scope.dataset.person}).")
        return _Shape("value", (components.add(node, "people", filter=narrowed),))
    if _is_condition(arg):
        raise scope.source.refuse(node, "COUNT(condition) would count the false ones too", remedy("rows_if"))
    name, column = scope.column(arg, "column", "present")
    if column.is_number:
        return _Shape("value", (components.add(node, "count", column=name, filter=narrowed),), name)
    present = both(narrowed, Not(arg=Unknown(column=name)), node, scope)
    return _Shape("value", (components.add(node, "rows", filter=present),))


def _count_if(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    condition = both(narrowed, compile_predicate(args[0], components.scope), args[0], components.scope)
    return _Shape("value", (components.add(node, "rows", filter=condition),))


def _sum(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    if _is_condition(_bare(args[0])) or _is_boolean(args[0], components):
        raise components.scope.source.refuse(node, "a condition is counted, not summed", remedy("rows_if"))
    name = _number(node, args[0], "sum", components)
    return _Shape("value", (components.add(node, "sum", column=name, filter=narrowed),), name)


def _share(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    condition = compile_predicate(args[0], components.scope)
    parts = tuple(components.add(node, kind, condition=condition, filter=narrowed) for kind in ("count", "total"))
    return _Shape("share", parts)


def _mean(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    if _is_condition(_bare(args[0])) or _is_boolean(args[0], components):
        return _share(node, args, narrowed, components)
    name = _number(node, args[0], "mean", components)
    return _Shape("mean", tuple(components.add(node, kind, column=name, filter=narrowed) for kind in ("count", "total")), name)


def _variance(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    name = _number(node, args[0], "variance", components)
    parts = tuple(components.add(node, kind, column=name, filter=narrowed) for kind in ("count", "total", "squares"))
    return _Shape("variance", parts, name)


def _stddev(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    return replace(_variance(node, args, narrowed, components), kind="stddev")


def _median(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    return _quantiles(node, args[0], "0.5", "median", narrowed, components)


def _quantile(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    value = number(args[1], components.scope.source)
    scaled = value * 10**12
    if not 0 < value < 1 or scaled.denominator != 1:
        refusal = "the share of a quantile lies between 0 and 1, with at most 12 digits"
        raise components.scope.source.refuse(args[1], refusal, remedy("quantile"))
    return _quantiles(node, args[0], f"0.{int(scaled):012d}".rstrip("0"), "quantile", narrowed, components)


def _quantiles(node: exp.Expr, arg: exp.Expr, q: str, form: str, narrowed: Predicate | None, components: Components) -> _Shape:
    """Bins of every level of the column's tree; all quantiles of one column are read from the same."""
    name = _number(node, arg, form, components)
    column = components.scope.dataset.columns[name]
    levels = grids_of(column.min_steps, *design(column.max_steps - column.min_steps + 1))
    parts = tuple(components.add(node, "bins", column=name, filter=narrowed, grid=grid) for grid in levels)
    return _Shape("quantile", parts, name, q=q)


def _model(kind: Kind) -> _Maker:
    """CORR, REGR_SLOPE, REGR_INTERCEPT and REGRESSION: the first argument is what the others explain."""

    def make(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
        scope = components.scope
        names = tuple(_number(node, arg, kind, components) for arg in args)
        if len(set(names)) != len(names):
            raise scope.source.refuse(node, "the columns are the same", remedy(kind))
        known = And(args=tuple(Not(arg=Unknown(column=name)) for name in names))
        rows = both(narrowed, known, node, scope)
        order = [*names[1:], names[0]]
        parts = [components.add(node, "count", column=order[0], filter=rows)]
        for name in order:
            parts += [components.add(node, each, column=name, filter=rows) for each in ("total", "squares")]
        for pair in combinations(order, 2):
            parts.append(components.add(node, "product", column=min(pair), other=max(pair), filter=rows))
        return _Shape(kind, tuple(parts), names[0] if kind == "intercept" else None, columns=names)

    return make


def _histogram(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    return _bins("histogram", node, args[0], args[1:], narrowed, components)


def _entropy(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    return _bins("entropy", node, args[0], args[1:], narrowed, components)


def _top_share(node: exp.Expr, args: _Args, narrowed: Predicate | None, components: Components) -> _Shape:
    """The bins of a HISTOGRAM of the same column and edges, and paid with it."""
    scope = components.scope
    value = number(args[1], scope.source)
    shape = _bins("top_share", node, args[0], args[2:], narrowed, components)
    assert shape.column is not None
    column = scope.dataset.columns[shape.column]
    if not column.is_number:
        if value.denominator != 1 or not 1 <= value <= 1000:
            raise scope.source.refuse(args[1], f"of {shape.column} the largest codes are counted", remedy("top_codes"))
        return replace(shape, top=int(value))
    scaled = value * 10**12
    if not 0 < value < 1 or scaled.denominator != 1:
        raise scope.source.refuse(args[1], "the share of the top lies between 0 and 1, with at most 12 digits", remedy("top_share"))
    edges = components.found[shape.parts[0]].edges
    if (edges[0] if edges is not None else column.min_steps) < 0:
        raise scope.source.refuse(
            node, "a total of numbers below zero has no shares", "Give edges from 0, or ask MEDIAN or QUANTILE."
        )
    return replace(shape, q=f"0.{int(scaled):012d}".rstrip("0"))


def _bins(
    kind: Kind, node: exp.Expr, of: exp.Expr, edge_nodes: _Args, narrowed: Predicate | None, components: Components
) -> _Shape:
    """One bin a code or whole number, or between edges."""
    name, column = components.scope.column(of, "column", kind)
    edges = None
    if edge_nodes:
        edges = public_edges(node, name, column, edge_nodes, components.scope, kind)
    else:
        one_cell_each(node, name, column, components.scope, kind)
    return _Shape(kind, (components.add(node, "bins", column=name, filter=narrowed, edges=edges),), name)


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
    "ENTROPY": (exp.Anonymous, _entropy, "entropy"),
    "TOP_SHARE": (exp.Anonymous, _top_share, "top_share"),
    "MEDIAN": (exp.Median, _median, "median"),
    "QUANTILE": (exp.Quantile, _quantile, "quantile"),
    "QUANTILE_DISC": (exp.PercentileDisc, _quantile, "quantile"),
    "CORR": (exp.Corr, _model("correlation"), "correlation"),
    "REGR_SLOPE": (exp.RegrSlope, _model("slope"), "slope"),
    "REGR_INTERCEPT": (exp.RegrIntercept, _model("intercept"), "intercept"),
    "REGRESSION": (exp.Anonymous, _model("regression"), "regression"),
}

_MANY = 10**6  # edges are counted where they are read

# How many arguments: one where nothing is said.
_ARGUMENTS = {
    "HISTOGRAM": (1, _MANY),
    "ENTROPY": (1, _MANY),
    "TOP_SHARE": (2, _MANY),
    "QUANTILE": (2, 2),
    "QUANTILE_DISC": (2, 2),
    "CORR": (2, 2),
    "REGR_SLOPE": (2, 2),
    "REGR_INTERCEPT": (2, 2),
    "REGRESSION": (2, 1 + MAX_PREDICTORS),
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
        return source.refuse(node, "nothing is computed from figures but a ratio or a difference of two", remedy("ratio"))
    return source.refuse_form(node, "measure", otherwise)


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node
