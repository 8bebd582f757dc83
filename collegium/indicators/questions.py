"""The questions of a plan: which families are asked together, by which keys, with which bounds, at which charge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collegium.errors import Invalid
from collegium.indicators.families import Columns, Family, Source
from collegium.question import MAX_COMPONENTS, Bounds, Component, GroupKey, Question
from collegium.schema import Column, Schema
from collegium.sql.release import Mode
from collegium.view import Measure, MeasureColumn, View

__all__ = ["bounds_of", "cells_of", "grouped", "question_of", "sizes_of", "view_of"]

MAX_HELD = 250_000
"""Cells times components that one question may have; a source that needs more is asked in several questions."""


def sizes_of(family: Family, margins: Mapping[Columns, object] | Sequence[Columns], schema: Schema) -> dict[str, int]:
    """Cells of each column."""
    columns = schema.datasets[family.source.dataset].columns
    return {name: cells_of(columns[name], schema) for margin in margins for name in margin}


def cells_of(column: Column, schema: Schema) -> int:
    """Cells of a column as a key, `unknown` included."""
    return (column.max_steps - column.min_steps + 1 if column.is_number else len(schema.values(column))) + 1


def grouped(measured: Mapping[Family, Mapping[Columns, float]], schema: Schema) -> list[list[Family]]:
    """The families of each question: those of one source, as long as it does not grow too large. The widest come first."""
    groups: dict[Source, list[list[Family]]] = {}
    for family, margins in sorted(measured.items(), key=lambda each: -_cells([each[0]], measured, schema)):
        for group in groups.setdefault(family.source, []):
            together = [*group, family]
            components = sum(len(measured[each]) for each in together)
            if components <= MAX_COMPONENTS and _cells(together, measured, schema) * len(together) <= MAX_HELD:
                group.append(family)
                break
        else:
            if len(margins) > MAX_COMPONENTS:
                raise Invalid(f"one measure is wanted by more than {MAX_COMPONENTS} tables", place=family.source.dataset)
            groups[family.source].append([family])
    return [group for several in groups.values() for group in several]


def _cells(group: Sequence[Family], measured: Mapping[Family, Mapping[Columns, float]], schema: Schema) -> int:
    cells = 1
    for size in {name: n for family in group for name, n in sizes_of(family, measured[family], schema).items()}.values():
        cells *= size
    return cells


def bounds_of(source: Source, max_rows: Mapping[str, int]) -> Bounds:
    """One cell and one row of a person, or the person's rows over all cells together."""
    if source.once:
        return Bounds(max_groups=1, max_rows=1)
    rows = max_rows[source.dataset]
    return Bounds(max_groups=rows, max_rows=rows, scope="person")


def question_of(
    group: Sequence[Family],
    measured: Mapping[Family, Mapping[Columns, float]],
    allowed: Mapping[object, int],
    bounds: Bounds,
    schema: Schema,
    mode: Mode,
) -> tuple[Question, dict[Family, dict[Columns, int]]]:
    """The question of some families of one source, and where each of their margins stands among its components."""
    source = group[0].source
    keys = tuple(sorted({name for family in group for margin in measured[family] for name in margin}))
    components: list[Component] = []
    places: dict[Family, dict[Columns, int]] = {}
    for family in group:
        places[family] = {}
        for margin, share in measured[family].items():
            nano = int(allowed[family] * share)
            if nano < 1:
                raise Invalid("the rho is too small for the catalogue's tables", place="rho", remedy="Give more.")
            places[family][margin] = len(components)
            components.append(family.operand.component(None if margin == keys else margin, nano))
    question = Question(
        dataset=source.dataset,
        filter=source.population,
        group=tuple(GroupKey(column=name) for name in keys),
        components=tuple(components),
        bounds=bounds,
        mode=mode,
        schema_id=schema.id,
    )
    return question.canonical(), places


def view_of(question: Question, facts: Sequence[str] = ()) -> View:
    """The least that a view may say: the total of one table. Indicators are made of all sums, by `estimate`.

    `facts`: of a national question, by which its sums are told apart.
    """
    first = next(number for number, component in enumerate(question.components) if component.kind != "total")
    return View(
        measures=(Measure(label="total", kind="value", parts=(first,)),),
        columns=(MeasureColumn(measure=0),),
        facts=tuple(facts),
        sets=((),) if question.group else None,
    )
