"""Whether a catalogue fits a schema, and its parts each other: all that is wrong, each once, at its place."""

from __future__ import annotations

from collections.abc import Iterator

from collegium.indicators.catalogue import Catalogue
from collegium.indicators.condition import Conditions
from collegium.indicators.fit_measures import measures
from collegium.indicators.fit_templates import templates
from collegium.indicators.mistakes import Mistake, nearest
from collegium.indicators.names import codes_of, column_of
from collegium.schema import Schema

__all__ = ["fit"]


def fit(catalogue: Catalogue, schema: Schema, conditions: Conditions) -> list[Mistake]:
    """All mistakes. What rests on something that is itself wrong is not reported again."""
    wrong = list(_frame(catalogue, schema))
    if wrong and wrong[0].place == "schema":
        return wrong[:1]  # with another schema nothing else can be judged
    broken: set[str] = set()  # populations whose columns cannot be looked up
    for mistake, name in _populations(catalogue, schema, conditions):
        broken.add(name)
        if all(each.place != mistake.place for each in wrong):  # the column of years is wrong once, whatever the number of datasets
            wrong.append(mistake)
    wrong += _dimensions(catalogue)
    unsound = []
    for mistake, name in measures(catalogue, schema, conditions, broken):
        wrong.append(mistake)
        unsound.append(name)
    wrong += templates(catalogue, schema, {*unsound, *_resting(catalogue, broken)})
    return wrong


def _frame(catalogue: Catalogue, schema: Schema) -> Iterator[Mistake]:
    name, _, version = catalogue.schema_id.partition("/")
    if name != schema.name:
        yield Mistake(
            "schema", f"the catalogue is for the schema {name!r}, and this one is {schema.name!r}", "Write it for this one."
        )
        return
    if int(version) > schema.version:
        yield Mistake(
            "schema",
            f"the catalogue needs {catalogue.schema_id}, and the schema in force is {schema.id}",
            "Publish that schema first.",
        )
        return
    for dataset in catalogue.bounds:
        if dataset not in schema.datasets:
            yield _no_dataset(f"bounds.{dataset}", dataset, schema)
    for number, each in enumerate(catalogue.impossible, start=1):
        for dataset in each.datasets:
            place = f"impossible[{number}]"
            if dataset not in schema.datasets:
                yield _no_dataset(f"{place}.datasets", dataset, schema)
                continue
            for column, codes in each.codes.items():
                yield from codes_of(f"{place}.codes.{column}", column, codes, dataset, schema)
    for secondary, label in catalogue.secondaries.items():
        if label.primary not in catalogue.primaries:
            remedy = nearest(label.primary, list(catalogue.primaries), "primary indicators are")
            yield Mistake(f"secondaries.{secondary}.primary", f"there is no primary indicator {label.primary!r}", remedy)


def _populations(catalogue: Catalogue, schema: Schema, conditions: Conditions) -> Iterator[tuple[Mistake, str]]:
    """Mistakes, and the population that each makes unusable; outer populations first."""
    broken: set[str] = set()
    for name, each in sorted(catalogue.populations.items(), key=lambda item: item[1].within is not None):
        place = f"populations.{name}"
        mistake = None
        dataset = each.dataset
        if (each.dataset is None) == (each.within is None):
            mistake = Mistake(place, "a population has either a `dataset` or another population, `within`", "Write one of the two.")
        elif each.within is not None:
            base = catalogue.populations.get(each.within)
            others = [other for other, there in catalogue.populations.items() if there.within is None]
            if base is None:
                mistake = Mistake(
                    f"{place}.within", f"there is no population {each.within!r}", nearest(each.within, others, "populations are")
                )
            elif base.within is not None:
                mistake = Mistake(
                    f"{place}.within", f"{each.within!r} is itself within {base.within!r}", f"Write within = {base.within!r}."
                )
            elif each.where is None:
                mistake = Mistake(place, "a population within another needs a condition", f"Add `where`, or use {each.within!r}.")
            elif each.within in broken:
                broken.add(name)
                continue
            else:
                dataset = base.dataset
        elif dataset not in schema.datasets:
            mistake = _no_dataset(f"{place}.dataset", str(dataset), schema)
        if mistake is None and dataset is not None:
            mistake = column_of("year", catalogue.year, dataset, schema, integer=True) or (
                conditions.mistake(each.where, dataset, f"{place}.where") if each.where is not None else None
            )
        if mistake is not None:
            broken.add(name)
            yield mistake, name


def _dimensions(catalogue: Catalogue) -> Iterator[Mistake]:
    used = {each for template in catalogue.templates for each in template.dimensions}
    for name in catalogue.dimensions:
        if name == "total":
            yield Mistake(f"dimensions.{name}", "`total` stands for no dimension", "Give the dimension another name.")
        elif name not in used:
            yield Mistake(f"dimensions.{name}", "no template gives a measure by this dimension", "Use it, or leave it out.")


def _resting(catalogue: Catalogue, broken: set[str]) -> set[str]:
    """The measures of populations that are broken, and of those within them."""
    bad = broken | {name for name, each in catalogue.populations.items() if each.within in broken}
    return {name for name, each in catalogue.measures.items() if each.population in bad or each.denominator in bad}


def _no_dataset(place: str, dataset: str, schema: Schema) -> Mistake:
    return Mistake(place, f"there is no dataset {dataset!r}", nearest(dataset, list(schema.datasets), "datasets are"))
