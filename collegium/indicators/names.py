"""Looking up what a catalogue names: columns and codes of the schema, populations and their datasets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from collegium.indicators.catalogue import Catalogue
from collegium.indicators.mistakes import Mistake, nearest
from collegium.schema import Schema

__all__ = ["codes_of", "column_of", "dataset_of", "same_codes"]


def dataset_of(population: str, catalogue: Catalogue) -> str:
    """The dataset of a population; its references have been checked."""
    each = catalogue.populations[population]
    name = each.dataset if each.within is None else catalogue.populations[each.within].dataset
    assert name is not None
    return name


def same_codes(schema: Schema, first: str, second: str, column: str) -> bool:
    """Both datasets have the column with the same codes: a value of it means the same in both."""
    one, other = (schema.datasets[name].columns.get(column) for name in (first, second))
    return one is not None and other is not None and (one.type, one.codes) == (other.type, other.codes)


def column_of(place: str, column: str, dataset: str, schema: Schema, *, integer: bool = False) -> Mistake | None:
    """What is wrong with the name of a column of a dataset. With `integer`, it must be a whole number."""
    columns = schema.datasets[dataset].columns
    if column not in columns:
        return Mistake(place, f"there is no column {column!r} in {dataset}", nearest(column, list(columns), "columns are"))
    if integer and columns[column].type != "integer":
        return Mistake(place, f"{column} of {dataset} is no whole number", "Name the column that holds the year.")
    return None


def codes_of(place: str, column: str, codes: Iterable[str], dataset: str, schema: Schema) -> Iterator[Mistake]:
    """What is wrong with codes of a column: the column itself, or the first code that it does not have."""
    mistake = column_of(place, column, dataset, schema)
    if mistake is not None:
        yield mistake
        return
    found = schema.datasets[dataset].columns[column]
    if found.is_number:
        yield Mistake(place, f"{column} of {dataset} has numbers, not codes", "Name a category or boolean column.")
        return
    known = schema.values(found)
    seen: set[str] = set()
    for code in codes:
        if code not in known:
            yield Mistake(place, f"{code!r} is no code of {column} in {dataset}", nearest(code, list(known), "codes are"))
            return
        if code in seen:
            yield Mistake(place, f"the code {code!r} stands twice", "Leave one out.")
            return
        seen.add(code)
