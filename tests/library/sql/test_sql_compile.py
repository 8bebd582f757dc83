"""What a statement leaves to the call: cost, person bounds and clips; and what two statements have in common."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from collegium.errors import Invalid
from collegium.question import Bounds
from collegium.schema import Schema, parse_schema, read_schema
from collegium.sql import compile_sql, compile_statements

ROOT = Path(__file__).parents[3]
SCHEMA: Schema = read_schema(ROOT / "examples/higher-education/schema.toml")
SALARIES = "SELECT SUM(salary) FROM graduate"


@pytest.mark.parametrize("rho", [3, 4, 5, 999_999_999, 3 * 10**15])
def test_every_component_costs_the_same_and_all_no_more_than_offered(rho: int) -> None:
    question = compile_sql("SELECT COUNT(*), AVG(salary) FROM graduate", SCHEMA, rho=rho).question
    assert {component.rho for component in question.components} == {rho // 3}
    assert rho - 3 < question.rho <= rho


@pytest.mark.parametrize("rho", [2, 0, -1, 3 * 10**15 + 3])
def test_a_cost_that_cannot_be_divided_is_refused(rho: int) -> None:
    with pytest.raises(Invalid, match="nano-rho") as caught:
        compile_sql("SELECT COUNT(*), AVG(salary) FROM graduate", SCHEMA, rho=rho)
    assert caught.value.place == "rho"


def test_a_component_that_measures_share_is_paid_once() -> None:
    """Three measures of one column need three components, and a filter spelt in two ways needs one."""
    shared = compile_sql(
        "SELECT COUNT(salary) AS a, AVG(salary) AS b, VAR_POP(salary) AS c, "
        "COUNT(salary) FILTER (WHERE ontime AND matched) AS d, "
        "COUNT(salary) FILTER (WHERE (matched) AND ontime = 1) AS e FROM graduate",
        SCHEMA,
        rho=1000,
    )
    assert [component.kind for component in shared.question.components] == ["count", "total", "squares", "count"]
    assert [measure.parts for measure in shared.view.measures] == [(0,), (0, 1), (0, 1, 2), (3,), (3,)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("year = 2025 AND ontime", "ontime = TRUE AND 2025 = year"),
        ("study_level IN ('3', '4')", "study_level IN ('4', '3', '4')"),
        ("salary > 6000", "6001 <= salary"),
        ("salary < 60000", "salary < 70000"),
        ("NOT (NOT ontime)", "ontime IS NOT NULL AND ontime"),
    ],
)
def test_spelling_and_digest(one: str, other: str) -> None:
    """Statements that differ in spelling alone are one question; the last pair differs in more and is two."""
    digests = {
        compile_sql(f"SELECT COUNT(*) AS {name} FROM graduate WHERE {text}", SCHEMA, rho=1000).question.digest
        for name, text in (("a", one), ("b", other))
    }
    assert len(digests) == (2 if "IS NOT NULL" in other else 1)


def test_bounds_are_the_datasets_unless_given() -> None:
    assert compile_sql("SELECT COUNT(*) FROM enrolment", SCHEMA, rho=1).question.bounds == Bounds(max_groups=2, max_rows=2)
    asked = compile_sql("SELECT COUNT(*) FROM enrolment", SCHEMA, rho=1, max_rows=8, max_groups=4).question.bounds
    assert asked == Bounds(max_groups=4, max_rows=8)


@pytest.mark.parametrize("bounds", [{"max_rows": 0}, {"max_groups": -1}, {"max_rows": 10_001}])
def test_impossible_bounds_are_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        compile_sql("SELECT COUNT(*) FROM enrolment", SCHEMA, rho=1, **bounds)
    assert caught.value.place == next(iter(bounds))


def clip(sql: str = SALARIES, schema: Schema = SCHEMA, **options: Any) -> tuple[int, int] | None:
    return compile_sql(sql, schema, rho=1000, **options).question.components[0].clip


def test_the_clip_is_the_persons_maximum_of_the_schema() -> None:
    assert clip() == (0, 2000)  # 20,000 CNY in steps of 10
    assert clip("SELECT SUM(credits) FROM course_reg") == (0, 120)  # 60 credits in steps of 0.5


def test_without_a_persons_maximum_the_clip_is_rows_times_bound() -> None:
    assert clip("SELECT SUM(score) FROM course_reg") == (0, 40 * 1000)
    assert clip("SELECT SUM(score) FROM course_reg", max_rows=2) == (0, 2000)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ("min = -4, max = 10", (-12, 30)),
        ("min = 2, max = 10", (0, 30)),
        ("min = -9, max = -1", (-27, 0)),
        ("min = -4, max = 10, person_max = 7", (-7, 7)),
        ("min = -9, max = -1, person_max = 7", (-7, 0)),
    ],
)
def test_zero_is_always_within_the_clip(bounds: str, expected: tuple[int, int]) -> None:
    """A person who has no row with a value has the sum 0, whatever the bounds of one value are."""
    schema = parse_schema(
        'name = "s"\nversion = 1\ntitle = { en = "S" }\n[units.u]\ntitle = { en = "U" }\n'
        '[datasets.t]\ntitle = { en = "T" }\nunit = "u"\nperson = "pid"\nmax_rows = 3\n[datasets.t.columns]\n'
        f'x = {{ type = "integer", title = {{ en = "x" }}, {bounds} }}\n'
    )
    assert clip("SELECT SUM(x) FROM t", schema) == expected


def test_a_clip_of_the_askers_own() -> None:
    assert clip(clips={"salary": (0, "9000")}) == (0, 900)
    assert clip(clips={"salary": (Decimal("-10"), 9000)}) == (-1, 900)


@pytest.mark.parametrize(
    ("clips", "text"),
    [
        ({"salary": (0, 9001)}, "multiple of the step"),
        ({"salary": (9000, 0)}, "must increase"),
        ({"salary": (0, "many")}, "not a number"),
        ({"gender": (0, 1)}, "no number column"),
        ({"pay": (0, 1)}, "no number column"),
        ({"salary": (0, 10**40)}, "clipped beyond"),
    ],
)
def test_impossible_clips_are_refused(clips: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        clip(clips=clips)


def test_a_clip_of_what_is_not_summed_is_refused() -> None:
    with pytest.raises(Invalid, match=r"no SUM\(salary\)"):
        compile_sql("SELECT AVG(salary) FROM graduate", SCHEMA, rho=1000, clips={"salary": (0, 9000)})


def test_a_sum_without_head_room_is_placed_at_the_sum() -> None:
    with pytest.raises(Invalid, match="head room") as caught:
        clip("SELECT COUNT(*),\n SUM(salary) FROM graduate", clips={"salary": (0, 10**11)})
    assert caught.value.place == '2:2 "SUM(salary)"'


def test_facts_alone_leave_the_question_as_it_is() -> None:
    """Grouping by a fact or choosing universities by one changes neither the question nor its digest: it costs nothing."""
    plain = compile_sql("SELECT COUNT(*) FROM graduate WHERE ontime", SCHEMA, rho=1000)
    by_fact = compile_sql(
        "SELECT province, COUNT(*) FROM graduate WHERE ontime AND level <> '专科' GROUP BY province", SCHEMA, rho=1000
    )
    assert by_fact.question.digest == plain.question.digest
    assert by_fact.view.facts == ("province",)
    assert plain.fact_filter is None
    assert by_fact.fact_filter == {"level": frozenset({"本科"})}


@pytest.mark.parametrize(
    ("clause", "default", "mode"),
    [
        ("", "per_node", "per_node"),
        ("", "national", "national"),
        (" RELEASE NATIONAL", "per_node", "national"),
        (" release national;", "per_node", "national"),
        (" RELEASE PER NODE", "national", "per_node"),
        (" ORDER BY COUNT(*) DESC LIMIT 3\nRELEASE NATIONAL ;", "per_node", "national"),
    ],
)
def test_the_release_mode_is_the_statements_own_or_the_calls(clause: str, default: Any, mode: str) -> None:
    """And of the question: the same statement in both modes has two digests, and the rest of it is the same."""
    text = "SELECT study_level, COUNT(*) FROM graduate GROUP BY study_level"
    found = compile_sql(text + clause, SCHEMA, rho=1000, mode=default)
    plain = compile_sql(text, SCHEMA, rho=1000)
    assert found.question.mode == mode
    assert (found.question.digest == plain.question.digest) == (mode == "per_node")
    assert found.question.model_copy(update={"mode": "per_node"}) == plain.question
    assert found.view.measures == plain.view.measures


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("SELECT COUNT(*) FROM graduate RELEASE NATIONALLY", '1:31 "RELEASE NATIONALLY"'),
        ("SELECT COUNT(*) FROM graduate RELEASE NATIONAL NOW", '1:31 "RELEASE NATIONAL NOW"'),
        ("SELECT COUNT(*) FROM graduate RELEASE PER PERSON", '1:31 "RELEASE PER PERSON"'),
        ("SELECT COUNT(*) FROM graduate RELEASE NATIONAL WHERE year = 2025", '1:31 "RELEASE NATIONAL WHERE year"'),
    ],
)
def test_a_release_clause_that_is_none_is_refused_at_its_place(text: str, place: str) -> None:
    with pytest.raises(Invalid, match="release mode") as caught:
        compile_sql(text, SCHEMA, rho=1000)
    assert caught.value.place == place
    assert "RELEASE NATIONAL" in caught.value.remedy


def test_release_is_an_ordinary_name_elsewhere() -> None:
    found = compile_sql("SELECT COUNT(*) AS release FROM graduate", SCHEMA, rho=1000)
    assert found.view.measures[0].label == "release"
    assert found.question.mode == "per_node"


def test_statements_of_two_modes_are_two_questions_and_share_the_cost() -> None:
    text = "SELECT COUNT(*) FROM graduate"
    one, other, third = compile_statements([text, f"{text} RELEASE NATIONAL", f"{text} RELEASE NATIONAL"], SCHEMA, rho=900)
    assert one.question.digest != other.question.digest == third.question.digest
    assert (one.question.rho, other.question.rho) == (300, 600)
