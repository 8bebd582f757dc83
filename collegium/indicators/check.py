"""All that is wrong with a catalogue's file: its form, its fit to the schema, and what it changes against the version before."""

from __future__ import annotations

from collegium.indicators.catalogue import Catalogue, validate
from collegium.indicators.condition import Conditions
from collegium.indicators.fit import fit
from collegium.indicators.mistakes import Mistake
from collegium.indicators.numbering import slots
from collegium.schema import Schema

__all__ = ["check", "follows", "last_year"]

SHOWN = 10  # ids whose meaning changes


def check(text: str, schema: Schema, *, after: Catalogue | None = None) -> list[Mistake]:
    """All mistakes of a catalogue's TOML text, none if it can be signed. `after` is the version that it is to follow."""
    catalogue, wrong = validate(text)
    if catalogue is None:
        return wrong
    wrong = fit(catalogue, schema, Conditions(schema, last_year(catalogue, schema)))
    if after is not None:
        wrong += follows(catalogue, after, compare=not wrong)
    return wrong


def follows(catalogue: Catalogue, after: Catalogue, *, compare: bool = True) -> list[Mistake]:
    """What stands against publishing a catalogue after another. With `compare`, ids must keep their meaning."""
    wrong = []
    if catalogue.name != after.name:
        wrong.append(Mistake("name", f"the catalogue before it is {after.name!r}", "Keep the name."))
    if catalogue.version <= after.version:
        text = f"the version was not increased: {after.id} is published already"
        wrong.append(Mistake("version", text, f"Write version = {after.version + 1}."))
    if compare:
        before = _meanings(after)
        for id, (meaning, place) in _meanings(catalogue).items():
            if id in before and before[id][0] != meaning and len(wrong) < SHOWN:
                text = f"{id} would change its meaning, from {_spell(before[id][0])} to {_spell(meaning)}"
                remedy = "Put new templates behind those of the same secondary indicator, or give it its earlier first_university."
                wrong.append(Mistake(place, text, remedy))
    return wrong


def last_year(catalogue: Catalogue, schema: Schema) -> int:
    """A year on which conditions can be tried: the last that a dataset's column of years can hold."""
    columns = [dataset.columns[catalogue.year] for dataset in schema.datasets.values() if catalogue.year in dataset.columns]
    return max((int(column.max) for column in columns if column.max is not None), default=2000)


def _meanings(catalogue: Catalogue) -> dict[str, tuple[tuple[str, ...], str]]:
    """By id: measure and value, and the template that it comes from."""
    found = {}
    for slot in slots(catalogue):
        measure = catalogue.templates[slot.template].measure
        meaning = (measure, *(part for part in (slot.dimension, slot.value) if part is not None))
        found[slot.id] = meaning, f"templates[{slot.template + 1}]"
    return found


def _spell(meaning: tuple[str, ...]) -> str:
    return " ".join(meaning)
