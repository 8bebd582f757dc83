"""A run of rows of a prepared dataset as plain integer arrays, safe to index with whatever the snapshot holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from collegium.errors import Refused
from collegium.layout import Axis
from collegium.schema import Dataset, Schema
from collegium_node.choice import NULL, Int64s

if TYPE_CHECKING:
    from collegium_node.snapshot import PreparedDataset  # its sources are not needed to count

__all__ = ["Rows"]


class Rows:
    """Rows [start, stop) of one dataset. Each column is converted once, when it is first asked for."""

    def __init__(self, data: PreparedDataset, dataset: Dataset, schema: Schema, start: int, stop: int) -> None:
        self.data = data
        self.dataset = dataset
        self.schema = schema
        self.start = start
        self.stop = stop
        self._numbers: dict[str, Int64s] = {}
        self._codes: dict[str, NDArray[np.integer]] = {}

    def __len__(self) -> int:
        return self.stop - self.start

    def numbers(self, name: str) -> Int64s:
        """int64[rows] in steps, `NULL` for null."""
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = self._series(name).cast(pl.Int64).fill_null(NULL).to_numpy()
        return found

    def codes(self, name: str) -> NDArray[np.integer]:
        """Unsigned integers[rows], the position of the code in the public list, its length for unknown and never more."""
        found = self._codes.get(name)
        if found is None:
            unknown = len(self.schema.values(self.dataset.columns[name]))
            found = self._series(name).fill_null(unknown).to_numpy()
            # A code beyond the list would be a write beyond the tally: the kernel checks no index.
            found = self._codes[name] = np.minimum(found, np.asarray(unknown, dtype=found.dtype))
        return found

    def is_number(self, name: str) -> bool:
        return self.dataset.columns[name].is_number

    def index(self, axis: Axis) -> NDArray[np.integer]:
        """The cell of each row on one axis, in [0, axis.size); the last is unknown."""
        unknown = axis.size - 1
        if not self.is_number(axis.column):
            return self.codes(axis.column)
        values = self.numbers(axis.column)
        if axis.edges is None:
            assert axis.first is not None
            inside = (values >= axis.first) & (values < axis.first + unknown)  # NULL is below every bound
            return np.where(inside, values - axis.first, unknown)
        edges = np.array(axis.edges, dtype=np.int64)
        found = np.searchsorted(edges, values, side="right") - 1
        found[values == edges[-1]] = unknown - 1  # the last bin is closed
        return np.where((found >= 0) & (found < unknown), found, unknown)

    def _series(self, name: str) -> pl.Series:
        column = self.data.columns.get(name)
        if column is None:
            raise Refused(
                f"the snapshot has no column {name!r}: it was made under another version of the schema",
                by="schema",
                place=f"{self.data.name}.{name}",
                remedy="Make a new snapshot.",
                reason="schema",
            )
        return column.slice(self.start, len(self))
