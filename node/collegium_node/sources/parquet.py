"""Parquet files: a file, a folder or a glob. Files may store a column in different types; the mapping reads each as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from collegium.errors import Invalid
from collegium_node.config import ParquetConfig
from collegium_node.sources.base import BATCH_ROWS, Batch, frame_of, require
from collegium_node.sources.files import files_of

__all__ = ["ParquetSource"]


class ParquetSource:
    """Parquet files behind one name: the rows of all of them, file after file."""

    def __init__(self, config: ParquetConfig, base: Path, place: str) -> None:
        self.config = config
        self.base = base
        self.place = place

    def batches(self, wanted: Sequence[str] | None) -> Iterator[Batch]:
        files = files_of(self.config.path, self.base, self.place, suffixes=(".parquet", ".pq"))
        columns = wanted
        for file in files:
            try:
                with parquet.ParquetFile(file, memory_map=True) as opened:
                    names = list(opened.schema_arrow.names)
                    if wanted is None:
                        columns = columns or names
                        if set(names) != set(columns):
                            odd = ", ".join(sorted(set(names) ^ set(columns)))
                            raise Invalid(
                                f"its columns differ from those of {files[0].name} in: {odd}",
                                place=str(file),
                                remedy="Make them sources of their own and join them with UNION ALL BY NAME.",
                            )
                    yield from _read(opened, file, require(names, columns, str(file)))
            except (pa.ArrowException, OSError):
                # Arrow's own text may quote bytes of the file.
                raise Invalid("the file is no readable Parquet file", place=str(file), remedy="Copy or export it again.") from None


def _read(opened: parquet.ParquetFile, file: Path, wanted: list[str]) -> Iterator[Batch]:
    row = 1
    for arrow in opened.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
        frame = frame_of(arrow, str(file))
        yield Batch(frame.select(wanted), str(file), row)
        row += frame.height
    if row == 1:
        empty = frame_of(opened.schema_arrow.empty_table().select(wanted), str(file))
        yield Batch(empty, str(file), row)
