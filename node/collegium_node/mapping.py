"""From a source's values to the schema's: codes to indices, numbers to whole steps.

A value depends on its own text alone, so the same rule holds for CSV, Parquet, SQL and PostgreSQL whatever type a file happens to
give a column: the whole float 1001.0 (what some writers make of a whole-number column with a gap) reads as the text 1001.

    person             text, white space stripped; missing or empty: the row is left out (and reported by `check`)
    category           `map`, then the code list, then `default`; all else is unknown = number of codes
    boolean            `map`, then 1/0 true/false yes/no y/n t/f 是/否 in any case, then `default`; all else is unknown = 2
    integer, decimal   `map`, then a number, rounded half away from zero to the step, clamped to the bounds; no number: null

Nothing here raises because of a row: rows decide no error. Mistakes in the configuration are found before any row is read.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from collegium.errors import Invalid
from collegium.schema import Column, Dataset, Schema
from collegium_node.config import ColumnConfig, DatasetConfig, NodeConfig
from collegium_node.numbers import parse_number, steps_of
from collegium_node.text import WHOLE, text_of

__all__ = ["ColumnPlan", "DatasetPlan", "Mapped", "plan_dataset"]

TRUE, FALSE = ("1", "true", "yes", "y", "t", "是"), ("0", "false", "no", "n", "f", "否")
WORDS = {word: index for index, words in enumerate((FALSE, TRUE)) for word in words}


@dataclass(frozen=True)
class ColumnPlan:
    """How one schema column is made. `config` is None where nothing is mapped to it."""

    name: str
    column: Column
    codes: tuple[str, ...]  # empty for numbers
    config: ColumnConfig | None

    @property
    def unknown(self) -> int:
        """The index of `unknown`."""
        return len(self.codes)

    @cached_property
    def dtype(self) -> pl.DataType:
        """UInt16 for codes, the smallest signed integer that holds the bounds for numbers."""
        if not self.column.is_number:
            return pl.UInt16()
        reach = max(self.column.max_steps, -self.column.min_steps - 1)
        return next(
            dtype for bits, dtype in ((7, pl.Int8()), (15, pl.Int16()), (31, pl.Int32()), (63, pl.Int64())) if reach < 2**bits
        )

    @cached_property
    def lookup(self) -> dict[str, int]:
        """From text to index, `map` first. Boolean words are in lower case."""
        known = WORDS if self.column.type == "boolean" else {code: index for index, code in enumerate(self.codes)}
        named = {key.strip(): known[self._key(value)] for key, value in self.config.map.items()} if self.config else {}
        return {**known, **named}

    def _key(self, text: str) -> str:
        return text.strip().lower() if self.column.type == "boolean" else text.strip()

    def check(self, place: str) -> None:
        """Every target of the configuration is a value of the column. Raises Invalid with its place."""
        if self.config is None:
            return
        targets = {f"map.{key}": value for key, value in self.config.map.items()}
        for part, value in (*targets.items(), ("default", self.config.default), ("constant", self.config.constant)):
            if value is None:
                continue
            if self.column.is_number:
                good, remedy = parse_number(value, self.column) is not None, "Write a number."
            else:
                known = WORDS if self.column.type == "boolean" else self.codes
                good, remedy = self._key(value) in known, f"The codes of {self.name} are: {', '.join(self.codes)}."
            if not good:
                raise Invalid(f"{value!r} is no value of {self.name}", place=f"{place}.{part}", remedy=remedy)

    def raw(self, frame: pl.DataFrame) -> pl.Series | None:
        """The source's values of this column as they came, None for a constant and for what is not mapped."""
        return frame[self.config.column] if self.config is not None and self.config.column is not None else None

    def keys(self, raw: pl.Series) -> pl.Series:
        """The values of a category or boolean column as `lookup` has them; null where missing."""
        text = text_of(raw)
        if self.column.type != "boolean" or self.config is None:
            return text
        exact = [key.strip() for key in self.config.map]
        return pl.select(pl.when(text.is_in(exact)).then(text).otherwise(text.str.to_lowercase())).to_series()

    def indices(self, frame: pl.DataFrame) -> pl.Series:
        """A category or boolean column as UInt16 indices."""
        raw = self.raw(frame)
        if raw is None:
            constant = self.config.constant if self.config else None
            value = self.unknown if constant is None else self.lookup[self._key(constant)]
            return pl.repeat(value, frame.height, dtype=pl.UInt16, eager=True)
        assert self.config is not None
        text = self.keys(raw)
        default = self.unknown if self.config.default is None else self.lookup[self._key(self.config.default)]
        found = text.replace_strict(list(self.lookup), list(self.lookup.values()), default=default, return_dtype=pl.UInt16)
        return pl.select(pl.when(text.is_null()).then(pl.lit(self.unknown, pl.UInt16)).otherwise(found)).to_series()

    def numbers(self, frame: pl.DataFrame) -> pl.Series:
        """A number column as Int64 steps, not yet clamped and without `default`; null where there is no number."""
        assert self.column.is_number
        raw = self.raw(frame)
        if raw is None:
            constant = self.config.constant if self.config else None
            value = None if constant is None else parse_number(constant, self.column)
            return pl.repeat(value, frame.height, dtype=pl.Int64, eager=True)
        assert self.config is not None
        if self.config.map:
            keys = [key.strip() for key in self.config.map]
            raw = text_of(raw).replace(keys, [value.strip() for value in self.config.map.values()])
        return steps_of(raw, self.column)

    def no_number(self, frame: pl.DataFrame, numbers: pl.Series) -> pl.Series:
        """Where there is a value and it is no number. A missing value is not one: `default` leaves it missing."""
        raw = self.raw(frame)
        if raw is None or numbers.null_count() == 0:
            return pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
        return numbers.is_null() & text_of(raw).is_not_null()

    def steps(self, frame: pl.DataFrame) -> pl.Series:
        """`numbers` with `default` in the place of values that are no number."""
        numbers = self.numbers(frame)
        if self.config is None or self.config.default is None:
            return numbers
        default = pl.lit(parse_number(self.config.default, self.column), pl.Int64)
        return pl.select(pl.when(self.no_number(frame, numbers)).then(default).otherwise(numbers)).to_series()

    def apply(self, frame: pl.DataFrame) -> pl.Series:
        """The prepared column: indices, or steps clamped to the bounds, in `dtype`."""
        if not self.column.is_number:
            return self.indices(frame).alias(self.name)
        return self.steps(frame).clip(self.column.min_steps, self.column.max_steps).cast(self.dtype).alias(self.name)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A batch after mapping: `person` is text, null where the id is missing; `frame` has one column a schema column."""

    person: pl.Series
    frame: pl.DataFrame


@dataclass(frozen=True)
class DatasetPlan:
    """How one dataset is made, every schema column in the schema's order."""

    name: str
    dataset: Dataset
    config: DatasetConfig
    columns: tuple[ColumnPlan, ...]

    @property
    def absent(self) -> tuple[str, ...]:
        """The columns to which nothing is mapped, sorted: `unknown`, or missing, in every row."""
        return tuple(sorted(column.name for column in self.columns if column.config is None))

    def apply(self, frame: pl.DataFrame) -> Mapped:
        """Map one batch; rows without a person are still in it.

        Raises:
            Invalid: the type of a column cannot be read, or ids are floats too large to tell persons apart: merging two persons
                would break the bound on one.
        """
        person = frame[self.config.person]
        if person.dtype.is_float() and (person.abs() >= WHOLE).any():
            raise Invalid(
                f"the ids in {person.name!r} are floating-point numbers too large to be exact: different persons share one",
                remedy="Export the ids as text or as whole numbers.",
            )
        return Mapped(text_of(person), pl.DataFrame([plan.apply(frame) for plan in self.columns]))


def plan_dataset(name: str, config: NodeConfig, schema: Schema) -> DatasetPlan:
    """The plan of one configured dataset, every name and target checked. Raises Invalid with the place in node.toml."""
    place = f"{config.file}: datasets.{name}"
    dataset = schema.dataset(name, place=place)
    mapped = config.datasets[name]
    for target in mapped.columns:
        if target not in dataset.columns:
            near = difflib.get_close_matches(target, dataset.columns, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(dataset.columns)}."
            raise Invalid(f"the schema's {name} has no column {target!r}", place=f"{place}.columns.{target}", remedy=hint)
    plans = []
    for column_name, column in dataset.columns.items():
        codes = () if column.is_number else tuple(schema.values(column))
        plan = ColumnPlan(column_name, column, codes, mapped.columns.get(column_name))
        plan.check(f"{place}.columns.{column_name}")
        plans.append(plan)
    return DatasetPlan(name, dataset, mapped, tuple(plans))
