"""The demonstration's schema loads, fits a log entry, and is bilingual throughout; its numbers leave room for every statistic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collegium.schema import MAX_TOML, Schema, read_schema
from collegium.sql import compile_sql

PATH = Path(__file__).parents[2] / "examples/higher-education/schema.toml"
SCHEMA: Schema = read_schema(PATH)

# Rows of one person in one table and year, as the federation's table of columns has them.
ROWS = {
    "enrolment": ("student", 2),
    "status_event": ("student", 4),
    "course_reg": ("student", 40),
    "graduate": ("student", 1),
    "award": ("student", 5),
    "staff": ("staff", 1),
    "project": ("staff", 5),
    "output": ("staff", 10),
    "learner": ("learner", 10),
    "exchange": ("student", 2),
}


def test_it_fits_one_log_entry() -> None:
    text = PATH.read_text(encoding="utf-8")
    assert len(text.encode()) <= MAX_TOML
    assert len(json.dumps(text, ensure_ascii=False).encode()) < 60_000


def test_datasets_units_and_facts() -> None:
    assert {name: (dataset.unit, dataset.max_rows) for name, dataset in SCHEMA.datasets.items()} == ROWS
    assert {name: unit.max_nodes_per_person for name, unit in SCHEMA.units.items()} == {"student": 2, "staff": 2, "learner": 2}
    assert set(SCHEMA.facts) == {"province", "character", "level"}
    assert all(dataset.person == "pid" and "year" in dataset.columns for dataset in SCHEMA.datasets.values())


def test_every_title_and_code_has_both_languages() -> None:
    texts = [SCHEMA.title, *(unit.title for unit in SCHEMA.units.values()), *(fact.title for fact in SCHEMA.facts.values())]
    for dataset in SCHEMA.datasets.values():
        texts += [dataset.title, *(column.title for column in dataset.columns.values())]
    for codes in SCHEMA.codes.values():
        texts += codes.values()
    assert len(texts) > 400
    assert [text for text in texts if not text.en or not text.zh] == []


def test_every_code_list_is_used() -> None:
    used = {column.codes for dataset in SCHEMA.datasets.values() for column in dataset.columns.values()}
    assert set(SCHEMA.codes) == (used | {fact.codes for fact in SCHEMA.facts.values()}) - {None}


def test_derived_codes_agree_with_what_they_are_derived_from() -> None:
    """A category's code begins the codes of its disciplines; provinces of persons are those of universities and one more."""
    assert {code[:2] for code in SCHEMA.codes["discipline"]} == set(SCHEMA.codes["discipline_cat"])
    assert [code for code in SCHEMA.codes["person_province"] if code != "99"] == list(SCHEMA.codes["province"])
    sizes = {
        name: len(SCHEMA.codes[name]) for name in ("province", "discipline_cat", "discipline", "student_status", "destination")
    }
    assert sizes == {"province": 34, "discipline_cat": 14, "discipline": 117, "student_status": 16, "destination": 15}


NUMBERS = [(name, column) for name, dataset in SCHEMA.datasets.items() for column, of in dataset.columns.items() if of.is_number]


@pytest.mark.parametrize(("dataset", "column"), NUMBERS)
def test_every_number_can_be_summed_averaged_and_spread(dataset: str, column: str) -> None:
    """No step is so fine that a variance at the dataset's bounds has no head room in 64 bits."""
    compile_sql(f"SELECT SUM({column}), AVG({column}), STDDEV_POP({column}) FROM {dataset}", SCHEMA, rho=10**9)
