"""Whatever the text is, the outcome is a question that may be signed, or Invalid with a place. Never another exception."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import sqlglot
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collegium.errors import Invalid
from collegium.layout import compile_layout
from collegium.question import Question
from collegium.schema import Schema, read_schema
from collegium.sql import Compiled, compile_sql
from collegium.view import View, check_view

ROOT = Path(__file__).parents[3]
CORPUS = tomllib.loads((Path(__file__).parent / "corpus.toml").read_text(encoding="utf-8"))
ACCEPTED = [case["sql"] for case in CORPUS["accepted"]]
SHORT = [sql for cases in CORPUS.values() for case in cases if len(sql := case["sql"]) < 200]
SCHEMA: Schema = read_schema(ROOT / "examples/higher-education/schema.toml")

# Words that SQL or sqlglot give a meaning to, beside those of the corpus.
STRANGE = r"""
( ) [ ] { } , ; . * + - / % = <> < > :: := -> => || ' " ` $ $1 @ ? # ~ ! & | ^ \ -- /* */ $$ 0x1F 1e400 1_0
OVER PARTITION LATERAL UNNEST ARRAY STRUCT MAP INTERVAL DATE CAST TRY_CAST AT TIME ZONE ANY ALL SOME
PIVOT UNPIVOT EXCLUDE REPLACE RENAME COLUMNS USING NATURAL CROSS VALUES EXCEPT INTERSECT COLLATE ESCAPE
FILTER WITHIN RESPECT IGNORE NULLS ROWS RANGE FOR IF EXTRACT FROM SELECT WHERE GROUP BY ISNULL NOTNULL
"""
WORDS = sorted({word for sql in SHORT for word in re.findall(r"\w+|'[^']*'|[^\w\s]", sql)} | set(STRANGE.split()))


def outcome(sql: str) -> Compiled | Invalid:
    """What comes of a text; any other exception fails the test."""
    refusal: Invalid | None = None
    try:
        compiled = compile_sql(sql, SCHEMA, rho=1_000_000_000)
    except Invalid as error:
        refusal = error
    if refusal is not None:
        assert refusal.text
        assert refusal.remedy
        assert re.match(r"\d+:\d+( \"|$)", refusal.place), refusal.place
        return refusal
    assert Question.from_json(compiled.question.to_json()) == compiled.question
    assert View.from_json(compiled.view.to_json()) == compiled.view
    check_view(compiled.view, compiled.question)
    compile_layout(compiled.question, SCHEMA)
    assert len(compiled.question.digest) == 64
    return compiled


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=200))
@example("SELECT \ud800 FROM graduate")
@example("SELECT COUNT(*) AS \x00 FROM graduate")
@example('SELECT COUNT(*) AS "\n" FROM graduate')
@example("SELECT 1e999999999 FROM graduate WHERE salary > 1e99")
def test_any_text(sql: str) -> None:
    outcome(sql)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join),
    st.sampled_from(["", "SELECT ", "SELECT COUNT(*) FROM graduate WHERE "]),
)
def test_any_sequence_of_words(words: str, start: str) -> None:
    outcome(start + words)


@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SHORT), st.lists(st.tuples(st.integers(0, 60), st.sampled_from("dxri"), st.sampled_from(WORDS)), max_size=3))
def test_any_small_change_of_a_statement(sql: str, changes: list[tuple[int, str, str]]) -> None:
    parts = re.findall(r"\w+|'[^']*'|\s+|[^\w\s]", sql)
    for at, how, word in changes:
        if not parts:
            break
        at %= len(parts)
        if how == "d":
            del parts[at]
        elif how == "x":
            parts.insert(at, parts[at])
        elif how == "r":
            parts[at] = word
        else:
            parts.insert(at, f" {word} ")
    outcome("".join(parts))


@pytest.mark.parametrize("sql", ACCEPTED)
def test_another_layout_of_the_text_is_the_same_question(sql: str) -> None:
    """The question of a statement is that of the same statement written by sqlglot, on one line and on many."""
    compiled = outcome(sql)
    assert isinstance(compiled, Compiled)
    for pretty in (False, True):
        again = outcome(sqlglot.transpile(sql, read="duckdb", write="duckdb", pretty=pretty)[0])
        assert isinstance(again, Compiled), again
        assert again.question.digest == compiled.question.digest
        assert again.fact_filter == compiled.fact_filter


DEEP = 19_000


@pytest.mark.parametrize(
    "sql",
    [
        "(" * DEEP,
        "SELECT " + "(" * DEEP,
        "SELECT " + "[" * DEEP,
        "SELECT " + "{'a':" * (DEEP // 5),
        "SELECT " + "CASE " * (DEEP // 5),
        "SELECT " + "- " * (DEEP // 2) + "1 FROM graduate",
        "SELECT COUNT(*) FROM graduate WHERE " + "NOT " * (DEEP // 4) + "ontime",
        "SELECT COUNT(*) FROM graduate WHERE ontime" + " AND ontime" * (DEEP // 11),
        "SELECT COUNT(*) FROM graduate WHERE NOT (ontime" + " AND ontime" * (DEEP // 11) + ")",
        "SELECT COUNT(*) FROM graduate WHERE ontime" + " OR ontime AND matched" * (DEEP // 22),
        "SELECT COUNT(*) FROM graduate WHERE ontime" + " = ontime" * (DEEP // 9),
        "SELECT COUNT(*) FROM graduate WHERE ontime" + " IS NULL" * (DEEP // 8),
        "SELECT COUNT(*) FROM graduate WHERE year IN (" + "2025," * (DEEP // 5) + "2025)",
        "SELECT COUNT(*) FROM graduate WHERE salary > " + "9" * DEEP,
        "SELECT COUNT(*)" + " / COUNT(*)" * (DEEP // 11) + " FROM graduate",
        "SELECT COUNT(*)" + "::INT" * (DEEP // 5) + " FROM graduate",
        "SELECT COUNT(*)" + ", COUNT(*)" * (DEEP // 10) + " FROM graduate",
        "SELECT " + "f(" * 40 + ")" * 40 + " FROM graduate",
        "SELECT COUNT(*) FROM graduate" + " JOIN graduate" * (DEEP // 14),
        "SELECT COUNT(*) FROM graduate" + " UNION SELECT COUNT(*) FROM graduate" * (DEEP // 36),
        "SELECT " + "INTERVAL " * (DEEP // 9) + "1",
        "SELECT COUNT(*) FROM " + "(SELECT * FROM " * 40 + "graduate" + ")" * 40,
        "SELECT COUNT(*) FROM graduate WHERE " + "(NOT " * 39 + "ontime" + ")" * 39,
        "SELECT COUNT(*) FROM graduate " + " " * 20_001,
    ],
    ids=lambda sql: f"{sql[:60]}... {len(sql)}",
)
def test_long_and_deep_statements_are_refused(sql: str) -> None:
    result = outcome(sql)
    if isinstance(result, Compiled):  # flat repetition may mean something small
        assert len(result.question.components) == 1
