"""The templates of a catalogue: that they name what there is, make something, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator

from collegium.indicators.catalogue import TOTAL, Catalogue, Some, Template
from collegium.indicators.definition import entitle
from collegium.indicators.leaf import Level
from collegium.indicators.mistakes import Mistake, nearest
from collegium.indicators.names import codes_of, column_of, dataset_of
from collegium.indicators.numbering import slots
from collegium.schema import Schema

__all__ = ["templates"]

MAX_SERIAL = 999


def templates(catalogue: Catalogue, schema: Schema, unsound: set[str]) -> Iterator[Mistake]:
    """All mistakes. `unsound`: measures that are wrong themselves; what they are given by is not looked at."""
    found = list(_disciplines(catalogue, schema, unsound))
    for number, template in enumerate(catalogue.templates, start=1):
        found += _template(f"templates[{number}]", template, catalogue, schema, unsound)
    yield from dict.fromkeys(found)  # what is wrong with a dimension is wrong in every template that uses it
    if not found:
        yield from _twice(catalogue)
    used = {template.secondary for template in catalogue.templates}
    for name in catalogue.secondaries:
        if name not in used:
            yield Mistake(f"secondaries.{name}", "no template is under this secondary indicator", "Add one, or leave it out.")


def _disciplines(catalogue: Catalogue, schema: Schema, unsound: set[str]) -> Iterator[Mistake]:
    """What is wrong with [discipline], once; and templates whose datasets do not have its column."""
    told = False
    for number, template in enumerate(catalogue.templates, start=1):
        measure = catalogue.measures.get(template.measure)
        place = f"templates[{number}].discipline"
        if not template.discipline or measure is None:
            continue
        if catalogue.discipline is None:
            yield Mistake(place, "the catalogue names no disciplines: this expands to nothing", "Add [discipline].")
            return
        if template.measure in unsound:
            continue
        column, codes = catalogue.discipline.column, catalogue.discipline.codes
        for name in (measure.population, measure.denominator):
            dataset = dataset_of(name, catalogue) if name is not None else ""
            absent = column_of(place, column, dataset, schema) if dataset else None
            if absent is not None:
                yield absent
            elif dataset and not told:
                for mistake in codes_of("discipline.codes", column, codes, dataset, schema):
                    told = True
                    yield mistake


def _template(place: str, template: Template, catalogue: Catalogue, schema: Schema, unsound: set[str]) -> Iterator[Mistake]:
    if template.secondary not in catalogue.secondaries:
        remedy = nearest(template.secondary, list(catalogue.secondaries), "secondary indicators are")
        yield Mistake(f"{place}.secondary", f"there is no secondary indicator {template.secondary!r}", remedy)
    measure = catalogue.measures.get(template.measure)
    if measure is None:
        remedy = nearest(template.measure, list(catalogue.measures), "measures are")
        yield Mistake(f"{place}.measure", f"there is no measure {template.measure!r}", remedy)
        return
    if not template.university and not template.discipline:
        yield Mistake(place, "this template expands to nothing", f'Write university = ["{TOTAL}"], or leave the template out.')
        return
    sound = template.measure not in unsound
    dataset = dataset_of(measure.population, catalogue) if sound else ""
    for level, items in (("university", template.university), ("discipline", template.discipline)):
        seen: set[str] = set()
        for item in items:
            name = item.dimension if isinstance(item, Some) else item
            here = f"{place}.{level}"
            if name in seen:
                yield Mistake(here, f"{name!r} stands twice", "Leave one out.")
                continue
            seen.add(name)
            if name == TOTAL:
                if measure.kind == "share":
                    yield Mistake(here, "a share of everything is always 1", f"Leave {TOTAL!r} out and name a dimension.")
                continue
            dimension = catalogue.dimensions.get(name)
            if dimension is None:
                yield Mistake(
                    here, f"there is no dimension {name!r}", nearest(name, [TOTAL, *catalogue.dimensions], "dimensions are")
                )
                continue
            if isinstance(item, Some):
                yield from _some(here, item, list(dimension.values))
            if sound:
                unfit = column_of(here, dimension.column, dataset, schema)
                if unfit is not None:
                    yield Mistake(here, f"{name} cannot be used here: {unfit.text}", unfit.remedy)
                else:
                    yield from codes_of(f"dimensions.{name}.values", dimension.column, dimension.values, dataset, schema)


def _some(place: str, item: Some, values: list[str]) -> Iterator[Mistake]:
    for value in item.values:
        if value not in values:
            yield Mistake(place, f"{item.dimension} has no value {value!r}", nearest(value, values, "values are"))
    if len(set(item.values)) < len(item.values):
        yield Mistake(place, f"a value of {item.dimension} stands twice", "Leave one out.")


def _twice(catalogue: Catalogue) -> Iterator[Mistake]:
    """Ids, meanings and names that two indicators would share; each template is named once."""
    ids: dict[str, int] = {}
    meanings: dict[tuple[str, Level, str | None, str | None, str | None], str] = {}
    names: dict[tuple[Level, str | None, str], str] = {}
    told: set[int] = set()
    for slot in slots(catalogue):
        template = catalogue.templates[slot.template]
        place = f"templates[{slot.template + 1}]"
        first = ids.setdefault(slot.id, slot.template)
        meaning = (template.measure, slot.level, slot.discipline, slot.dimension, slot.value)
        same = meanings.setdefault(meaning, slot.id)
        label = catalogue.dimensions[slot.dimension].values[str(slot.value)].text if slot.dimension is not None else None
        title = entitle(catalogue.measures[template.measure].title.text, label, None)
        alike = [names.setdefault((slot.level, slot.discipline, text), slot.id) for text in (title.en, title.zh)]
        if slot.template in told:
            continue
        if first != slot.template:
            told.add(slot.template)
            remedy = f"Give templates[{first + 1}] or this one another `first_{slot.level}`."
            yield Mistake(place, f"the id {slot.id} is that of an indicator of templates[{first + 1}] too", remedy)
        elif same != slot.id:
            told.add(slot.template)
            yield Mistake(place, f"{slot.id} would be the same as {same}", "Leave it out of one of the two templates.")
        elif int(slot.id.rsplit("-", 1)[1]) > MAX_SERIAL:
            told.add(slot.template)
            yield Mistake(place, f"{template.secondary} has more than {MAX_SERIAL} indicators", "Divide it.")
        elif any(other != slot.id for other in alike):
            told.add(slot.template)
            other = next(other for other in alike if other != slot.id)
            yield Mistake(place, f"{slot.id} would have the same name as {other}", "Give one measure another title.")
