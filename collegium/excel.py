"""An answer as an Excel workbook: one sheet a question, and one that says what the figures are and are not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from collegium.errors import Failed
from collegium.present import optional

if TYPE_CHECKING:
    from collegium.present import Viewed

__all__ = ["write_workbook"]


def write_workbook(answer: Viewed, path: Path) -> Path:
    """Writes `path` and returns it. Raises Invalid when xlsxwriter is not installed, Failed when the file cannot be written."""
    writer = optional("xlsxwriter")
    # Titles are written by `write_string`, whatever they look like: one that begins with "=" must not become a formula.
    workbook = writer.Workbook(str(path))
    bold = workbook.add_format({"bold": True, "bottom": 1})
    percent = workbook.add_format({"num_format": "0.0##%"})  # the cell holds the part of one
    wrap = workbook.add_format({"text_wrap": True, "valign": "top"})
    for number, view in enumerate([*answer.views, *answer.quotients]):
        sheet = workbook.add_worksheet("Figures" if number == 0 else f"Figures {number + 1}")
        rows = view.rows(titles=True)
        in_percent = {
            f"{name}{end}"
            for info in view.figures.table.measures
            if info.percent
            for name in (f"{info.label} {label}".strip() for label in info.bins or ("",))
            for end in ("", "_low", "_high")
        }
        for column, name in enumerate(rows[0] if rows else ()):
            sheet.write_string(0, column, name, bold)
            for line, row in enumerate(rows, start=1):
                value = row[name]
                if isinstance(value, bool):
                    sheet.write_boolean(line, column, value)
                elif isinstance(value, int | float):
                    sheet.write_number(line, column, value, percent if name in in_percent else None)
                elif value is not None:
                    sheet.write_string(line, column, str(value))
        sheet.freeze_panes(1, len(view.keys))
        sheet.autofit()
    about = workbook.add_worksheet("About")
    about.set_column(0, 0, 110)
    for line, note in enumerate(answer.notes):
        about.write_string(line, 0, note, wrap)
    try:
        workbook.close()
    except (OSError, writer.exceptions.FileCreateError) as error:
        raise Failed(f"cannot be written: {error}", place=str(path), remedy="Name another file.") from None
    return path
