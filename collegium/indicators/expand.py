"""A catalogue spelt out: every indicator with its predicates, cells and words. Each condition is compiled once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from collegium.indicators.catalogue import Catalogue, Measure
from collegium.indicators.condition import Conditions
from collegium.indicators.definition import define, entitle
from collegium.indicators.fit import fit
from collegium.indicators.leaf import Cell, Expanded, Impossible, Leaf, Primary, Secondary
from collegium.indicators.names import same_codes
from collegium.indicators.numbering import Slot, slots
from collegium.question import And, Predicate, canonical_predicate, columns_of
from collegium.schema import Column, Schema, Text

__all__ = ["expand"]


@dataclass(frozen=True, slots=True)
class _People:
    """A population with its conditions compiled."""

    dataset: str
    unit: str
    population: Predicate
    among: Predicate | None
    where: Predicate
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Measured:
    """A measure with all that its indicators share."""

    measure: Measure
    over: _People
    per: _People | None
    numerator: Predicate | None
    column: Column | None
    clip: tuple[int, int] | None


def expand(catalogue: Catalogue, schema: Schema, year: int) -> Expanded:
    """Every indicator of a catalogue for one year. Raises Invalid with the place of the first thing that does not fit."""
    conditions = Conditions(schema, year)
    mistakes = fit(catalogue, schema, conditions)
    if mistakes:
        raise mistakes[0].error(f"catalogue {catalogue.id}")
    people = {name: _people(name, catalogue, schema, conditions) for name in catalogue.populations}
    measured = {name: _measure(name, catalogue, schema, conditions, people) for name in catalogue.measures}
    return Expanded(
        catalogue=catalogue.id,
        schema=schema.id,
        year=year,
        title=catalogue.title.text,
        note=catalogue.note.text,
        primaries=tuple(Primary(id, label.text) for id, label in catalogue.primaries.items()),
        secondaries=tuple(Secondary(id, label.primary, label.text) for id, label in catalogue.secondaries.items()),
        leaves=tuple(_leaf(slot, catalogue, schema, measured) for slot in slots(catalogue)),
        max_rows={
            name: catalogue.bounds[name].max_rows if name in catalogue.bounds else schema.datasets[name].max_rows
            for name in sorted({each.dataset for each in people.values()})
        },
        impossible=tuple(Impossible(name, each.codes) for each in catalogue.impossible for name in each.datasets),
        periods={name: label.text for name, label in catalogue.periods.items()},
        half_width=float(catalogue.marks.half_width),
    )


def _people(name: str, catalogue: Catalogue, schema: Schema, conditions: Conditions) -> _People:
    here = catalogue.populations[name]
    base = here if here.within is None else catalogue.populations[here.within]
    assert base.dataset is not None
    dataset = base.dataset
    population = conditions(f"{catalogue.year} = :Y", dataset)
    if base.where is not None:
        population = _and(population, conditions(base.where, dataset))
    among = conditions(here.where, dataset) if here.within is not None and here.where is not None else None
    where = population if among is None else _and(population, among)
    return _People(dataset, schema.datasets[dataset].unit, population, among, where, frozenset(columns_of(where)))


def _measure(name: str, catalogue: Catalogue, schema: Schema, conditions: Conditions, people: dict[str, _People]) -> _Measured:
    measure = catalogue.measures[name]
    over = people[measure.population]
    column = schema.datasets[over.dataset].columns[measure.column] if measure.column is not None else None
    clip = None
    if measure.clip is not None and column is not None:
        clip = column.encode(measure.clip[0]), column.encode(measure.clip[1])
    return _Measured(
        measure,
        over,
        people[measure.denominator] if measure.denominator is not None else None,
        conditions(measure.numerator, over.dataset) if measure.numerator is not None else None,
        column,
        clip,
    )


def _leaf(slot: Slot, catalogue: Catalogue, schema: Schema, measured: dict[str, _Measured]) -> Leaf:
    template = catalogue.templates[slot.template]
    made = measured[template.measure]
    measure, over, per = made.measure, made.over, made.per
    dimension = catalogue.dimensions[slot.dimension] if slot.dimension is not None else None
    value = dimension.values[slot.value].text if dimension is not None and slot.value is not None else None
    discipline_column = catalogue.discipline.column if slot.discipline is not None and catalogue.discipline is not None else None
    discipline: Text | None = None
    at: list[tuple[str, str]] = []
    if discipline_column is not None and slot.discipline is not None:
        discipline = schema.values(schema.datasets[over.dataset].columns[discipline_column])[slot.discipline]
        at.append((discipline_column, slot.discipline))
    shared = per is not None and dimension is not None and same_codes(schema, over.dataset, per.dataset, dimension.column)
    key = [(dimension.column, slot.value)] if dimension is not None and slot.value is not None else []
    cell: Cell = (*key, *at)
    unit = catalogue.units[measure.unit]
    below = (*key, *at) if shared or measure.kind in ("ratio", "mean") else tuple(at)
    return Leaf(
        id=slot.id,
        level=slot.level,
        primary=catalogue.secondaries[template.secondary].primary,
        secondary=template.secondary,
        title=entitle(measure.title.text, value, discipline),
        measure=template.measure,
        kind=measure.kind,
        dataset=over.dataset,
        privacy_unit=over.unit,
        population=over.population,
        among=over.among,
        where=over.where,
        numerator=made.numerator,
        column=measure.column,
        clip=made.clip,
        denominator_dataset=per.dataset if per is not None else None,
        denominator_unit=per.unit if per is not None else None,
        denominator_population=per.population if per is not None else None,
        denominator_among=per.among if per is not None else None,
        denominator_where=per.where if per is not None else None,
        dimension=slot.dimension,
        dimension_column=dimension.column if dimension is not None else None,
        value=slot.value,
        discipline_column=discipline_column,
        discipline=slot.discipline,
        cell=cell,
        denominator_cell=() if measure.kind in ("count_distinct", "count", "sum") else below,
        unit=Text(en=unit.en, zh=unit.zh),
        factor=100 if unit.of == "share" else 1,
        period=measure.period,
        definition=define(measure, catalogue, made.column, value, discipline, shared),
        weight=float(template.weight),
        columns=frozenset(_columns(made, cell, below)),
    )


def _columns(made: _Measured, cell: Cell, below: Cell) -> Iterable[tuple[str, str]]:
    names = made.over.columns | {column for column, _ in cell}
    if made.numerator is not None:
        names |= columns_of(made.numerator)
    if made.measure.column is not None:
        names |= {made.measure.column}
    yield from ((made.over.dataset, name) for name in names)
    if made.per is not None:
        yield from ((made.per.dataset, name) for name in made.per.columns | {column for column, _ in below})


def _and(first: Predicate, second: Predicate) -> Predicate:
    return canonical_predicate(And(args=(first, second)))
