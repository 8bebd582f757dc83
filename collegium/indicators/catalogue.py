"""A catalogue of indicators: one TOML file of templates, public, versioned and signed into the registry.

    populations   who or what is counted: a dataset and a condition
    measures      what is measured of a population
    dimensions    the values by which a measure is given
    templates     measure x dimension x discipline, under a secondary indicator

These models hold the form: names, types, references within the file. Whether it fits a schema is `collegium.indicators.check`; what
it spells out is `collegium.indicators.expand`.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from collegium.errors import Invalid
from collegium.indicators.leaf import Kind
from collegium.indicators.mistakes import Mistake, translate
from collegium.schema import Text

__all__ = [
    "MAX_CATALOGUE",
    "TOTAL",
    "Bounds",
    "Catalogue",
    "Dimension",
    "Disciplines",
    "Impossible",
    "Label",
    "Marks",
    "Measure",
    "Population",
    "SecondaryLabel",
    "Some",
    "Template",
    "UnitLabel",
    "parse_catalogue",
    "read_catalogue",
    "validate",
]

MAX_CATALOGUE = 48 * 1024  # bytes, as for a schema: with the escapes of JSON it must fit one entry of 65,535
TOTAL = "total"
"""The name of no dimension: the measure for all values together."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Branch = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]{0,15}$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Condition = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Label(_Closed):
    """A name in both languages; neither may be left out."""

    en: Words
    zh: Words

    @property
    def text(self) -> Text:
        return Text(en=self.en, zh=self.zh)


class UnitLabel(Label):
    """How values are shown. `of`: people, rows, share (shown times 100), ratio, or the unit that the schema gives a column."""

    of: Annotated[str, StringConstraints(max_length=40)]


class SecondaryLabel(Label):
    primary: Branch


class Dimension(_Closed):
    column: Name
    values: Annotated[dict[Code, Label], Field(min_length=1)]


class Disciplines(_Closed):
    """The column that tells disciplines apart, and those for which indicators are given."""

    column: Name
    codes: Annotated[tuple[Code, ...], Field(min_length=1)]


class Population(_Closed):
    """Rows of a dataset that fulfil a condition; `within` another one instead of a dataset, and then of its rows."""

    dataset: Name | None = None
    within: Name | None = None
    where: Condition | None = None
    title: Label


class Bounds(_Closed):
    """Rows of one person that count in a year, over all cells of a table together."""

    max_rows: Annotated[int, Field(ge=1, le=10_000, strict=True)]


class Impossible(_Closed):
    """Combinations that have no row by their meaning; their figures are exactly 0."""

    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]
    codes: Annotated[dict[Name, Annotated[tuple[Code, ...], Field(min_length=1)]], Field(min_length=1)]


class Marks(_Closed):
    half_width: Annotated[Decimal, Field(gt=0, le=10)] = Decimal("0.3")


class Measure(_Closed):
    title: Label
    kind: Kind
    population: Name
    numerator: Condition | None = None
    counted: Label | None = None
    column: Name | None = None
    clip: tuple[Decimal, Decimal] | None = None
    denominator: Name | None = None
    unit: Name
    period: Name


class Some(_Closed):
    """Some values of a dimension, in this order."""

    dimension: Name
    values: Annotated[tuple[Code, ...], Field(min_length=1)]


class Template(_Closed):
    """A measure under a secondary indicator. `weight`: how much the errors of its indicators count when the budget is divided.

    `first_university` and `first_discipline` are the serial numbers of its first indicators, where numbers are to stay what they
    were in an earlier version; otherwise they go on from the template before.
    """

    secondary: Branch
    measure: Name
    university: tuple[Name | Some, ...] = ()
    discipline: tuple[Name | Some, ...] = ()
    weight: Annotated[Decimal, Field(gt=0, le=1000)] = Decimal(1)
    first_university: Annotated[int, Field(ge=1, le=999, strict=True)] | None = None
    first_discipline: Annotated[int, Field(ge=1, le=999, strict=True)] | None = None

    @property
    def dimensions(self) -> set[str]:
        """The names of all dimensions that it gives its measure by."""
        return {item.dimension if isinstance(item, Some) else item for item in (*self.university, *self.discipline)} - {TOTAL}


class Catalogue(_Closed):
    """The whole file. `schema_id` is NAME/VERSION of the schema that it was written for: that version or a later one."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    version: Annotated[int, Field(ge=1, le=10**9, strict=True)]
    schema_id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}/[1-9][0-9]{0,8}$")] = Field(alias="schema")
    title: Label
    note: Label
    year: Name
    marks: Marks = Marks()
    discipline: Disciplines | None = None
    periods: Annotated[dict[Name, Label], Field(min_length=1)]
    units: Annotated[dict[Name, UnitLabel], Field(min_length=1)]
    bounds: dict[Name, Bounds] = {}
    impossible: tuple[Impossible, ...] = ()
    primaries: Annotated[dict[Branch, Label], Field(min_length=1)]
    secondaries: Annotated[dict[Branch, SecondaryLabel], Field(min_length=1)]
    populations: Annotated[dict[Name, Population], Field(min_length=1)]
    dimensions: dict[Name, Dimension] = {}
    measures: Annotated[dict[Name, Measure], Field(min_length=1)]
    templates: Annotated[tuple[Template, ...], Field(min_length=1)]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def id(self) -> str:
        return f"{self.name}/{self.version}"


def validate(text: str) -> tuple[Catalogue | None, list[Mistake]]:
    """The catalogue of a TOML text, or all that is wrong with its form."""
    size = len(text.encode())
    if size > MAX_CATALOGUE:
        return None, [Mistake("", f"the catalogue has {size:,} bytes, more than {MAX_CATALOGUE:,}", "Shorten its texts.")]
    try:
        tree: dict[str, Any] = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:  # ValueError: an integer of thousands of digits
        return None, [Mistake("", f"this is not TOML: {error}", "Correct it there.")]
    try:
        return Catalogue.model_validate(tree), []
    except ValidationError as error:
        return None, translate(error, Catalogue)


def parse_catalogue(text: str, *, place: str = "catalogue") -> Catalogue:
    """The catalogue of a TOML text. Raises Invalid with the place of the first mistake in its form."""
    catalogue, mistakes = validate(text)
    if catalogue is None:
        raise mistakes[0].error(place)
    return catalogue


def read_catalogue(path: Path) -> Catalogue:
    """A catalogue from its file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot be read: {error}", place=str(path)) from None
    return parse_catalogue(text, place=str(path))
