"""From a layout to what the kernel needs: the arrays to make for each run of rows, and one line of numbers a component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collegium.layout import Axis, Layout, Part
from collegium.question import Predicate
from collegium.schema import Dataset, Schema
from collegium_node.choice import NULL, Int64s
from collegium_node.engine import slots
from collegium_node.engine.columns import Rows
from collegium_node.engine.predicate import Booleans, fails, holds

__all__ = ["Plan", "compile_plan"]

Operand = str | Axis | tuple[str, str]  # a number's column, the bins of one, or two columns whose centred values are multiplied
KINDS = {
    "people": slots.PEOPLE,
    "rows": slots.ROWS,
    "sum": slots.SUM,
    "count": slots.COUNT,
    "total": slots.TOTAL,
    "squares": slots.SQUARES,
    "product": slots.TOTAL,  # of the products, which are operands by then
    "bins": slots.BINS,
}


@dataclass(frozen=True)
class Plan:
    """`filters` and `operands` hold each predicate, column and axis once; `table` refers to them by position."""

    layout: Layout
    filters: tuple[Predicate, ...]
    operands: tuple[Operand | Predicate, ...]
    table: Int64s

    def cells(self, rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        """int32[rows]: the group cell of each row, -1 where the question's filter is not true."""
        cells = np.zeros(len(rows), dtype=np.int32)
        for axis in self.layout.axes:
            cells *= np.int32(axis.size)
            np.add(cells, _index(axis, rows), out=cells, casting="unsafe")  # an index is below 2^20
        if self.layout.question.filter is not None:
            cells[~holds(self.layout.question.filter, rows)] = -1
        return cells

    def masks(self, rows: Rows) -> Booleans:
        """bool[filters, rows]."""
        masks = np.empty((len(self.filters), len(rows)), dtype=np.bool_)
        for number, predicate in enumerate(self.filters):
            masks[number] = holds(predicate, rows)
        return masks

    def values(self, rows: Rows) -> Int64s:
        """int64[operands, rows]: steps, the index of a bin, or 1 and -1 for a condition; `NULL` where it has no value."""
        values = np.empty((len(self.operands), len(rows)), dtype=np.int64)
        for number, operand in enumerate(self.operands):
            if isinstance(operand, str):
                values[number] = rows.numbers(operand)
            elif isinstance(operand, Axis):
                values[number] = rows.index(operand)
            elif isinstance(operand, tuple):
                values[number] = _product(operand, rows)
            else:
                values[number] = NULL
                values[number, holds(operand, rows)] = 1
                values[number, fails(operand, rows)] = -1
        return values


def compile_plan(layout: Layout, schema: Schema) -> Plan:
    """The plan of a layout. Depends on the question and the schema alone."""
    dataset = schema.datasets[layout.question.dataset]
    filters: dict[Predicate, int] = {}
    operands: dict[Operand | Predicate, int] = {}
    table = np.zeros((len(layout.parts), slots.COLUMNS), dtype=np.int64)
    for line, part in zip(table, layout.parts, strict=True):
        component = part.component
        operand: Operand | Predicate | None = part.bins or component.condition or component.column
        if component.other is not None:
            assert component.column is not None
            operand = component.column, component.other
        line[slots.KIND] = KINDS[component.kind]
        line[slots.FILTER] = -1 if component.filter is None else filters.setdefault(component.filter, len(filters))
        line[slots.OPERAND] = -1 if operand is None else operands.setdefault(operand, len(operands))
        line[slots.START] = part.start
        line[slots.LOW], line[slots.HIGH] = _limits(part, dataset)
        line[slots.CENTRE] = part.centre
        line[slots.OFFSET] = part.offset
        line[slots.WIDTH] = 1 if part.bins is None else part.bins.size
    return Plan(layout, tuple(filters), tuple(operands), table)


def _index(axis: Axis, rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.integer]]:
    """The cell of each row on one axis of the group cells."""
    if axis.cases is None:
        return rows.index(axis)
    found = np.full(len(rows), axis.size - 1, dtype=np.int64)
    for number in reversed(range(len(axis.cases))):  # the first condition that is true has the last word
        found[holds(axis.cases[number], rows)] = number
    return found


def _product(names: tuple[str, str], rows: Rows) -> Int64s:
    """The product of two centred numbers, each clamped to its bounds; `NULL` where one is null."""
    factors = []
    known = np.ones(len(rows), dtype=np.bool_)
    for name in names:
        column, values = rows.dataset.columns[name], rows.numbers(name)
        known &= values != NULL
        factors.append(np.clip(values, column.min_steps, column.max_steps) - column.centre)
    return np.where(known, factors[0] * factors[1], NULL)


def _limits(part: Part, dataset: Dataset) -> tuple[int, int]:
    """Between what the kernel clamps: a person's sum, or one value after the centre is taken off."""
    component = part.component
    if component.clip is not None:
        return component.clip
    if component.kind == "product":
        assert component.column is not None
        assert component.other is not None
        most = dataset.columns[component.column].half_range * dataset.columns[component.other].half_range
        return -most, most
    if component.kind not in ("total", "squares"):
        return 0, 0
    if component.condition is not None:
        return -1, 1
    assert component.column is not None
    column = dataset.columns[component.column]
    return column.min_steps - part.centre, column.max_steps - part.centre
