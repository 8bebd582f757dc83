"""What every kind of source gives: batches of rows as they are, with the place a person finds them at."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl
import pyarrow as pa

from collegium.errors import Invalid

__all__ = ["BATCH_ROWS", "Batch", "Source", "frame_of", "require"]

BATCH_ROWS = 1 << 19
"""Rows a batch at most: large enough for fast columns, small enough that memory does not depend on the size of a file."""


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """Some rows of a source. `place` names the file or source; `first_row` numbers the first row as a spreadsheet shows it.

    In a CSV file row 1 is the header, so its first rows have number 2; elsewhere rows count from 1. A value with line ends in it is
    within one row; an empty line between rows is not counted.
    """

    frame: pl.DataFrame
    place: str
    first_row: int


class Source(Protocol):
    """A named origin of rows. Reading it again gives the same rows while the files or the database stay as they are."""

    def batches(self, wanted: Sequence[str] | None) -> Iterator[Batch]:
        """Batches with the wanted columns, or all; at least one batch, perhaps empty.

        Raises:
            Invalid: a file is missing, broken, or lacks a wanted column; the place names it.
        """
        ...


def frame_of(arrow: pa.RecordBatch | pa.Table, place: str) -> pl.DataFrame:
    """Arrow rows as a frame. Extension types give what they store (a PostgreSQL numeric its text), a UUID its usual text."""
    columns = [_plain(column) for column in arrow.columns]
    names = list(arrow.schema.names)
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise Invalid(f"two columns are called {doubled[0]!r}", place=place, remedy="Give one of them another name with AS.")
    return pl.DataFrame([column.alias(name) for name, column in zip(names, columns, strict=True)])


def _plain(column: pa.Array | pa.ChunkedArray) -> pl.Series:
    if not isinstance(column.type, pa.BaseExtensionType):
        return pl.Series(pl.from_arrow(column, rechunk=False))
    stored = pl.Series(pl.from_arrow(column.cast(column.type.storage_type)))
    if column.type.extension_name != "arrow.uuid":
        return stored
    return stored.bin.encode("hex").str.replace(r"^(.{8})(.{4})(.{4})(.{4})", "$1-$2-$3-$4-")


def require(columns: Iterable[str], wanted: Sequence[str] | None, place: str) -> list[str]:
    """The columns to read. Raises Invalid that names the file and the nearest column there is."""
    there = list(columns)
    if wanted is None:
        return there
    for name in wanted:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(there)}."
            raise Invalid(f"there is no column {name!r}", place=place, remedy=hint)
    return list(wanted)
