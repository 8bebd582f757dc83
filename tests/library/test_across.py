"""A figure of one question divided by one of another, and how many different persons a national count can be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from collegium.accounting import noise_scale
from collegium.across import check_ratios
from collegium.errors import Invalid
from collegium.layout import Layout
from collegium.overlap import overlap_notes, overlaps
from collegium.schema import Schema, read_schema
from collegium.trial import Trial, TrialAnswer

SCHEMA = read_schema(Path(__file__).parent.parent.parent / "examples" / "higher-education" / "schema.toml")
STUDENTS = "SELECT province, COUNT(DISTINCT pid) AS students FROM enrolment GROUP BY province"
TEACHERS = "SELECT province, COUNT(DISTINCT pid) AS teachers FROM staff GROUP BY province"
CAMPUSES = {"amber": "11", "birch": "11", "cedar": "31"}


class Known:
    """Gives known tallies without noise: of every dataset one number in every value, at each university."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self.values = values

    def answer(self, folder: Path, schema: Schema, layouts: Sequence[Layout]) -> list[tuple[bytes, tuple[str, ...]]]:
        return [
            (
                np.full(layout.length, self.values[layout.question.dataset], dtype="<i8").tobytes(),
                tuple(repr(noise_scale(part)) for part in layout.parts),
            )
            for layout in layouts
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, province in CAMPUSES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "facts.toml").write_text(f'province = "{province}"', encoding="utf-8")
        for dataset in ("enrolment", "staff", "project", "learner"):
            (tmp_path / name / f"{dataset}.csv").touch()
    return tmp_path


def ask(folder: Path, *statements: str, rho: str = "0.5", **values: int) -> TrialAnswer:
    given = {"enrolment": 1200, "staff": 100, "project": 3, "learner": 500} | values
    return Trial(folder, SCHEMA, engine=Known(given)).ask(*statements, rho=rho)


def test_the_quotient_is_row_by_row_with_an_interval(folder: Path) -> None:
    answer = ask(folder, STUDENTS, TEACHERS)
    rows = answer.ratio("students / teachers").rows()
    assert [row["province"] for row in rows] == ["11", "31", "all"]
    for row, nodes in zip(rows, (2, 1, 3), strict=True):
        assert row["students / teachers"] == pytest.approx(12)
        half = (row["students / teachers_high"] - row["students / teachers_low"]) / 2
        # Both counts have noise of sqrt(2 nodes): rho is 0.25 for each.
        assert half == pytest.approx(1.96 * (2 * nodes) ** 0.5 * (1 + 12**2) ** 0.5 / (100 * nodes), rel=0.1)


def test_it_stands_in_every_output(folder: Path) -> None:
    answer = replace(ask(folder, STUDENTS, TEACHERS), ratios=("students / teachers",))
    assert "students / teachers" in str(answer)
    assert "students / teachers" in answer._repr_html_()
    assert answer.to_csv().count("students / teachers,") == 1
    assert answer.to_csv().count("\ufeff") == 1
    (tree,) = json.loads(json.dumps(answer.to_json()))["ratios"]
    assert tree["label"] == "students / teachers"
    assert len(tree["rows"]) == 3


def test_a_sum_is_in_its_own_unit(folder: Path) -> None:
    """Three steps of 1,000 yuan at each university, beside 100 teachers."""
    funding = "SELECT SUM(funding) AS funding FROM project"
    answer = ask(folder, funding, "SELECT COUNT(DISTINCT pid) AS teachers FROM staff", rho="1000", project=3)
    view = answer.ratio("funding / teachers")
    assert view.rows()[0]["funding / teachers"] == pytest.approx(30)
    assert view.figures.table.measures[0].unit == "CNY"


def test_without_the_same_universities_in_both_there_is_no_quotient(folder: Path) -> None:
    (folder / "birch" / "staff.csv").unlink()
    rows = {row["province"]: row for row in ask(folder, STUDENTS, TEACHERS).ratio("students / teachers").rows()}
    assert rows["31"]["students / teachers"] == pytest.approx(12)
    for code in ("11", "all"):
        assert rows[code]["students / teachers"] is None
        assert rows[code]["students / teachers_mark"] == "no-answer"


def test_a_denominator_lost_in_noise_gives_no_value_and_no_upper_end(folder: Path) -> None:
    (_, _, whole) = ask(folder, STUDENTS, TEACHERS, staff=-4).ratio("students / teachers").rows()
    assert whole["students / teachers"] is None
    assert whole["students / teachers_high"] is None
    assert whole["students / teachers_mark"] == "unreliable"


@pytest.mark.parametrize(
    ("statements", "text", "word"),
    [
        ((STUDENTS, TEACHERS), "students", "no ratio"),
        ((STUDENTS, TEACHERS), "students / ", "no ratio"),
        ((STUDENTS, TEACHERS), "students / professors", "professors"),
        ((STUDENTS, STUDENTS), "students / students", "several"),
        ((STUDENTS, "SELECT COUNT(DISTINCT pid) AS teachers FROM staff"), "students / teachers", "different keys"),
        ((STUDENTS, "SELECT province, AVG(age) AS teachers FROM staff GROUP BY province"), "students / teachers", "neither"),
        (
            ("SELECT COUNT(DISTINCT pid) AS a, COUNT(*) AS b FROM staff", "SELECT COUNT(*) AS c FROM project"),
            "a / b",
            "of one question",
        ),
    ],
)
def test_what_is_no_quotient_is_refused_with_its_reason(folder: Path, statements: tuple[str, ...], text: str, word: str) -> None:
    answer = ask(folder, *statements)
    with pytest.raises(Invalid) as caught:
        answer.ratio(text)
    assert word in caught.value.text
    assert caught.value.place == "ratio"


def test_titles_and_kinds_are_checked_before_anybody_pays(folder: Path) -> None:
    answer = ask(folder, STUDENTS, TEACHERS, "SELECT AVG(age) AS age FROM staff")
    questions, views = [each.question for each in answer.figures], [each.view for each in answer.figures]
    check_ratios(("students / teachers",), questions, views)
    for text in ("students / professors", "age / teachers", "students"):
        with pytest.raises(Invalid):
            check_ratios((text,), questions, views)


def test_different_persons_are_between_the_count_over_m_and_the_count(folder: Path) -> None:
    """A learner can be at two universities; where one university answers, its own count is of different persons."""
    answer = ask(folder, "SELECT province, COUNT(DISTINCT pid) AS learners FROM learner GROUP BY province", rho="0.02")
    found = {each.group.facts.get("province", "all"): each for each in overlaps(answer.table)}
    assert set(found) == {"11", "all"}
    row = answer.rows()[-1]
    assert (found["all"].low, found["all"].high) == (-(-row["learners_low"] // 2), row["learners_high"])
    (note,) = overlap_notes(answer.table)
    assert f"between {found['all'].low:,} and {found['all'].high:,} (95 %)" in note
    (chinese,) = overlap_notes(replace(answer, language="zh").table)
    assert f"在 {found['all'].low:,} 至 {found['all'].high:,} 之间" in chinese


def test_a_table_with_keys_tells_the_rule(folder: Path) -> None:
    answer = ask(folder, "SELECT learner_type, COUNT(DISTINCT pid) AS learners FROM learner GROUP BY learner_type")
    (note,) = overlap_notes(answer.table)
    assert note.endswith("counts once at each; different persons: between 1/2 of a figure and the figure.")
    assert overlap_notes(ask(folder, "SELECT COUNT(*) AS rows_of FROM learner").table) == []
