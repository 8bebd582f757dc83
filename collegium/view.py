"""What a researcher wants to see of a question: measures over its components, and the columns of the table.

A view is applied after the noise, on national sums; a node never reads it and it costs nothing. It is signed with the request, so
that an auditor recomputes the table from what was asked. HAVING, ORDER BY and LIMIT are part of it (`collegium.selection`), and
so are the titles of cells made by CASE. `parts` are indices into the question's components:

    value      [i]                      a people, rows, sum or count component
    mean       [count, total]           of one number column
    variance   [count, total, squares]  of one number column, population variance
    stddev     [count, total, squares]  its root
    share      [count, total]           of one condition
    ratio      [numerator, denominator] two of people, rows, count, and sums clipped to [0, ...]
    histogram  [i]                      a bins component
    entropy    [i]                      of the same, in bits
    top_share  [i]                      of the same: of a number's total what the top `q` of the rows hold, or of all rows what the
                                        `top` largest codes have
    proportion [i]                      people, rows or count of a cell in the sum over the cells alike in the keys `within`
    quantile   [level, level, ...]      bins of one number, each level's edges among those of the next; `q` is the share below
    difference [parts of one, parts of the other]   of two values, means, shares, ratios or quantiles, as `of` says
    slope      [count, total, squares of x; total, squares of y; product]   of y on x, over rows in which both are known
    intercept, correlation              of the same six
    regression [count; total and squares of each x in turn, then of y; the products of all pairs]   `columns` are y and the x

With `sets`, the keys of each of GROUPING SETS, the rows of the table are the cells of one set after the other. Its measures name
their parts at any margin; all margins of the question that differ from these in the margin alone are reconciled with one another.
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from collegium.errors import Invalid
from collegium.question import MAX_CASES, MAX_COMPONENTS, And, Component, Not, Question, Unknown
from collegium.selection import MAX_TERMS, Condition, Order, measures_of

__all__ = ["FactColumn", "GroupColumn", "Measure", "MeasureColumn", "View", "ViewColumn", "check_view", "without_margin"]

MAX_MEASURES = 64
MAX_SETS = 32

Kind = Literal[
    "value",
    "mean",
    "variance",
    "stddev",
    "share",
    "ratio",
    "histogram",
    "entropy",
    "top_share",
    "proportion",
    "quantile",
    "difference",
    "slope",
    "intercept",
    "correlation",
    "regression",
]
Plain = Literal["value", "mean", "share", "ratio", "quantile"]
ColumnName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
PartIndex = Annotated[int, Field(ge=0, lt=MAX_COMPONENTS, strict=True)]

LINEAR = ("people", "rows", "sum", "count")
"""Component kinds that are figures by themselves."""

_SHAPES: dict[str, tuple[tuple[str, ...], ...]] = {
    "value": (LINEAR,),
    "mean": (("count",), ("total",)),
    "variance": (("count",), ("total",), ("squares",)),
    "stddev": (("count",), ("total",), ("squares",)),
    "share": (("count",), ("total",)),
    "ratio": (LINEAR, LINEAR),
    "histogram": (("bins",),),
    "entropy": (("bins",),),
    "top_share": (("bins",),),
    "proportion": (("people", "rows", "count"),),
    **dict.fromkeys(
        ("slope", "intercept", "correlation"), (("count",), ("total",), ("squares",), ("total",), ("squares",), ("product",))
    ),
}

MAX_LEVELS = 8
MAX_PREDICTORS = 6


def _shape(measure: Measure) -> tuple[tuple[str, ...], ...]:
    """The component kinds that each part of a measure may have."""
    if measure.kind == "quantile":
        return (("bins",),) * len(measure.parts)
    if measure.kind == "difference":
        assert measure.of is not None
        if "quantile" in measure.of:  # of both, and as many levels of each
            return (("bins",),) * (len(measure.parts) // 2 * 2)
        return (*_SHAPES[measure.of[0]], *_SHAPES[measure.of[1]])
    if measure.kind == "regression":
        assert measure.columns is not None
        k = len(measure.columns)
        return (("count",), *(("total",), ("squares",)) * k, *(("product",),) * (k * (k - 1) // 2))
    return _SHAPES[measure.kind]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measure(_Closed):
    """One figure in every row. `column` is the column it speaks of, for its unit and decimals; none for people, rows, shares."""

    label: Label
    kind: Kind
    parts: Annotated[tuple[PartIndex, ...], Field(min_length=1, max_length=MAX_COMPONENTS)]
    column: ColumnName | None = None
    q: Annotated[str, StringConstraints(pattern=r"^0\.[0-9]{0,11}[1-9]$")] | None = None
    top: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
    within: Annotated[tuple[ColumnName, ...], Field(max_length=8)] | None = None
    of: tuple[Plain, Plain] | None = None
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=2, max_length=1 + MAX_PREDICTORS)] | None = None

    @model_validator(mode="after")
    def _arity(self) -> Self:
        models = ("slope", "intercept", "correlation", "regression")
        for name, kinds in (("within", ("proportion",)), ("of", ("difference",)), ("columns", models)):
            if (getattr(self, name) is not None) != (self.kind in kinds):
                raise ValueError(f"a {self.kind} has {'a' if self.kind in kinds else 'no'} {name!r}")
        of_quantiles = self.of is not None and "quantile" in self.of
        if of_quantiles and self.of != ("quantile", "quantile"):
            raise ValueError("a difference is of two quantiles, or of none")
        if self.kind == "top_share":
            if (self.q is None) == (self.top is None):
                raise ValueError("a top_share has either 'q' or 'top'")
        elif self.top is not None or (self.q is not None) != (self.kind == "quantile" or of_quantiles):
            raise ValueError(f"a {self.kind} has {'no' if self.q is not None or self.top is not None else 'a'} 'q', and no 'top'")
        if self.columns is not None and len(set(self.columns)) != len(self.columns):
            raise ValueError("the columns of a regression are different")
        if self.columns is not None and self.kind != "regression" and len(self.columns) != 2:
            raise ValueError(f"a {self.kind} is of two columns")
        if (self.kind == "quantile" and len(self.parts) > MAX_LEVELS) or (of_quantiles and len(self.parts) > 2 * MAX_LEVELS):
            raise ValueError(f"a quantile has at most {MAX_LEVELS} levels")
        if len(self.parts) != len(_shape(self)):
            raise ValueError(f"a {self.kind} is made of {len(_shape(self))} components, not {len(self.parts)}")
        if len(set(self.parts)) != len(self.parts):
            raise ValueError("the parts of a measure are different components: their noise must be independent")
        return self


class GroupColumn(_Closed):
    """A group key of the question. `title` is the name of its column; `labels` are those of its cells, for a key of cases."""

    group: ColumnName
    title: Label | None = None
    labels: Annotated[tuple[Label, ...], Field(min_length=2, max_length=MAX_CASES + 1)] | None = None


class FactColumn(_Closed):
    """A public fact of the nodes. `title` is the name of its column."""

    fact: ColumnName
    title: Label | None = None


class MeasureColumn(_Closed):
    """The measure with this index."""

    measure: Annotated[int, Field(ge=0, lt=MAX_MEASURES, strict=True)]


ViewColumn = GroupColumn | FactColumn | MeasureColumn


class View(_Closed):
    """Measures, the columns of the table from left to right, and the facts that nodes are grouped by."""

    measures: Annotated[tuple[Measure, ...], Field(min_length=1, max_length=MAX_MEASURES)]
    columns: Annotated[tuple[ViewColumn, ...], Field(min_length=1, max_length=MAX_MEASURES + 16)]
    facts: Annotated[tuple[ColumnName, ...], Field(max_length=8)] = ()
    sets: Annotated[tuple[tuple[ColumnName, ...], ...], Field(min_length=1, max_length=MAX_SETS)] | None = None
    having: Condition | None = None
    order: Annotated[tuple[Order, ...], Field(min_length=1, max_length=16)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None

    @model_validator(mode="after")
    def _references(self) -> Self:
        if len(set(self.facts)) != len(self.facts):
            raise ValueError("a fact can be grouped by once")
        for column in self.columns:
            if isinstance(column, MeasureColumn) and column.measure >= len(self.measures):
                raise ValueError(f"there is no measure {column.measure}")
            if isinstance(column, FactColumn) and column.fact not in self.facts:
                raise ValueError(f"the fact {column.fact!r} is shown but not grouped by")
        used = measures_of(self.having) if self.having is not None else []
        used += [term.measure for term in self.order or () if term.measure is not None]
        for index in used:
            if index >= len(self.measures):
                raise ValueError(f"there is no measure {index}")
            if self.measures[index].kind in ("histogram", "regression"):
                raise ValueError(f"a {self.measures[index].kind} has many figures; rows cannot be chosen by it")
        if len(used) > MAX_TERMS:
            raise ValueError(f"rows are chosen by at most {MAX_TERMS} comparisons")
        if self.limit is not None and self.order is None:
            raise ValueError("a limit needs an order")
        if self.sets is not None and len(set(self.sets)) != len(self.sets):
            raise ValueError("a grouping set is there once")
        return self

    def to_json(self) -> dict[str, Any]:
        """The plain tree that is signed, without absent parts."""
        tree: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return tree

    @classmethod
    def from_json(cls, tree: Any, *, place: str = "view") -> View:
        """A view from its signed tree. Unknown parts are refused. Raises Invalid with the place."""
        try:
            view = cls.model_validate(tree)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in detail["loc"])
            raise Invalid(detail["msg"], place=f"{place}.{where}" if where else place) from None
        if view.to_json() != tree:
            raise Invalid("the view is not in canonical form", place=place, remedy="Build it with this library.")
        return view


def check_view(view: View, question: Question, *, place: str = "view") -> None:
    """Does the view fit the question? Components exist and are of the right kinds, over the same operand and the same rows.

    A mean of one column's total over another column's count would be a figure without meaning, and it would look like any other.

    Raises:
        Invalid: with the place of the first part that does not fit.
    """
    keys = {key.column: key for key in question.group}
    for number, column in enumerate(view.columns):
        if not isinstance(column, GroupColumn):
            continue
        if column.group not in keys:
            raise Invalid(f"{column.group!r} is no group key of the question", place=f"{place}.columns.{number}")
        cases = keys[column.group].cases
        if (column.labels is not None) != (cases is not None) or len(column.labels or ()) != len(cases or ()) + (cases is not None):
            raise Invalid("a key of cases has one label a case and one for the rest", place=f"{place}.columns.{number}")
    for term in view.order or ():
        if term.key is not None and term.key not in keys and term.key not in view.facts:
            raise Invalid(f"{term.key!r} is no key", place=f"{place}.order")
    for number, measure in enumerate(view.measures):
        _check_measure(measure, question.components, f"{place}.measures.{number}")
        _check_margins(measure, view, question, f"{place}.measures.{number}")


def without_margin(component: Component) -> Component:
    """The component as at all cells, its rho forgotten: what the margins of one table have in common."""
    return component.model_copy(update={"margin": None, "rho": 1})


def _check_margins(measure: Measure, view: View, question: Question, place: str) -> None:
    """Without sets every part is at all cells. With sets the question measures, for every part and set, a margin that holds it."""
    names = tuple(key.column for key in question.group)
    if measure.within is not None and not set(measure.within) <= set(names):
        raise Invalid("a proportion is within keys", place=f"{place}.within")
    if view.sets is None:
        if any(question.components[index].margin is not None for index in measure.parts):
            raise Invalid("a margin is shown in grouping sets only", place=f"{place}.parts")
        return
    if measure.kind not in ("value", "mean", "share", "ratio"):
        raise Invalid(f"a {measure.kind} is not offered in grouping sets", place=place)
    for keys in view.sets:
        if list(keys) != [name for name in names if name in keys]:
            raise Invalid("a grouping set names keys of the question in their order", place="view.sets")
        for index in measure.parts:
            bare = without_margin(question.components[index])
            margins = [c.margin for c in question.components if without_margin(c) == bare]
            if not any(margin is None or set(keys) <= set(margin) for margin in margins):
                raise Invalid("a grouping set is not measured", place="view.sets")
            if len(set(margins)) != len(margins):
                raise Invalid("a margin is measured twice", place="view.sets")


def _check_measure(measure: Measure, components: tuple[Component, ...], place: str) -> None:
    if measure.kind == "difference":
        assert measure.of is not None
        cut = len(measure.parts) // 2
        for kind, parts in zip(measure.of, (measure.parts[:cut], measure.parts[cut:]), strict=True):
            _check_measure(Measure(label=measure.label, kind=kind, parts=parts, q=measure.q), components, place)
        if measure.q is not None and components[measure.parts[0]].column != components[measure.parts[-1]].column:
            raise Invalid("a difference of quantiles is of one column", place=f"{place}.parts")
        return
    used: list[Component] = []
    for index, kinds in zip(measure.parts, _shape(measure), strict=True):
        if index >= len(components):
            raise Invalid(f"there is no component {index}", place=f"{place}.parts")
        component = components[index]
        if component.kind not in kinds:
            raise Invalid(f"a {measure.kind} is not made of {component.kind}", place=f"{place}.parts")
        used.append(component)
    first = used[0]
    if len({component.margin for component in used}) > 1:
        raise Invalid("the parts of a measure are of the same cells", place=f"{place}.parts")
    if measure.kind == "quantile":
        _check_levels(used, f"{place}.parts")
    if measure.columns is not None:
        _check_gram(measure.columns, used, f"{place}.parts", pairs=measure.kind == "regression")
    if measure.kind in ("mean", "variance", "stddev", "share"):
        if any((c.column, c.condition, c.filter) != (first.column, first.condition, first.filter) for c in used):
            raise Invalid(f"the parts of a {measure.kind} must be of the same operand and filter", place=f"{place}.parts")
        if (first.condition is None) == (measure.kind == "share"):
            raise Invalid("a share is of a condition; mean, variance and stddev are of a column", place=f"{place}.parts")
    if measure.kind == "ratio" and any(c.clip is not None and c.clip[0] < 0 for c in used):
        raise Invalid("a sum in a ratio is clipped at 0 or above", place=f"{place}.parts", remedy="Give the sum a clip from 0.")
    if measure.column is not None and measure.column not in {c.column for c in used}:
        raise Invalid(f"none of the parts is of column {measure.column!r}", place=f"{place}.column")


def _check_levels(used: list[Component], place: str) -> None:
    """Bins of one column over the same rows, from the coarsest edges to the finest, each bin divided alike (`collegium.tree`)."""
    for coarse, fine in pairwise(used):
        if (coarse.column, coarse.filter) != (fine.column, fine.filter):
            raise Invalid("the levels of a quantile are of one column and filter", place=place)
        if coarse.grid is None or fine.grid is None:
            continue
        times = coarse.grid[1] // fine.grid[1]
        if times < 2 or coarse.grid != (fine.grid[0], fine.grid[1] * times, fine.grid[2] // times) or fine.grid[2] % times:
            raise Invalid("each bin of a quantile's level is divided into equally many of the next", place=place)
    if any(component.grid is None for component in used):
        raise Invalid("the levels of a quantile are grids", place=place)


def _check_gram(columns: tuple[ColumnName, ...], used: list[Component], place: str, *, pairs: bool) -> None:
    """Count, totals, squares and products over the same rows: those in which all columns are known, and one filter for all."""
    order = [*columns[1:], columns[0]]
    singles, products = used[1 : 1 + 2 * len(order)], used[1 + 2 * len(order) :]
    wanted = list(combinations(order, 2)) if pairs else [(order[0], order[1])]
    if len({component.filter for component in used}) != 1 or used[0].column not in columns or used[0].condition is not None:
        raise Invalid("the parts of a regression are over the same rows", place=place)
    if [component.column for component in singles] != [name for name in order for _ in range(2)]:
        raise Invalid("the totals and squares of a regression are of its columns in turn", place=place)
    if [(component.column, component.other) for component in products] != [(min(pair), max(pair)) for pair in wanted]:
        raise Invalid("the products of a regression are of all pairs of its columns in turn", place=place)
    filter = used[0].filter
    terms = filter.args if isinstance(filter, And) else (filter,)
    if not {Not(arg=Unknown(column=name)) for name in columns} <= set(terms):
        raise Invalid("a regression is over the rows in which all its columns are known", place=place)
