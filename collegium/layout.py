"""From a question to the shape of its tally: cells, components, sensitivity, cost. Depends on the schema and the question alone.

A tally is one vector of int64. Its parts lie one after the other, one part a component; within a part the cells lie in row-major
order of the group keys (the last key fastest), and for `bins` the bins are the fastest index of all. Empty cells are there.

Sensitivity (L2, add or remove one person with all rows): a person is in at most G = min(max_groups, cells) cells and moves each by
at most the bound b of its component, so the squared sensitivity is G·b². With R = max_rows, centre c and half range h in steps:

    people 1 · rows R · count R · bins R · sum max(|lo|, |hi|) · total R·h (condition: R) · squares R·max(s, h² - s), s = h²//2
    product R·h·h' of its two columns

`bins` has bound R because a person's R rows may all fall in one bin: the L2 norm of k ≤ R rows over bins is at most R.

A margin adds c cells into one, and up to c of a person's G cells may be among them. The worst person fills as many margin cells
as possible to the brim: with G = q·c + r the squared sensitivity is (q·c² + r²)·b², which is G·b² when nothing is added (c = 1).

With bounds of scope `person` the table above says what a person moves in all cells together, so the L1 norm is at most b, hence
the L2 norm, at full detail and in every margin. Only people are counted cell by cell then, as before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from collegium.errors import Invalid
from collegium.question import And, Component, GroupKey, In, Not, Or, Predicate, Question, Range, Unknown
from collegium.schema import UNKNOWN, Column, Dataset, Schema

__all__ = ["MAX_CELLS", "Axis", "Layout", "Part", "compile_layout"]

MAX_CELLS = 1_000_000
HEAD_ROOM = 2**31  # persons at one node for whom no sum may leave int64


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of the cells: the public labels of its cells, `unknown` last."""

    column: str
    labels: tuple[str, ...]
    edges: tuple[int, ...] | None  # in steps; None for codes
    first: int | None = None  # whole numbers without edges: the value of cell 0
    cases: tuple[Predicate, ...] | None = None  # conditions in their order; then `column` is the key's name alone

    @property
    def size(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Part:
    """Where one component lies in the tally, and what one person can move.

    `bound` is what one person can change in one cell; `centre` and `offset` are subtracted before summing (see Component).
    `keep` are the positions of the axes that its cells have, and `crowd` is how many of the question's cells each adds up.
    """

    component: Component
    start: int
    width: int
    bins: Axis | None
    bound: int
    groups: int
    centre: int = 0
    offset: int = 0
    keep: tuple[int, ...] | None = None  # None: all axes
    crowd: int = 1

    @property
    def stop(self) -> int:
        return self.start + self.width

    @property
    def sensitivity_squared(self) -> int:
        full, rest = divmod(self.groups, self.crowd)
        return (full * self.crowd * self.crowd + rest * rest) * self.bound * self.bound

    @property
    def sensitivity(self) -> float:
        """L2 sensitivity as a float that is not below the exact root."""
        root = math.isqrt(self.sensitivity_squared)
        if root * root == self.sensitivity_squared and root < 2**53:
            return float(root)
        return math.nextafter(math.sqrt(self.sensitivity_squared), math.inf)


@dataclass(frozen=True)
class Layout:
    """The shape of one question's tally."""

    question: Question
    unit: str
    axes: tuple[Axis, ...]
    parts: tuple[Part, ...]

    @cached_property
    def cells(self) -> int:
        """Group cells: the full cross product of the axes."""
        return math.prod(axis.size for axis in self.axes)

    @property
    def length(self) -> int:
        """int64 values in the tally."""
        return self.parts[-1].stop

    def cell_labels(self, cell: int) -> tuple[str, ...]:
        """The public labels of one group cell, in the order of the axes."""
        labels = []
        for axis in reversed(self.axes):
            cell, index = divmod(cell, axis.size)
            labels.append(axis.labels[index])
        return tuple(reversed(labels))


def compile_layout(question: Question, schema: Schema) -> Layout:
    """The layout of a question, or Invalid with the place of what the schema does not have.

    Raises:
        Invalid: the question is of another schema, names what the schema lacks, has too many cells, or a sum could leave int64.
    """
    if question.schema_id != schema.id:
        raise Invalid(
            f"the question is for schema {question.schema_id}, here {schema.id} is in force",
            place="schema",
            remedy="Fetch the schema again and ask with it.",
            reason="schema",
        )
    dataset = schema.dataset(question.dataset, place="dataset")
    if question.filter is not None:
        _check_predicate(question.filter, dataset, schema, "filter")
    axes = tuple(_key_axis(key, dataset, schema, f"group.{number}") for number, key in enumerate(question.group))
    cells = math.prod(axis.size for axis in axes)
    if cells > MAX_CELLS:
        raise Invalid(f"{cells} group cells are more than {MAX_CELLS}", place="group", remedy="Use fewer keys or coarser bins.")
    most = min(question.bounds.max_groups, cells)
    parts: list[Part] = []
    start = 0
    for number, component in enumerate(question.components):
        groups = 1 if question.bounds.scope == "person" and component.kind != "people" else most
        part = _part(component, start, axes, groups, question.bounds.max_rows, dataset, schema, f"components.{number}")
        parts.append(part)
        start = part.stop
    # What a node holds while it counts: every different component at full detail, though only its margin may leave.
    held = sum({part.component.model_copy(update={"margin": None, "rho": 1}): part.width * part.crowd for part in parts}.values())
    if max(start, held) > MAX_CELLS:
        remedy = "Use fewer keys, bins or measures."
        raise Invalid(f"{max(start, held)} values are more than {MAX_CELLS}", place="group", remedy=remedy)
    return Layout(question=question, unit=dataset.unit, axes=axes, parts=tuple(parts))


def _part(
    component: Component,
    start: int,
    axes: tuple[Axis, ...],
    groups: int,
    rows: int,
    dataset: Dataset,
    schema: Schema,
    place: str,
) -> Part:
    keep = None
    cells = everything = math.prod(axis.size for axis in axes)
    if component.margin is not None:
        keep = tuple(number for number, axis in enumerate(axes) if axis.column in component.margin)
        cells = math.prod(axes[number].size for number in keep)
    crowd = everything // cells
    for name in ("filter", "condition"):
        predicate = getattr(component, name)
        if predicate is not None:
            _check_predicate(predicate, dataset, schema, f"{place}.{name}")
    centre = offset = 0
    bins = None
    column = None
    if component.column is not None:
        column = _column(component.column, dataset, f"{place}.column")
    if component.kind == "people":
        bound = 1
    elif component.kind in ("rows", "count"):
        bound = rows
    elif component.kind == "bins":
        assert component.column is not None
        edges = component.edges
        if component.grid is not None:
            first, width, count = component.grid
            edges = tuple(range(first, first + (count + 1) * width, width))
        bins = _axis(component.column, edges, dataset, schema, f"{place}.column")
        bound = rows
    elif component.kind == "sum":
        _must_be_number(column, component, place)
        assert component.clip is not None
        bound = max(abs(component.clip[0]), abs(component.clip[1]))
    elif component.condition is not None:  # total of a condition: +1 or -1
        bound = rows
    elif component.kind == "product":
        assert component.other is not None
        other = _must_be_number(_column(component.other, dataset, f"{place}.other"), component, place)
        bound = rows * _must_be_number(column, component, place).half_range * other.half_range
    else:
        number = _must_be_number(column, component, place)
        centre = number.centre
        if component.kind == "total":
            bound = rows * number.half_range
        else:
            square = number.half_range**2
            offset = square // 2
            bound = rows * max(offset, square - offset)
    reach = bound * min(groups, crowd)
    if reach * HEAD_ROOM >= 2**62:
        raise Invalid(
            f"one person can move a cell by {reach} steps, which leaves no head room in 64 bits",
            place=place,
            remedy="Lower max_rows or the clip, or ask the federation for a coarser step.",
        )
    if component.kind == "count" and column is not None:
        _must_be_number(column, component, place)
    width = cells * (bins.size if bins is not None else 1)
    return Part(component, start, width, bins, bound, groups, centre, offset, keep, crowd)


def _key_axis(key: GroupKey, dataset: Dataset, schema: Schema, place: str) -> Axis:
    if key.cases is None:
        return _axis(key.column, key.edges, dataset, schema, place)
    if key.column in dataset.columns:
        raise Invalid(f"{key.column!r} is a column here and cannot name cases", place=place)
    for number, case in enumerate(key.cases):
        _check_predicate(case, dataset, schema, f"{place}.cases.{number}")
    return Axis(key.column, (*(str(number + 1) for number in range(len(key.cases))), UNKNOWN), None, cases=key.cases)


def _axis(name: str, edges: tuple[int, ...] | None, dataset: Dataset, schema: Schema, place: str) -> Axis:
    column = _column(name, dataset, place)
    if not column.is_number:
        if edges is not None:
            raise Invalid(f"{name} has codes, not numbers; it takes no edges", place=place, remedy="Leave the edges out.")
        return Axis(name, (*schema.values(column), UNKNOWN), None)
    if edges is None:
        count = column.max_steps - column.min_steps + 1
        if column.type != "integer" or count > 1000:
            raise Invalid(
                f"{name} has {count} possible values; it needs public edges", place=place, remedy=f"Write bin({name}, e0, e1, ...)."
            )
        values = (str(column.decode(column.min_steps + i)) for i in range(count))
        return Axis(name, (*values, UNKNOWN), None, first=column.min_steps)
    shown = [str(column.decode(edge)) for edge in edges]
    last = len(edges) - 2
    labels = (f"[{shown[i]}, {shown[i + 1]}{']' if i == last else ')'}" for i in range(last + 1))
    return Axis(name, (*labels, UNKNOWN), edges)


def _column(name: str, dataset: Dataset, place: str) -> Column:
    column = dataset.columns.get(name)
    if column is None:
        if name == dataset.person:
            raise Invalid(
                f"{name} is the person column: it can be counted and nothing else",
                place=place,
                remedy=f"Write COUNT(DISTINCT {name}).",
            )
        raise Invalid(f"there is no column {name!r}", place=place, remedy=f"The dataset has: {', '.join(sorted(dataset.columns))}.")
    return column


def _must_be_number(column: Column | None, component: Component, place: str) -> Column:
    if column is None or not column.is_number:
        raise Invalid(f"{component.kind} needs a number, {component.column} has codes", place=f"{place}.column")
    return column


def _check_predicate(predicate: Predicate, dataset: Dataset, schema: Schema, place: str) -> None:
    if isinstance(predicate, And | Or):
        for number, arg in enumerate(predicate.args):
            _check_predicate(arg, dataset, schema, f"{place}.{number}")
    elif isinstance(predicate, Not):
        _check_predicate(predicate.arg, dataset, schema, place)
    else:
        column = _column(predicate.column, dataset, place)
        if isinstance(predicate, Range) and not column.is_number:
            raise Invalid(f"{predicate.column} has codes, not numbers", place=place, remedy="Use IN with its codes.")
        if isinstance(predicate, In):
            known = () if column.is_number else schema.values(column)
            for value in predicate.values:
                if isinstance(value, str) == column.is_number or (not column.is_number and value not in known):
                    raise Invalid(
                        f"{value!r} is no value of {predicate.column}",
                        place=place,
                        remedy="" if column.is_number else f"Its codes are: {', '.join(known)}.",
                    )
        assert isinstance(predicate, In | Range | Unknown)
