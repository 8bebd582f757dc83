"""A small campus for tests: a schema with every type of column, and a node.toml over files that a test writes."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from collegium.schema import parse_schema
from collegium_node.config import NodeConfig, parse_config
from collegium_node.digest import NodeSecret
from collegium_node.prepare import Prepared, prepare
from collegium_node.sources import read_source

SECRET = NodeSecret(bytes(range(32)))

SCHEMA = parse_schema(
    """
    name = "campus"
    version = 1
    title = { en = "Campus" }
    units.student = { title = { en = "student" } }

    [codes.gender]
    "1" = { en = "male", zh = "男" }
    "2" = { en = "female", zh = "女" }
    "9" = { en = "not stated" }

    [codes.discipline]
    "01" = { en = "philosophy" }
    "02" = { en = "economics" }
    "08" = { en = "engineering" }

    [datasets.course]
    title = { en = "Courses" }
    unit = "student"
    person = "student"
    max_rows = 2
    max_groups = 1

    [datasets.course.columns]
    gender = { type = "category", title = { en = "gender" }, codes = "gender" }
    discipline = { type = "category", title = { en = "discipline" }, codes = "discipline" }
    passed = { type = "boolean", title = { en = "passed" } }
    year = { type = "integer", title = { en = "year" }, min = 2015, max = 2035 }
    gpa = { type = "decimal", title = { en = "gpa" }, min = 0, max = 4, step = 0.01 }
    """
)

COLUMNS = """
[datasets.course]
source = "rows"
person = "id"

[datasets.course.columns]
gender = "sex"
discipline = "field"
passed = "passed"
year = "year"
gpa = "gpa"
"""

HEADER = "id,sex,field,passed,year,gpa\n"


def config(folder: Path, sources: str, columns: str = COLUMNS) -> NodeConfig:
    """A node.toml in the folder; `sources` is its TOML for the tables of sources."""
    return parse_config(sources + columns, folder / "node.toml")


def csv_config(folder: Path, path: str = "rows.csv", more: str = "", columns: str = COLUMNS) -> NodeConfig:
    """One CSV source called `rows`."""
    return config(folder, f'[sources.rows]\nkind = "csv"\npath = "{path}"\n{more}\n', columns)


def rows_of(settings: NodeConfig, name: str = "rows") -> pl.DataFrame:
    """All rows of a source in one frame."""
    return pl.concat([batch.frame for batch in read_source(name, settings)])


def people(prepared: Prepared) -> dict[int, list[tuple[int | None, ...]]]:
    """For each person's digest, the person's rows with their digests, in the stored order."""
    rows = [(*row, digest) for row, digest in zip(prepared.frame.rows(), prepared.row_digest.tolist(), strict=True)]
    ends = prepared.offsets.tolist()
    return {digest: rows[start:end] for digest, start, end in zip(prepared.person_digest.tolist(), ends, ends[1:], strict=False)}


def prepared_csv(folder: Path, text: str, **settings: str) -> Prepared:
    """The dataset `course` prepared from one CSV file with this text after the header."""
    (folder / "rows.csv").write_text(HEADER + text, encoding="utf-8")
    return prepare("course", csv_config(folder, **settings), SCHEMA, SECRET)
