"""Universities that serve a whole schema: invented rows of every dataset, and what plain SQL makes of all of them in one place.

The rows have at most one row a person where persons are counted, and sums below every clip, so that the figures of the domain
tables' plain SQL are the bounded figures. A cost as high as `RHO` hides no mistake behind noise.
"""

from __future__ import annotations

import csv
import random
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from launch import University
from small import RESEARCHER

from collegium.dummy import dummy_rows
from collegium.schema import read_schema

__all__ = ["CATALOGUE", "DOMAIN", "EXAMPLE", "RHO", "SCHEMA", "YEAR", "Rows", "campus", "database", "invented", "sql_of_indicators"]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "higher-education"
SCHEMA = read_schema(EXAMPLE / "schema.toml")
CATALOGUE = ROOT / "coordinator" / "collegium_coordinator" / "catalogue" / "higher-education.toml"
DOMAIN = ROOT.parent / "shared" / "domain"
YEAR = 2026
RHO = 99_000
SMALL = {"funding": 900_000, "transfer_income": 200_000, "credits": 1}  # so that no person's sum reaches the clip
SEVERAL = {"course_reg": 6, "status_event": 3, "project": 4, "output": 5}  # rows of a person; one elsewhere
BUDGET = "".join(f'[budget.{unit}]\nperiod = "year"\nrho = 100000\nlifetime_rho = 100000\n' for unit in SCHEMA.units)

Rows = list[dict[str, str]]


def invented(node: str, rows_each: int = 700) -> dict[str, Rows]:
    """Rows of every dataset, most of them of the year that is measured."""
    rng = random.Random(node)
    tables = {}
    for name, dataset in SCHEMA.datasets.items():
        rows: Rows = []
        person, left = 0, 0
        for values in dummy_rows(SCHEMA, dataset, rows_each, rng):
            row = dict(zip([dataset.person, *dataset.columns], values, strict=True))
            if left == 0:
                person, left = person + 1, rng.randint(1, SEVERAL.get(name, 1))
            left -= 1
            row[dataset.person] = f"{node}{person}"
            for column, of in dataset.columns.items():
                if row[column] == "":  # plain SQL and the schema would take a missing value differently
                    row[column] = next(iter(SCHEMA.values(of))) if not of.is_number else str(of.decode(of.min_steps))
                if column in SMALL:
                    row[column] = str(rng.randrange(SMALL[column] + 1))
            if row.get("study_level") == "3" and row.get("discipline_cat") in ("11", "14"):
                row["discipline_cat"] = "01"  # the catalogue says that there are none
            if rng.random() < 0.8:
                row["year"] = str(YEAR)
            if name == "enrolment" and rng.random() < 0.3:
                row["entry_year"] = str(YEAR)
            rows.append(row)
        tables[name] = rows
    return tables


def campus(
    node: str, tables: dict[str, Rows], province: str, lacks: tuple[str, ...] = (), release: Sequence[str] = ()
) -> University:
    """A university that serves all datasets and columns but those it `lacks`, as dataset or dataset.column."""
    served = [name for name in tables if name not in lacks]

    def write(home: Path) -> None:
        (home / "data").mkdir()
        for name in served:
            with (home / "data" / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(tables[name][0]))
                writer.writeheader()
                writer.writerows(tables[name])

    lines: list[str] = []
    for name in served:
        dataset = SCHEMA.datasets[name]
        columns = [column for column in dataset.columns if f"{name}.{column}" not in lacks]
        lines += [f"[sources.{name}]", 'kind = "csv"', f'path = "data/{name}.csv"', f"[datasets.{name}]", f'source = "{name}"']
        lines += [f'person = "{dataset.person}"', f"[datasets.{name}.columns]", *(f'{column} = "{column}"' for column in columns)]
    return University(
        name=node,
        facts={"province": province, "character": "01", "level": "本科"},
        enrolment=1000,
        sources="\n".join(lines) + "\n",
        write=write,
        budget=BUDGET,
        allow=(RESEARCHER,),
        release=release,
    )


def database(tables: Mapping[str, Mapping[str, Rows]], nodes: Iterable[str]) -> sqlite3.Connection:
    """The universities' rows in one place, which the system exists to avoid; numbers as numbers."""
    chosen, db = list(nodes), sqlite3.connect(":memory:")
    for name, dataset in SCHEMA.datasets.items():
        kinds = [
            f'"{column}" {"NUMERIC" if of.is_number or of.type == "boolean" else "TEXT"}' for column, of in dataset.columns.items()
        ]
        db.execute(f'CREATE TABLE "{name}"(pid TEXT, {", ".join(kinds)})')
        rows = [tuple(row.values()) for node in chosen for row in tables[node][name]]
        db.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * (1 + len(dataset.columns)))})', rows)
    return db


def sql_of_indicators() -> dict[str, str]:
    """By leaf: the domain tables' SQL. Skips where they are not there."""
    files = [DOMAIN / f"indicators_{level}.csv" for level in ("university", "discipline")]
    if not all(file.exists() for file in files):
        pytest.skip(f"the domain tables are not there ({DOMAIN.name})")
    texts = [file.read_text(encoding="utf-8-sig").splitlines() for file in files]
    return {row["id"]: row["sql"] for text in texts for row in csv.DictReader(text)}
