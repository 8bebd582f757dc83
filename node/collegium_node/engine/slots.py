"""The component table that the kernel reads: one line of numbers a component. These are the kinds and the columns."""

from __future__ import annotations

__all__ = [
    "BINS",
    "CENTRE",
    "COLUMNS",
    "COUNT",
    "FILTER",
    "HIGH",
    "KIND",
    "LOW",
    "OFFSET",
    "OPERAND",
    "PEOPLE",
    "ROWS",
    "SQUARES",
    "START",
    "SUM",
    "TOTAL",
    "WIDTH",
]

PEOPLE, ROWS, SUM, COUNT, TOTAL, SQUARES, BINS = range(7)

KIND, FILTER, OPERAND, START, LOW, HIGH, CENTRE, OFFSET, WIDTH = range(9)
COLUMNS = 9
