"""Every indicator means what the domain tables' own SQL says: both are worked out on the same invented rows, and agree exactly."""

from __future__ import annotations

import csv
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from collegium.indicators.catalogue import read_catalogue
from collegium.indicators.expand import expand
from collegium.indicators.leaf import Cell, Leaf
from collegium.question import And, In, Not, Or, Predicate, Unknown
from collegium.schema import Column, Schema, read_schema

HERE = Path(__file__).resolve().parents[3]
SHIPPED = HERE / "coordinator" / "collegium_coordinator" / "catalogue" / "higher-education.toml"
DOMAIN = HERE.parent / "shared" / "domain"
YEAR = 2026
ROWS = 800

# Missing here where the tables' SQL and the schema's meaning of a missing value agree.
MAY_MISS = {"score", "salary", "matched", "employer_region", "dest_group", "student_author", "supervisor", "international"}
SMALL = {"funding": 900_000, "transfer_income": 200_000, "credits": 1}  # so that no person's sum reaches the clip

Row = dict[str, Any]


@dataclass
class Tables:
    """All rows by dataset, and those that fulfil a condition."""

    rows: dict[str, list[Row]]
    chosen: dict[tuple[str, Predicate], list[Row]] = field(default_factory=dict)


def test_every_leaf_is_its_sql() -> None:
    files = [DOMAIN / f"indicators_{level}.csv" for level in ("university", "discipline")]
    if not all(file.exists() for file in files):
        pytest.skip(f"the domain tables are not there ({DOMAIN.name})")
    schema = read_schema(HERE / "examples" / "higher-education" / "schema.toml")
    tables = Tables({name: list(_invent(name, schema)) for name in schema.datasets})
    database = _database(tables.rows, schema)
    leaves = expand(read_catalogue(SHIPPED), schema, YEAR).leaves
    texts = [file.read_text(encoding="utf-8-sig").splitlines() for file in files]
    wanted = {row["id"]: row["sql"] for text in texts for row in csv.DictReader(text)}
    figures = 0
    for leaf in leaves:
        (said,) = database.execute(wanted[leaf.id], {"Y": YEAR}).fetchone()
        ours = _value(leaf, tables, schema)
        if ours is None:
            assert not said, leaf.id
            continue
        assert said is not None, leaf.id
        assert abs(float(ours) - said) <= 1e-9 * max(1.0, abs(said)), (leaf.id, float(ours), said)
        figures += ours != 0
    assert figures > 1250  # nearly all are figures that a wrong condition would change


def _invent(name: str, schema: Schema) -> Iterator[Row]:
    rng = random.Random(name)
    dataset = schema.datasets[name]
    for _ in range(ROWS):
        row: Row = {dataset.person: f"p{rng.randrange(ROWS // 3)}"}
        for column_name, column in dataset.columns.items():
            row[column_name] = _value_of(column_name, column, schema, rng)
        yield row


def _value_of(name: str, column: Column, schema: Schema, rng: random.Random) -> Any:
    if name in MAY_MISS and rng.random() < 0.2:
        return None
    if name == "transfer_kind" and rng.random() < 0.3:
        return None
    if name in ("year", "entry_year"):
        return rng.choice((YEAR, YEAR, YEAR, YEAR - 1))
    if column.is_number:
        top = int(SMALL.get(name, column.max_steps * column.step))
        return rng.randrange(int(column.min_steps * column.step), top + 1) // max(1, int(column.step)) * max(1, int(column.step))
    return rng.choice(list(schema.values(column)))


def _database(rows: dict[str, list[Row]], schema: Schema) -> sqlite3.Connection:
    """The same rows as the tables have them: booleans 0 and 1, an empty text where nothing was transferred."""
    database = sqlite3.connect(":memory:")
    for name, found in rows.items():
        columns = list(found[0])
        database.execute(f'CREATE TABLE "{name}" ({", ".join(columns)})')
        marks = ", ".join("?" for _ in columns)
        database.executemany(
            f'INSERT INTO "{name}" VALUES ({marks})', [[_plain(name, c, row[c], schema) for c in columns] for row in found]
        )
    return database


def _plain(dataset: str, name: str, value: Any, schema: Schema) -> Any:
    column = schema.datasets[dataset].columns.get(name)
    if name == "transfer_kind":
        return value or ""
    return int(value) if column is not None and column.type == "boolean" and value is not None else value


def _value(leaf: Leaf, tables: Tables, schema: Schema) -> Fraction | None:
    here = list(_chosen(tables, leaf.where, leaf.cell, leaf.dataset, schema))
    person = schema.datasets[leaf.dataset].person
    top = {
        "people": lambda: len({row[person] for row in here}),
        "rows": lambda: len(here),
        "sum": lambda: sum(row[leaf.column] for row in here if row[leaf.column] is not None),
    }
    if leaf.kind in ("count_distinct", "count", "sum"):
        return Fraction(top[{"count_distinct": "people", "count": "rows", "sum": "sum"}[leaf.kind]]())
    if leaf.kind == "mean":
        known = sum(row[leaf.column] is not None for row in here)
        return Fraction(top["sum"](), known) if known else None
    if leaf.kind == "ratio":
        assert leaf.numerator is not None
        hit = sum(_truth(leaf.numerator, row, leaf.dataset, schema) is True for row in here)
        return Fraction(hit, len(here)) if here else None
    if leaf.kind == "share":
        whole = len(list(_chosen(tables, leaf.where, leaf.denominator_cell, leaf.dataset, schema)))
        return Fraction(len(here), whole) if whole else None
    assert leaf.denominator_dataset is not None
    below = _chosen(tables, leaf.denominator_where, leaf.denominator_cell, leaf.denominator_dataset, schema)
    persons = len({row[schema.datasets[leaf.denominator_dataset].person] for row in below})
    over = {"count_per": "rows", "sum_per": "sum", "distinct_per": "people"}[leaf.kind]
    return Fraction(top[over](), persons) if persons else None


def _chosen(tables: Tables, where: Predicate | None, cell: Cell, dataset: str, schema: Schema) -> Iterator[Row]:
    assert where is not None
    if (dataset, where) not in tables.chosen:  # conditions are few, cells many
        tables.chosen[dataset, where] = [row for row in tables.rows[dataset] if _truth(where, row, dataset, schema) is True]
    for row in tables.chosen[dataset, where]:
        if all(row[column] == code for column, code in cell):
            yield row


def _truth(predicate: Predicate, row: Row, dataset: str, schema: Schema) -> bool | None:
    """A plain reading of the question model's conditions, three-valued."""
    if isinstance(predicate, Not):
        inner = _truth(predicate.arg, row, dataset, schema)
        return None if inner is None else not inner
    if isinstance(predicate, And | Or):
        terms = [_truth(arg, row, dataset, schema) for arg in predicate.args]
        decisive = isinstance(predicate, Or)
        return decisive if decisive in terms else None if None in terms else not decisive
    value = row[predicate.column]
    if isinstance(predicate, Unknown):
        return value is None
    if value is None:
        return None
    column = schema.datasets[dataset].columns[predicate.column]
    steps = column.encode(value) if column.is_number else value
    if isinstance(predicate, In):
        return steps in predicate.values
    return (predicate.min is None or steps >= predicate.min) and (predicate.max is None or steps <= predicate.max)
