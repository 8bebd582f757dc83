"""Rows of a synthetic university for every table of a schema, and their exact tallies. For benchmarks and tests; plain numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from collegium.indicators.families import Operand
from collegium.layout import Layout
from collegium.question import And, In, Not, Or, Predicate, Question, Range, Unknown
from collegium.schema import Column, Schema

__all__ = ["Rows", "exact_margin", "exact_tally", "make_rows"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SHARE = {"enrolment": 1.0, "course_reg": 0.9, "status_event": 0.08, "graduate": 0.22, "award": 0.15, "exchange": 0.04}
"""Persons with rows in a table for each student; staff 7 in 100, lifelong learners 3 in 10."""


@dataclass(frozen=True)
class Rows:
    """One table: for each column the codes by their place in the public list, or numbers in steps; the last code and -2^62 are
    unknown. Rows of a person stand together."""

    schema: Schema
    dataset: str
    person: Ints
    columns: dict[str, Ints]
    amounts: dict[tuple[Operand | None, Predicate | None], Ints] = field(default_factory=dict)

    def bounded(self, question: Question, rng: np.random.Generator) -> Rows:
        """The rows of the question's population: one of each person, or all of them (no person has more than the bound)."""
        kept = _true(question.filter, self)
        if question.bounds.scope is None:
            order = rng.permutation(np.flatnonzero(kept))
            kept = np.zeros(len(kept), dtype=bool)
            kept[order[np.unique(self.person[order], return_index=True)[1]]] = True
        columns = {name: values[kept] for name, values in self.columns.items()}
        return replace(self, person=self.person[kept], columns=columns, amounts={})


def make_rows(rng: np.random.Generator, schema: Schema, dataset: str, students: int, year: int) -> Rows:
    """The table of one university with about `students` students. Codes are of very different frequency, 1 in 200 is unknown."""
    table = schema.datasets[dataset]
    persons = math.ceil(students * SHARE.get(dataset, 0.07 if table.unit == "staff" else 0.3))
    most = min(table.max_rows, 6)
    rows = np.minimum(1 + rng.poisson((most - 1) / 3, persons), table.max_rows) if most > 1 else np.ones(persons, dtype=np.int64)
    person = np.repeat(np.arange(persons), rows)
    columns = {name: _values(rng, name, column, schema, len(person), year) for name, column in table.columns.items()}
    if "study_level" in columns and "discipline_cat" in columns:  # what the catalogue calls impossible
        level, discipline = (list(schema.values(table.columns[name])) for name in ("study_level", "discipline_cat"))
        never = np.isin(columns["discipline_cat"], [discipline.index("11"), discipline.index("14")])
        columns["study_level"][never & (columns["study_level"] == level.index("3"))] = level.index("1")
    return Rows(schema, dataset, person.astype(np.int64), columns)


def _values(rng: np.random.Generator, name: str, column: Column, schema: Schema, rows: int, year: int) -> Ints:
    if name in ("year", "entry_year"):
        return np.where(rng.random(rows) < (0.98 if name == "year" else 0.27), year, year - 1).astype(np.int64)
    if column.is_number:
        width = column.max_steps - column.min_steps
        values = column.min_steps + np.minimum(rng.gamma(2.0, width / 12, rows), width).astype(np.int64)
        return np.where(rng.random(rows) < 0.005, -(2**62), values)
    codes = len(schema.values(column))
    frequency = np.append(1.0 / np.arange(1, codes + 1) ** 1.2, 0.005)
    if name in ("status", "result"):
        frequency[0] = 20.0
    # One order of frequencies a column, the same at every university; the first code stays the most frequent of states.
    order = np.random.default_rng([ord(letter) for letter in name]).permutation(codes) if codes > 2 else np.arange(codes)
    if name in ("status", "result", "staff_type"):
        order = np.arange(codes)
    place = np.append(order, codes)
    return place[rng.choice(codes + 1, rows, p=frequency / frequency.sum())].astype(np.int64)


def exact_tally(rows: Rows, layout: Layout) -> Ints:
    """The exact bounded tally of a question's rows, shape (layout.length,)."""
    everything = tuple(range(len(layout.axes)))
    return np.concatenate(
        [
            exact_margin(
                rows,
                layout,
                everything if part.keep is None else part.keep,
                Operand(part.component.kind, part.component.column, part.component.condition, part.component.clip),  # type: ignore[arg-type]
                part.component.filter,
            )
            for part in layout.parts
        ]
    )


def exact_margin(rows: Rows, layout: Layout, keys: Sequence[int], operand: Operand | None, among: Predicate | None) -> Ints:
    """What an operand is in every cell of a margin; without an operand the number of rows."""
    cell = np.zeros(len(rows.person), dtype=np.int64)
    for key in keys:
        cell = cell * layout.axes[key].size + rows.columns[layout.axes[key].column]
    if (operand, among) not in rows.amounts:
        rows.amounts[operand, among] = _amount(rows, operand, _true(among, rows))
    size = math.prod(layout.axes[key].size for key in keys)
    return np.bincount(cell, weights=rows.amounts[operand, among], minlength=size).astype(np.int64)  # exact below 2^53


def _amount(rows: Rows, operand: Operand | None, kept: Bools) -> Ints:
    if operand is None or operand.kind in ("people", "rows"):
        return kept.astype(np.int64)
    if operand.condition is not None:
        return np.where(kept, np.where(_true(operand.condition, rows), 1, -1), 0)
    assert operand.column is not None
    column = rows.schema.datasets[rows.dataset].columns[operand.column]
    values = rows.columns[operand.column]
    known = kept & (values > -(2**62))
    if operand.kind == "count":
        return known.astype(np.int64)
    if operand.kind == "total":
        return np.where(known, values - column.centre, 0)
    assert operand.clip is not None
    plain = np.where(known, values, 0)
    before = np.cumsum(plain) - plain
    first = np.append(True, rows.person[1:] != rows.person[:-1]) if len(plain) else np.zeros(0, dtype=bool)
    before -= np.maximum.accumulate(np.where(first, before, 0)) if len(plain) else 0
    return np.minimum(plain, np.maximum(operand.clip[1] - before, 0))


def _true(predicate: Predicate | None, rows: Rows) -> Bools:
    """The rows in which a condition is true."""
    if predicate is None:
        return np.ones(len(rows.person), dtype=bool)
    return _value(predicate, rows) == 1


def _value(predicate: Predicate, rows: Rows) -> Ints:
    """1 true, 0 false, -1 unknown, as SQL has it."""
    if isinstance(predicate, And | Or):
        parts = np.stack([_value(arg, rows) for arg in predicate.args])
        sure = 0 if isinstance(predicate, And) else 1
        settled = np.where((parts == -1).any(axis=0), -1, 1 - sure)
        return np.where((parts == sure).any(axis=0), sure, settled)
    if isinstance(predicate, Not):
        inner = _value(predicate.arg, rows)
        return np.where(inner == -1, -1, 1 - inner)
    column = rows.schema.datasets[rows.dataset].columns[predicate.column]
    values = rows.columns[predicate.column]
    if column.is_number:
        unknown = values == -(2**62)
        codes = list(predicate.values) if isinstance(predicate, In) else []
    else:
        listed = list(rows.schema.values(column))
        unknown = values == len(listed)
        codes = [listed.index(str(code)) for code in predicate.values] if isinstance(predicate, In) else []
    if isinstance(predicate, Unknown):
        return unknown.astype(np.int64)
    if isinstance(predicate, Range):
        low = -math.inf if predicate.min is None else predicate.min
        high = math.inf if predicate.max is None else predicate.max
        return np.where(unknown, -1, ((low <= values) & (values <= high)).astype(np.int64))
    return np.where(unknown, -1, np.isin(values, codes).astype(np.int64))
