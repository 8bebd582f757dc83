"""All figures of an edition as one table: CSV with a byte order mark, or an Excel workbook."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from collegium.errors import Failed, Invalid
from collegium.indicators.edition import Edition, Estimate, LeafFigures
from collegium.present import optional

__all__ = ["write_table"]

COLUMNS = (
    "year", "id", "name_en", "name_zh", "unit", "province", "discipline", "value", "low", "high", "std_error", "mark",
    "universities", "asked",
)  # fmt: skip
Row = tuple[str | float | int | None, ...]


def write_table(edition: Edition, path: Path, language: str) -> int:
    """Write one row for every figure, the nation's with an empty province and how many universities are in it; how many rows.

    Raises Invalid for another ending than .csv or .xlsx, or where the library for Excel is missing; Failed where the disk refuses.
    """
    rows = list(_rows(edition, language))
    if path.suffix == ".csv":
        _csv(rows, path)
    elif path.suffix == ".xlsx":
        _workbook(edition, rows, path, language)
    else:
        raise Invalid("the file's name must end in .csv or .xlsx", place=str(path), remedy="Such as figures.xlsx.")
    return len(rows)


def _rows(edition: Edition, language: str) -> Iterator[Row]:
    for leaf in edition.leaves:
        yield _row(edition, leaf, "", leaf.national, language)
        for code, each in leaf.provinces.items():
            yield _row(edition, leaf, edition.provinces[code].get(language), each, language)


def _row(edition: Edition, leaf: LeafFigures, province: str, figure: Estimate, language: str) -> Row:
    discipline = edition.disciplines[leaf.discipline].get(language) if leaf.discipline else ""
    counted = (None, None) if province else (leaf.coverage.answered, leaf.coverage.asked)
    return (
        edition.year, leaf.id, leaf.title.en, leaf.title.zh, leaf.unit.get(language), province, discipline,
        figure.value, figure.low, figure.high, figure.error, figure.mark, *counted,
    )  # fmt: skip


def _csv(rows: list[Row], path: Path) -> None:
    try:
        with path.open("w", encoding="utf-8-sig", newline="") as file:  # the mark is for spreadsheet programs
            writer = csv.writer(file, lineterminator="\r\n")
            writer.writerow(COLUMNS)
            writer.writerows(rows)
    except OSError as error:
        raise Failed(f"cannot be written: {error.strerror}", place=str(path), remedy="Name another file.") from None


def _workbook(edition: Edition, rows: list[Row], path: Path, language: str) -> None:
    writer = optional("xlsxwriter")
    workbook = writer.Workbook(str(path))
    bold = workbook.add_format({"bold": True, "bottom": 1})
    sheet = workbook.add_worksheet("Figures")
    for column, name in enumerate(COLUMNS):
        sheet.write_string(0, column, name, bold)
    for line, row in enumerate(rows, start=1):
        for column, value in enumerate(row):
            if isinstance(value, str):  # a title that begins with "=" is no formula
                sheet.write_string(line, column, value)
            elif value is not None:
                sheet.write_number(line, column, value)
    sheet.freeze_panes(1, 3)
    sheet.autofilter(0, 0, len(rows), len(COLUMNS) - 1)
    about = workbook.add_worksheet("About")
    about.set_column(0, 0, 110)
    notes = [
        f"{edition.title.get(language)} {edition.year} ({edition.catalogue})",
        edition.note.get(language),
        *(cost.sentence.get(language) for cost in edition.costs),
        f"{edition.coverage.answered} / {edition.coverage.asked}",
        *edition.requests,
    ]
    for line, note in enumerate(notes):
        about.write_string(line, 0, note)
    try:
        workbook.close()
    except (OSError, writer.exceptions.FileCreateError) as error:
        raise Failed(f"cannot be written: {error}", place=str(path), remedy="Name another file.") from None
