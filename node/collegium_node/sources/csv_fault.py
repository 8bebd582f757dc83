"""What exactly is wrong with a CSV file: a slow second reading by Python's own strict reader, done only after a failure."""

from __future__ import annotations

import csv
import gzip
import zlib
from io import TextIOWrapper
from pathlib import Path

from collegium.errors import Invalid
from collegium_node.config import CsvConfig

__all__ = ["fault_of", "open_text"]

LONGEST = 16 << 20  # characters of one value


def open_text(file: Path, encoding: str) -> TextIOWrapper:
    """The file as text, unpacked and without its byte order mark; line ends as they are, for the csv module."""
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    raw = gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")  # noqa: SIM115  closed with the text over it
    opened = TextIOWrapper(raw, encoding=codec, newline="")
    try:
        if encoding != "utf-8" and opened.read(1) != "\ufeff":
            opened.seek(0)
    except BaseException:
        opened.close()
        raise
    return opened


def fault_of(file: Path, config: CsvConfig) -> Invalid | None:
    """The first fault of a file, with its line; None when there is none. Values are not quoted: they are somebody's data."""
    remedy = "Correct the line or export the file again."
    start = 1
    limit = csv.field_size_limit(LONGEST)
    try:
        with open_text(file, config.encoding) as text:
            reader = csv.reader(text, delimiter=config.separator, strict=True)
            width = 0
            for record in reader:
                if record:
                    width = width or len(record)
                    if len(record) != width:
                        return Invalid(
                            f"{len(record)} values where the header has {width}", place=f"{file}, line {start}", remedy=remedy
                        )
                start = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end" in str(error) or "field limit" in str(error):
            return Invalid("a quote is opened and never closed", place=f"{file}, line {start}", remedy=remedy)
        return Invalid("a quoted value goes on after its closing quote", place=f"{file}, line {start}", remedy=remedy)
    except UnicodeError:
        other = "gb18030" if config.encoding == "utf-8" else "utf-8"
        return Invalid(
            f"a value is not {config.encoding}",
            place=f"{file}, line {_undecodable(file, config.encoding)}",
            remedy=f'If the file is in another encoding, say so with `encoding = "{other}"`.',
        )
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return Invalid("the gz file is damaged or cut off", place=str(file), remedy="Copy or export it again.")
    except OSError as error:
        return Invalid(f"cannot be read: {error.strerror or 'damaged'}", place=str(file))
    finally:
        csv.field_size_limit(limit)
    return None


def _undecodable(file: Path, encoding: str) -> int:
    """The first line that does not decode. In UTF-8 and GB18030 no byte of another character is a line feed."""
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as raw:
        number = 0
        for number, line in enumerate(raw, start=1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return number
    return number
