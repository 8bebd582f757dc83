"""Structural zeros: a cell is called empty only if no row can be in it, whatever its other columns are."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

from collegium.indicators.batch import plan_batch
from collegium.indicators.catalogue import read_catalogue
from collegium.indicators.expand import expand
from collegium.indicators.possible import Code, can_hold
from collegium.question import And, In, Not, Or, Predicate, Range, Unknown
from collegium.schema import read_schema

HERE = Path(__file__).resolve().parents[3]

CODES: tuple[Code, ...] = ("1", "2", None)
NUMBERS: tuple[Code, ...] = (0, 1, 2, None)
COLUMNS: dict[str, tuple[Code, ...]] = {"a": CODES, "b": CODES, "n": NUMBERS}


def test_what_populations_exclude() -> None:
    supervisors = Not(arg=In(column="a", values=("1",)))
    assert not can_hold(supervisors, {"a": "1"})
    assert not can_hold(supervisors, {"a": None})  # NULL <> '1' is not true
    assert can_hold(supervisors, {"a": "2"})
    known = And(args=(Not(arg=Unknown(column="a")), In(column="b", values=("1",))))
    assert not can_hold(known, {"a": None})
    assert can_hold(known, {"a": "1"})
    assert not can_hold(known, {"a": "1", "b": "2"})
    assert can_hold(known, {})


def test_no_cell_with_a_row_is_called_empty() -> None:
    rng = random.Random(5)
    empty = 0
    for _ in range(400):
        predicate = _predicate(rng, 3)
        cell = {column: rng.choice(values) for column, values in COLUMNS.items() if rng.random() < 0.6}
        rows = (dict(zip(COLUMNS, row, strict=True)) for row in product(*COLUMNS.values()))
        holds = any(_truth(predicate, row) is True for row in rows if all(row[c] == v for c, v in cell.items()))
        assert can_hold(predicate, cell) or not holds
        if cell.keys() == COLUMNS.keys():
            assert can_hold(predicate, cell) == holds  # with all columns known there is nothing to be careful about
        empty += not can_hold(predicate, cell)
    assert empty > 50


def _predicate(rng: random.Random, depth: int) -> Predicate:
    kind = rng.choice(("in", "range", "unknown", "and", "or", "not") if depth else ("in", "range", "unknown"))
    if kind == "in":
        return In(column=rng.choice("ab"), values=tuple(rng.sample(("1", "2"), rng.randint(1, 2))))
    if kind == "range":
        return Range(column="n", min=rng.choice((None, 0, 1)), max=rng.choice((1, 2)))
    if kind == "unknown":
        return Unknown(column=rng.choice("abn"))
    if kind == "not":
        return Not(arg=_predicate(rng, depth - 1))
    args = (_predicate(rng, depth - 1), _predicate(rng, depth - 1))
    return And(args=args) if kind == "and" else Or(args=args)


def _truth(predicate: Predicate, row: dict[str, Code]) -> bool | None:
    if isinstance(predicate, Not):
        inner = _truth(predicate.arg, row)
        return None if inner is None else not inner
    if isinstance(predicate, And | Or):
        terms = [_truth(arg, row) for arg in predicate.args]
        decisive = isinstance(predicate, Or)
        return decisive if decisive in terms else None if None in terms else not decisive
    value = row[predicate.column]
    if isinstance(predicate, Unknown):
        return value is None
    if value is None:
        return None
    if isinstance(predicate, In):
        return value in predicate.values
    assert isinstance(value, int)
    return (predicate.min is None or value >= predicate.min) and (predicate.max is None or value <= predicate.max)


def test_the_plan_knows_the_cells_that_its_populations_leave_empty() -> None:
    schema = read_schema(HERE / "examples" / "higher-education" / "schema.toml")
    expanded = expand(read_catalogue(HERE / "coordinator/collegium_coordinator/catalogue/higher-education.toml"), schema, 2026)
    batch = plan_batch(expanded, schema, dict.fromkeys(("student", "staff", "learner"), 10**8))
    found: dict[str, set[str]] = {}
    for placed in batch.families:
        layout = batch.layouts[placed.question]
        for keys, cell in placed.zeros:
            if len(keys) == 1:
                axis = layout.axes[keys[0]]
                found.setdefault(f"{layout.question.dataset}.{axis.column}", set()).add(axis.labels[cell])
    assert found["staff.supervisor"] == {"0", "unknown"}
    assert found["graduate.employer_region"] == {"unknown"}
    assert found["award.kind"] == {"ACAD", "unknown"}
    assert "enrolment.study_level" not in found
