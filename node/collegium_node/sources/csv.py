"""CSV files: every column as text, nothing inferred, strict about ragged lines and quotes.

Arrow's reader streams a file in blocks and refuses a record with too many or too few values. What exactly is wrong is found
afterwards by a slow second reading (`csv_fault.py`), so that the message names the line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from collegium.errors import Invalid
from collegium_node.config import CsvConfig
from collegium_node.sources.base import Batch, frame_of, require
from collegium_node.sources.csv_fault import fault_of, open_text
from collegium_node.sources.files import files_of

__all__ = ["CsvSource"]

BLOCK = 16 << 20  # bytes; also the longest record
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")


class CsvSource:
    """CSV files behind one name: the rows of all of them, file after file."""

    def __init__(self, config: CsvConfig, base: Path, place: str) -> None:
        self.config = config
        self.base = base
        self.place = place

    def batches(self, wanted: Sequence[str] | None) -> Iterator[Batch]:
        files = files_of(self.config.path, self.base, self.place, suffixes=SUFFIXES)
        columns = wanted
        for file in files:
            names, height = self._header(file)
            if wanted is None:
                columns = columns or names
                if set(names) != set(columns):
                    odd = ", ".join(sorted(set(names) ^ set(columns)))
                    raise Invalid(
                        f"its header differs from that of {files[0].name} in: {odd}",
                        place=str(file),
                        remedy="Make them sources of their own and join them with UNION ALL BY NAME.",
                    )
            yield from self._read(file, names, height, require(names, columns, str(file)))

    def _header(self, file: Path) -> tuple[list[str], int]:
        """The names in the header, and the number of its row: 1, unless empty lines stand above it."""
        try:
            with open_text(file, self.config.encoding) as text:
                records = enumerate(csv.reader(text, delimiter=self.config.separator), start=1)
                height, record = next(((number, row) for number, row in records if row), (0, None))
        except (OSError, EOFError, UnicodeError, csv.Error):
            raise fault_of(file, self.config) or _unreadable(file) from None
        if record is None:
            raise Invalid("the file is empty", place=str(file), remedy="It needs at least a header line.")
        names = [name.strip() for name in record]
        if any("\0" in name for name in names):
            raise Invalid("the file is not text in this encoding", place=str(file), remedy="Save it as CSV in UTF-8.")
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise Invalid(f"the header names {doubled[0]!r} twice", place=f"{file}, line 1", remedy="Rename one of them.")
        return names, height

    def _read(self, file: Path, names: list[str], height: int, wanted: list[str]) -> Iterator[Batch]:
        row = height + 1
        last: str | None = None
        read = list(dict.fromkeys((*wanted, names[-1])))  # the last column tells whether a quote was left open, see below
        try:
            with _open_bytes(file) as stream:
                reader = arrow_csv.open_csv(
                    stream,
                    read_options=arrow_csv.ReadOptions(
                        column_names=names,
                        skip_rows_after_names=height,
                        block_size=BLOCK,
                        encoding=_codec(self.config.encoding),
                        use_threads=False,
                    ),
                    parse_options=arrow_csv.ParseOptions(delimiter=self.config.separator, newlines_in_values=True),
                    convert_options=arrow_csv.ConvertOptions(
                        column_types=dict.fromkeys(read, pa.large_string()), include_columns=read, strings_can_be_null=False
                    ),
                )
                for arrow in reader:
                    frame = frame_of(arrow, str(file))
                    if frame.height:
                        last = frame[names[-1]][-1]
                    yield Batch(self._without_nulls(frame.select(wanted)), str(file), row)
                    row += frame.height
        except (pa.ArrowException, OSError, UnicodeError) as error:
            raise fault_of(file, self.config) or _unreadable(file, error) from None
        if row == height + 1:
            yield Batch(pl.DataFrame(schema=dict.fromkeys(wanted, pl.String())), str(file), row)
        if last is not None and "\n" in last:
            # Arrow takes a quote that is never closed for a value up to the end of the file: rows would vanish without a word.
            fault = fault_of(file, self.config)
            if fault is not None:
                raise fault

    def _without_nulls(self, frame: pl.DataFrame) -> pl.DataFrame:
        missing = ["", *(value.strip() for value in self.config.null_values)]
        column = pl.all()
        return frame.with_columns(pl.when(~column.str.strip_chars().is_in(missing)).then(column).name.keep())


def _open_bytes(file: Path) -> pa.NativeFile:
    plain = pa.OSFile(str(file))
    return pa.CompressedInputStream(plain, "gzip") if file.suffix == ".gz" else plain


def _codec(encoding: str) -> str:
    return "utf8" if encoding == "utf-8" else encoding


def _unreadable(file: Path, error: Exception | None = None) -> Invalid:
    system = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    return Invalid(f"the file cannot be read{system}", place=str(file), remedy="Export it again.")
