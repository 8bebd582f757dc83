"""What a researcher wants to see of a question: measures over its components, and the columns of the table.

A view is applied after the noise, on national sums; a node never reads it and it costs nothing. It is signed with the request, so
that an auditor recomputes the table from what was asked. `parts` are indices into the question's components:

    value      [i]                      a people, rows, sum or count component
    mean       [count, total]           of one number column
    variance   [count, total, squares]  of one number column, population variance
    stddev     [count, total, squares]  its root
    share      [count, total]           of one condition
    ratio      [numerator, denominator] two of people, rows, count, and sums clipped to [0, ...]
    histogram  [i]                      a bins component
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from collegium.errors import Invalid
from collegium.question import MAX_COMPONENTS, Component, Question

__all__ = ["FactColumn", "GroupColumn", "Measure", "MeasureColumn", "View", "ViewColumn", "check_view"]

MAX_MEASURES = 64

Kind = Literal["value", "mean", "variance", "stddev", "share", "ratio", "histogram"]
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
}


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measure(_Closed):
    """One figure in every row. `column` is the column it speaks of, for its unit and decimals; none for people, rows, shares."""

    label: Label
    kind: Kind
    parts: Annotated[tuple[PartIndex, ...], Field(min_length=1, max_length=3)]
    column: ColumnName | None = None

    @model_validator(mode="after")
    def _arity(self) -> Self:
        if len(self.parts) != len(_SHAPES[self.kind]):
            raise ValueError(f"a {self.kind} is made of {len(_SHAPES[self.kind])} components, not {len(self.parts)}")
        if len(set(self.parts)) != len(self.parts):
            raise ValueError("the parts of a measure are different components: their noise must be independent")
        return self


class GroupColumn(_Closed):
    """A group key of the question."""

    group: ColumnName


class FactColumn(_Closed):
    """A public fact of the nodes."""

    fact: ColumnName


class MeasureColumn(_Closed):
    """The measure with this index."""

    measure: Annotated[int, Field(ge=0, lt=MAX_MEASURES, strict=True)]


ViewColumn = GroupColumn | FactColumn | MeasureColumn


class View(_Closed):
    """Measures, the columns of the table from left to right, and the facts that nodes are grouped by."""

    measures: Annotated[tuple[Measure, ...], Field(min_length=1, max_length=MAX_MEASURES)]
    columns: Annotated[tuple[ViewColumn, ...], Field(min_length=1, max_length=MAX_MEASURES + 16)]
    facts: Annotated[tuple[ColumnName, ...], Field(max_length=8)] = ()

    @model_validator(mode="after")
    def _references(self) -> Self:
        if len(set(self.facts)) != len(self.facts):
            raise ValueError("a fact can be grouped by once")
        for column in self.columns:
            if isinstance(column, MeasureColumn) and column.measure >= len(self.measures):
                raise ValueError(f"there is no measure {column.measure}")
            if isinstance(column, FactColumn) and column.fact not in self.facts:
                raise ValueError(f"the fact {column.fact!r} is shown but not grouped by")
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
    keys = {key.column for key in question.group}
    for number, column in enumerate(view.columns):
        if isinstance(column, GroupColumn) and column.group not in keys:
            raise Invalid(f"{column.group!r} is no group key of the question", place=f"{place}.columns.{number}")
    for number, measure in enumerate(view.measures):
        _check_measure(measure, question.components, f"{place}.measures.{number}")


def _check_measure(measure: Measure, components: tuple[Component, ...], place: str) -> None:
    used: list[Component] = []
    for index, kinds in zip(measure.parts, _SHAPES[measure.kind], strict=True):
        if index >= len(components):
            raise Invalid(f"there is no component {index}", place=f"{place}.parts")
        component = components[index]
        if component.kind not in kinds:
            raise Invalid(f"a {measure.kind} is not made of {component.kind}", place=f"{place}.parts")
        used.append(component)
    first = used[0]
    if measure.kind in ("mean", "variance", "stddev", "share"):
        if any((c.column, c.condition, c.filter) != (first.column, first.condition, first.filter) for c in used):
            raise Invalid(f"the parts of a {measure.kind} must be of the same operand and filter", place=f"{place}.parts")
        if (first.condition is None) == (measure.kind == "share"):
            raise Invalid("a share is of a condition; mean, variance and stddev are of a column", place=f"{place}.parts")
    if measure.kind == "ratio" and any(c.clip is not None and c.clip[0] < 0 for c in used):
        raise Invalid("a sum in a ratio is clipped at 0 or above", place=f"{place}.parts", remedy="Give the sum a clip from 0.")
    if measure.column is not None and measure.column not in {c.column for c in used}:
        raise Invalid(f"none of the parts is of column {measure.column!r}", place=f"{place}.column")
