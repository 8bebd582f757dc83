"""The questions of the indicators' plan at the real engine: the figures that the plan's arithmetic takes them to be."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from indicatortables import shipped
from syntheticrows import Rows, exact_margin, exact_tally, make_rows

from collegium.indicators.families import Operand
from collegium_node.engine import tally
from collegium_node.snapshot import PreparedDataset

EXPANDED, SCHEMA, BATCH = shipped()
STUDENTS = 3_000
SECRET = bytes(range(32))


def prepared(rows: Rows, rng: np.random.Generator) -> PreparedDataset:
    """The rows as a snapshot holds them."""
    columns = {}
    for name, column in SCHEMA.datasets[rows.dataset].columns.items():
        values = rows.columns[name]
        if column.is_number:
            columns[name] = pl.Series(name, [None if value == -(2**62) else value for value in values.tolist()], dtype=pl.Int64)
        else:
            columns[name] = pl.Series(name, values, dtype=pl.UInt16)
    offsets = np.append(np.flatnonzero(np.append(True, rows.person[1:] != rows.person[:-1])), len(rows.person)).astype(np.int64)
    digests = rng.integers(0, 2**61, len(rows.person))
    people = rng.integers(0, 2**61, len(offsets) - 1)
    return PreparedDataset(rows.dataset, columns, digests, offsets, people, len(rows.person), len(offsets) - 1)


@pytest.fixture(scope="module")
def tables() -> dict[str, Rows]:
    rng = np.random.default_rng(3)
    return {name: make_rows(rng, SCHEMA, name, STUDENTS, EXPANDED.year) for name in sorted(EXPANDED.max_rows)}


@pytest.mark.parametrize("question", range(len(BATCH.questions)))
def test_the_engine_counts_what_the_plan_says(question: int, tables: dict[str, Rows]) -> None:
    layout = BATCH.layouts[question]
    rows = tables[layout.question.dataset]
    found = tally(layout, prepared(rows, np.random.default_rng(4)), schema=SCHEMA, secret=SECRET).open()
    bounded = rows.bounded(layout.question, np.random.default_rng(5))
    expected = exact_tally(bounded, layout)
    chosen = layout.question.bounds.scope is None and EXPANDED.max_rows[rows.dataset] > 1
    for part in layout.parts:
        here, there = found[part.start : part.stop], expected[part.start : part.stop]
        if part.component.clip is not None:  # whose values are left out beyond the clip is the engine's choice, never how much
            assert here.sum() == there.sum()
            assert np.all(here >= 0)
        elif chosen:  # which of a person's rows counts is the engine's choice, never how many persons
            assert here.sum() == there.sum()
        else:
            assert here.tolist() == there.tolist()


def test_margins_of_persons_add_up_although_a_person_counts_once(tables: dict[str, Rows]) -> None:
    layout = next(
        each
        for each in BATCH.layouts
        if each.question.dataset == "learner" and each.question.bounds.scope is None and len(each.parts) > 2
    )
    rows = tables["learner"]
    found = tally(layout, prepared(rows, np.random.default_rng(4)), schema=SCHEMA, secret=SECRET).open()
    everyone = len(np.unique(rows.bounded(layout.question, np.random.default_rng(5)).person))
    assert {int(found[part.start : part.stop].sum()) for part in layout.parts} == {everyone}


def test_the_plan_s_rows_are_all_rows_of_the_population(tables: dict[str, Rows]) -> None:
    """No synthetic person has more rows than the bound, so the bounded count is the plain one."""
    for layout in BATCH.layouts:
        for part in layout.parts:
            if part.component.kind == "rows" and part.component.filter is None and part.keep == ():
                bounded = tables[layout.question.dataset].bounded(layout.question, np.random.default_rng(5))
                assert exact_margin(bounded, layout, (), Operand("rows"), None)[0] == len(bounded.person)
