"""The federation's public schema: datasets, columns, category lists and bounds, the same at every node.

A schema is one TOML file. It is public, signed into the registry and versioned, and everything a question can mention is in it:
the cells of a tally, their bounds and therefore the noise depend on the schema and the question alone, never on data.

Numbers are integers in the column's step: gpa 3.57 with step 0.01 is 357. `Column.encode` and `Column.decode` convert.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from collegium.errors import Invalid

__all__ = ["UNKNOWN", "Column", "Dataset", "Fact", "Schema", "Text", "Unit", "parse_schema", "read_schema"]

UNKNOWN = "unknown"
"""The label of the cell for values that are null or outside the public list."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Code = Annotated[str, StringConstraints(min_length=1, max_length=64)]

MAX_TOML = 48 * 1024  # with room for the JSON escapes it must fit one log entry of 65,535 bytes


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(_Frozen):
    """A label in the federation's two languages; Chinese may be left out."""

    en: str
    zh: str = ""

    def get(self, language: str) -> str:
        return (self.zh if language == "zh" else self.en) or self.en


class Unit(_Frozen):
    """A privacy unit: the kind of person who is protected."""

    title: Text
    max_nodes_per_person: Annotated[int, Field(ge=1, le=100)] = 1


class Fact(_Frozen):
    """A public fact of a node, such as its province. Grouping by it costs nothing: the coordinator applies it."""

    title: Text
    codes: Name


class Column(_Frozen):
    """One column that questions may mention.

    `category` has a public code list, `boolean` the codes "0" and "1", `integer` and `decimal` have bounds. `min`, `max` and
    `step` are written in natural units; the properties ending in `_steps` are integers in steps.
    """

    type: Literal["category", "boolean", "integer", "decimal"]
    title: Text
    codes: Name | None = None
    min: Decimal | None = None
    max: Decimal | None = None
    step: Decimal = Decimal(1)
    unit: str = ""
    person_max: Decimal | None = None  # default clip of one person's sum in a cell; natural units

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type == "category" and self.codes is None:
            raise ValueError("a category column needs `codes`, the name of a code list")
        if self.type != "category" and self.codes is not None:
            raise ValueError(f"`codes` belongs to category columns, not to type {self.type}")
        if self.is_number:
            if self.min is None or self.max is None:
                raise ValueError("a number needs public bounds `min` and `max`")
            if self.step <= 0:
                raise ValueError("`step` must be above 0")
            if self.type == "integer" and self.step != self.step.to_integral_value():
                raise ValueError("an integer column has a whole `step`")
            for name in ("min", "max", "person_max"):
                value = getattr(self, name)
                if value is not None and value % self.step != 0:
                    raise ValueError(f"`{name}` must be a multiple of `step`")
            if self.min >= self.max:
                raise ValueError("`min` must be below `max`")
            if max(abs(self.min), abs(self.max)) / self.step > 2**40:
                raise ValueError("bounds reach beyond 2^40 steps; use a coarser `step`")
            if self.person_max is not None and self.person_max <= 0:
                raise ValueError("`person_max` must be above 0")
        elif self.min is not None or self.max is not None or self.person_max is not None or self.step != 1:
            raise ValueError(f"`min`, `max`, `step` and `person_max` belong to numbers, not to type {self.type}")
        return self

    @property
    def is_number(self) -> bool:
        return self.type in ("integer", "decimal")

    @property
    def min_steps(self) -> int:
        assert self.min is not None
        return int(self.min / self.step)

    @property
    def max_steps(self) -> int:
        assert self.max is not None
        return int(self.max / self.step)

    @property
    def centre(self) -> int:
        """The middle of the bounds in steps, rounded down; sums for means are centred on it."""
        return (self.min_steps + self.max_steps) // 2

    @property
    def half_range(self) -> int:
        """The largest distance from `centre` within the bounds, in steps."""
        return self.max_steps - self.centre

    @property
    def decimals(self) -> int:
        """Decimal places of one step, for display."""
        exponent = self.step.normalize().as_tuple().exponent
        return max(0, -exponent) if isinstance(exponent, int) else 0

    def encode(self, value: str | int | Decimal) -> int:
        """Natural units to steps. Raises Invalid when the value is no number or not a whole number of steps."""
        try:
            steps = Decimal(str(value)) / self.step
            whole = steps.to_integral_value()
        except (InvalidOperation, ValueError):
            raise Invalid(f"{value!r} is not a number") from None
        if not steps.is_finite() or steps != whole:
            raise Invalid(f"{value} is not a multiple of the step {self.step}")
        return int(whole)

    def decode(self, steps: int) -> Decimal:
        """Steps to natural units."""
        return Decimal(steps) * self.step


class Dataset(_Frozen):
    """One table. `person` is the public name of the person column: it can be counted, never filtered, grouped or shown."""

    title: Text
    unit: Name
    person: Name
    max_rows: Annotated[int, Field(ge=1, le=10_000)] = 1
    max_groups: Annotated[int, Field(ge=1, le=10_000)] = 1
    columns: dict[Name, Column]

    @model_validator(mode="after")
    def _person_is_no_column(self) -> Self:
        if self.person in self.columns:
            raise ValueError(f"the person column {self.person!r} must not be among the columns")
        if not self.columns:
            raise ValueError("a dataset needs at least one column")
        return self


class Schema(_Frozen):
    """All that questions may mention. Immutable; a change is a new version."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    version: Annotated[int, Field(ge=1)]
    title: Text
    units: dict[Name, Unit]
    codes: dict[Name, dict[Code, Text]] = {}
    facts: dict[Name, Fact] = {}
    datasets: dict[Name, Dataset]

    @model_validator(mode="after")
    def _references(self) -> Self:
        for name, codes in self.codes.items():
            if not codes or UNKNOWN in codes:
                raise ValueError(f"codes.{name}: a code list is not empty and does not contain {UNKNOWN!r}")
        for name, fact in self.facts.items():
            if fact.codes not in self.codes:
                raise ValueError(f"facts.{name}: there is no code list {fact.codes!r}")
        for name, dataset in self.datasets.items():
            if dataset.unit not in self.units:
                raise ValueError(f"datasets.{name}: there is no privacy unit {dataset.unit!r}")
            for column_name, column in dataset.columns.items():
                if column.codes is not None and column.codes not in self.codes:
                    raise ValueError(f"datasets.{name}.columns.{column_name}: there is no code list {column.codes!r}")
                if column_name in self.facts:
                    raise ValueError(f"datasets.{name}.columns.{column_name}: the name is already a fact of nodes")
        return self

    @property
    def id(self) -> str:
        return f"{self.name}/{self.version}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the schema's canonical JSON, hex."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def dataset(self, name: str, *, place: str = "") -> Dataset:
        """The dataset of that name. Raises Invalid with the names there are."""
        found = self.datasets.get(name)
        if found is None:
            raise Invalid(
                f"there is no dataset {name!r}", place=place, remedy=f"The schema has: {', '.join(sorted(self.datasets))}."
            )
        return found

    def values(self, column: Column) -> dict[str, Text]:
        """Codes and labels of a category or boolean column, in the order of the schema."""
        if column.type == "boolean":
            return {"0": Text(en="no", zh="否"), "1": Text(en="yes", zh="是")}
        assert column.codes is not None
        return self.codes[column.codes]


def parse_schema(text: str, *, place: str = "schema") -> Schema:
    """A schema from its TOML text. Raises Invalid with the place of the first mistake."""
    if len(text.encode()) > MAX_TOML:
        raise Invalid(f"the schema is larger than {MAX_TOML} bytes", place=place, remedy="Shorten its texts or code lists.")
    try:
        tree: dict[str, Any] = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:  # ValueError: an integer of thousands of digits
        raise Invalid(str(error), place=place, remedy="Correct the TOML there.") from None
    try:
        return Schema.model_validate(tree)
    except ValidationError as error:
        message, where = _first(error, place)
        raise Invalid(message, place=where) from None
    except ArithmeticError:  # bounds or steps beyond what decimals can hold
        raise Invalid("a bound or step is out of all proportion", place=place, remedy="Correct `min`, `max` and `step`.") from None


def read_schema(path: Path) -> Schema:
    """A schema from its file."""
    try:
        return parse_schema(path.read_text(encoding="utf-8"), place=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot be read: {error}", place=str(path)) from None


def _first(error: ValidationError, place: str) -> tuple[str, str]:
    detail = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in detail["loc"])
    message = re.sub(r"^Value error, ", "", detail["msg"])
    return message, f"{place}: {path}" if path else place
