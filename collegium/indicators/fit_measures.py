"""The measures of a catalogue: keys that its kind needs, columns, clips, units, denominators."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from collegium.errors import Invalid
from collegium.indicators.catalogue import Catalogue, Measure
from collegium.indicators.condition import Conditions
from collegium.indicators.leaf import Kind
from collegium.indicators.mistakes import Mistake, nearest
from collegium.indicators.names import column_of, dataset_of
from collegium.schema import Column, Schema

__all__ = ["measures"]

_KEYS = ("numerator", "counted", "column", "clip", "denominator")

NEEDS: dict[Kind, tuple[str, ...]] = {
    "count_distinct": (),
    "count": (),
    "sum": ("column", "clip"),
    "mean": ("column",),
    "ratio": ("numerator", "counted"),
    "share": (),
    "count_per": ("denominator",),
    "sum_per": ("column", "clip", "denominator"),
    "distinct_per": ("denominator",),
}
"""The keys of a measure that each kind has, beside those that all have, and no others."""

# What a unit may be `of`; None stands for the unit of the column that is summed.
UNITS: dict[Kind, tuple[str | None, ...]] = {
    "count_distinct": ("people",),
    "count": ("rows",),
    "sum": (None,),
    "mean": (None,),
    "ratio": ("share",),
    "share": ("share",),
    "count_per": ("share", "ratio", "rows"),
    "sum_per": (None,),
    "distinct_per": ("share", "ratio"),
}


def measures(catalogue: Catalogue, schema: Schema, conditions: Conditions, broken: set[str]) -> Iterator[tuple[Mistake, str]]:
    """Mistakes, and the measure each is in. `broken`: populations that cannot be looked at."""
    used = {template.measure for template in catalogue.templates}
    for name, measure in catalogue.measures.items():
        if name not in used:
            yield Mistake(f"measures.{name}", "no template uses this measure", "Add a template, or leave it out."), name
        for mistake in _measure(f"measures.{name}", measure, catalogue, schema, conditions, broken):
            yield mistake, name


def _measure(
    place: str, measure: Measure, catalogue: Catalogue, schema: Schema, conditions: Conditions, broken: set[str]
) -> Iterator[Mistake]:
    needed = NEEDS[measure.kind]
    for key in _KEYS:
        there = getattr(measure, key) is not None
        if there and key not in needed:
            yield Mistake(
                f"{place}.{key}", f"a {measure.kind} has no `{key}`", f"Leave it out, or write another kind than {measure.kind}."
            )
        if not there and key in needed:
            yield Mistake(place, f"a {measure.kind} needs `{key}`", f"Add `{key}`.")
    if measure.period not in catalogue.periods:
        remedy = nearest(measure.period, list(catalogue.periods), "periods are")
        yield Mistake(f"{place}.period", f"there is no period {measure.period!r}", remedy)
    for key in ("population", "denominator"):
        population = getattr(measure, key)
        if population is not None and population not in catalogue.populations:
            remedy = nearest(population, list(catalogue.populations), "populations are")
            yield Mistake(f"{place}.{key}", f"there is no population {population!r}", remedy)
            return
        if population is not None and (population in broken or catalogue.populations[population].within in broken):
            return
    dataset = dataset_of(measure.population, catalogue)
    if measure.numerator is not None:
        mistake = conditions.mistake(measure.numerator, dataset, f"{place}.numerator")
        if mistake is not None:
            yield mistake
    column: Column | None = None
    if measure.column is not None and "column" in needed:
        mistake = column_of(f"{place}.column", measure.column, dataset, schema)
        if mistake is None and not schema.datasets[dataset].columns[measure.column].is_number:
            mistake = Mistake(f"{place}.column", f"{measure.column} has codes and cannot be summed", "Name a number.")
        if mistake is not None:
            yield mistake
            return
        column = schema.datasets[dataset].columns[measure.column]
        if measure.clip is not None:
            yield from _clip(f"{place}.clip", measure, column, _rows(dataset, catalogue, schema))
    yield from _unit(place, measure, column, catalogue)
    if measure.denominator is not None:
        yield from _denominator(place, dataset, dataset_of(measure.denominator, catalogue), catalogue, schema)


def _clip(place: str, measure: Measure, column: Column, rows: int) -> Iterator[Mistake]:
    assert measure.clip is not None
    assert column.min is not None
    assert column.max is not None
    low, high = measure.clip
    least, most = min(column.min, Decimal(0)) * rows, max(column.max, Decimal(0)) * rows
    if low >= high:
        yield Mistake(place, f"the ends {low} and {high} do not increase", "Write the lower end first.")
    elif low > 0 or high < 0:
        yield Mistake(place, "0 is not within the clip, and a person without rows has the sum 0", "Let it reach to 0.")
    elif low < least or high > most:
        reach = f"{least:f} to {most:f}" if least or most else "0"
        yield Mistake(
            place,
            f"{low} to {high} lies outside the bounds: {measure.column} of one person adds up to {reach} over {rows} rows",
            "Write ends within these; what is wider only adds noise.",
        )
    else:
        try:
            column.encode(low), column.encode(high)
        except Invalid as error:
            yield Mistake(place, error.text, "Write multiples of the step.")


def _unit(place: str, measure: Measure, column: Column | None, catalogue: Catalogue) -> Iterator[Mistake]:
    unit = catalogue.units.get(measure.unit)
    if unit is None:
        yield Mistake(
            f"{place}.unit", f"there is no unit {measure.unit!r}", nearest(measure.unit, list(catalogue.units), "units are")
        )
        return
    fits = [column.unit if each is None and column is not None else each for each in UNITS[measure.kind]]
    if unit.of not in fits:
        there = [name for name, each in catalogue.units.items() if each.of in fits]
        wanted = " or ".join(repr(each) for each in fits if each is not None)
        remedy = f"Write {' or '.join(there[:5])}." if there else f"Add a unit that is `of` {wanted}."
        yield Mistake(f"{place}.unit", f"{measure.unit} is of {unit.of!r}, and this {measure.kind} is of {wanted}", remedy)


def _denominator(place: str, dataset: str, other: str, catalogue: Catalogue, schema: Schema) -> Iterator[Mistake]:
    one, two = schema.datasets[dataset].unit, schema.datasets[other].unit
    if one == two:
        return
    for name in (dataset, other):
        if name not in catalogue.bounds:
            yield Mistake(
                f"{place}.denominator",
                f"it counts another kind of person ({two}, not {one}), and {name} has no bounds: it would charge both unseen",
                f"Add [bounds.{name}] with `max_rows`.",
            )


def _rows(dataset: str, catalogue: Catalogue, schema: Schema) -> int:
    bounds = catalogue.bounds.get(dataset)
    return bounds.max_rows if bounds is not None else schema.datasets[dataset].max_rows
