"""The eleven questions that a ministry typically asks, each one request from its file in examples/questions, against known truth.

Four invented universities are prepared once and counted by the node's own engine with its own noise; what a running node has
besides (policy, ledger, log, gate) is tested in test_eleven_federation.py with the same checks. Failure: a figure or interval that
plain Polars over the same rows contradicts, a stated error that is not that of the noise, an output that lacks what a reader must
know.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent.parent / "examples" / "questions"))

from eleven import CHECKS, RHO, VALUES, Asked, cells, near_median, node_toml, one_year, persons_by_province
from invent import PROVINCES, SHARED, YEARS, everything, write_campuses
from prepared import Prepared

from collegium.overlap import overlaps
from collegium.saved import read_saved
from collegium.schema import read_schema
from collegium.trial import Trial, TrialAnswer
from collegium_node.config import parse_config

QUESTIONS = Path(__file__).parent.parent.parent / "examples" / "questions"
SCHEMA = read_schema(QUESTIONS.parent / "higher-education" / "schema.toml")

Answers = Callable[[str], TrialAnswer]


@pytest.fixture(scope="module")
def rows() -> dict[str, pl.DataFrame]:
    return everything()


@pytest.fixture(scope="module")
def trial(rows: dict[str, pl.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Trial:
    folder = tmp_path_factory.mktemp("campuses")
    write_campuses(folder, rows)
    nodes = {name: parse_config(node_toml(rows, folder / name), folder / name / "node.toml") for name in PROVINCES}
    return Trial(folder, SCHEMA, engine=Prepared(nodes, SCHEMA, tmp_path_factory.mktemp("snapshots")))


@pytest.fixture(scope="module")
def answers(trial: Trial) -> Answers:
    """Each of the eleven, asked once for all tests of this file."""
    return functools.cache(lambda name: ask(trial, name))


def ask(trial: Trial, name: str, rho: str = "", **values: str) -> TrialAnswer:
    """One request, as the file says, at the tests' cost unless another is given."""
    saved = read_saved(QUESTIONS / f"{name}.toml")
    settings = saved.settings({**VALUES.get(name, {}), **values})
    settings |= {"epsilon": None, "rho": rho or RHO[name]}
    return replace(trial.ask(*settings.pop("statements"), **settings), ratios=saved.ratios)


def asked(answer: TrialAnswer) -> Asked:
    return Asked([each.question for each in answer.figures], [each.table for each in answer.figures])


# ---- the files


def test_there_are_eleven_files_each_with_titles_in_both_languages() -> None:
    names = sorted(file.stem for file in QUESTIONS.glob("*.toml"))
    assert names == sorted(CHECKS)
    for name in names:
        saved = read_saved(QUESTIONS / f"{name}.toml")
        assert saved.title_in("en").isascii()
        assert not saved.title_in("zh").isascii()
        assert saved.file.epsilon is not None
        assert saved.file.purpose


def test_the_page_shows_every_statement_as_the_files_have_it() -> None:
    page = " ".join((QUESTIONS.parent.parent / "docs" / "eleven-questions.md").read_text(encoding="utf-8").split())
    for name in CHECKS:
        saved = read_saved(QUESTIONS / f"{name}.toml")
        for statement in saved.statements:
            assert " ".join(statement.split()) in page
        assert f"epsilon {saved.file.epsilon}: rho" in page
        assert saved.title_in("en") in page
        assert saved.title_in("zh") in page


@pytest.mark.parametrize("name", CHECKS)
def test_a_plan_tells_before_what_the_answer_costs(trial: Trial, name: str) -> None:
    saved = read_saved(QUESTIONS / f"{name}.toml")
    settings = saved.settings()
    plan = trial.plan(*settings.pop("statements"), expect=2400, **settings)
    assert plan.to_json()["cost"]
    assert "costs nothing" in str(plan)


# ---- figures


@pytest.mark.parametrize("name", CHECKS)
def test_the_answer_holds_the_truth(answers: Answers, rows: dict[str, pl.DataFrame], name: str) -> None:
    CHECKS[name](asked(answers(name)), rows)


def test_parts_add_up_to_the_whole_when_noise_is_larger_than_the_parts(trial: Trial) -> None:
    """Start-ups are 1 % of graduates: at this cost their count is often below zero, and still nothing exceeds 100 %."""
    for _ in range(20):
        (table,) = asked(ask(trial, "02-destinations", rho="0.0004")).tables
        parts = [float(row.figures[1].value or 0) for row in table.rows]
        assert min(parts) >= 0
        assert sum(parts) == pytest.approx(1, abs=1e-9)


def test_the_errors_of_a_matrix_with_margins_are_those_that_are_seen(trial: Trial, rows: dict[str, pl.DataFrame]) -> None:
    """Twenty times: the spread of all cells of one kind, pooled, is the stated error."""
    seen: dict[str, list[float]] = {}
    stated: dict[str, float] = {}
    tables = [asked(ask(trial, "03-flows")).tables[0] for _ in range(20)]
    for key in cells(tables[0]):
        figures = [cells(table)[key].figures[0] for table in tables]
        values = [float(figure.value or 0) for figure in figures]
        mean = sum(values) / len(values)
        kind = str(sum(code == "(all)" for code in key)) + ("x" if key[0] == "(all)" else "")
        seen.setdefault(kind, []).append(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
        stated[kind] = float(figures[0].error or 0)
    for kind, variances in seen.items():
        # One cell's spread is known to sqrt(1/38) = 16 %, that of six cells that hang together to 7 %, of 36 to 3 %.
        rel = {1: 0.95, 6: 0.45, 36: 0.2}[len(variances)]
        assert (sum(variances) / len(variances)) ** 0.5 == pytest.approx(stated[kind], rel=rel)


def test_different_learners_lie_within_the_declared_overlap(answers: Answers, rows: dict[str, pl.DataFrame]) -> None:
    answer = answers("04-learners")
    persons = rows["learner"]["pid"].n_unique()
    counted = rows["learner"].select("node", "pid").unique().height
    assert counted - persons == SHARED
    found = {each.group.facts.get("province", "all"): each for each in overlaps(answer.table)}
    assert set(found) == {"11", "all"}  # one university alone counts different persons
    assert found["all"].low <= persons <= found["all"].high
    assert found["all"].low == pytest.approx(counted / 2, abs=40)
    sentence = f"different persons in all: between {found['all'].low:,} and {found['all'].high:,} (95 %)."
    assert sentence in " ".join(str(answer).split())
    assert sentence in answer._repr_html_()
    assert answer.to_json()["overlaps"] == [f"learners: one person can be at 2 universities and counts once at each; {sentence}"]
    assert "不同的人数在" in str(replace(answer, language="zh"))


def test_students_per_teacher_is_one_request_that_both_units_pay(answers: Answers, rows: dict[str, pl.DataFrame]) -> None:
    answer = answers("06-students-per-teacher")
    assert answer.cost == {"student": 12_500_000, "staff": 12_500_000}
    students, teachers = persons_by_province(rows)
    (quotient,) = answer.quotients
    found = cells(quotient.figures.table)
    assert set(found) == {("11",), ("31",), ("53",), ("all",)}
    sd = {"11": 2, "31": 1, "53": 1, "all": 4}
    for (province,), row in found.items():
        (figure,) = row.figures
        ratio = students[province] / teachers[province]
        noise = (sd[province] / (2 * 0.0125)) ** 0.5
        assert float(figure.error or 0) == pytest.approx(noise * (1 + ratio**2) ** 0.5 / teachers[province], rel=0.35)
        assert (
            float(figure.low or 0) - 3 * float(figure.error or 0) <= ratio <= float(figure.high or 0) + 6 * float(figure.error or 0)
        )
    for text in (str(answer), answer._repr_html_(), answer.to_csv()):
        assert "students / teachers" in text
    assert answer.to_json()["ratios"][0]["rows"][-1]["province"] == "all"


def test_a_series_of_five_years_costs_each_year_once(trial: Trial, rows: dict[str, pl.DataFrame]) -> None:
    digests = set()
    for year in YEARS:
        answer = ask(trial, "10-five-years", year=str(year))
        one_year(asked(answer), rows, year)
        assert answer.cost == {"student": 50_000_000}
        digests.add(answer.figures[0].question.digest)
    assert len(digests) == len(YEARS)


def test_a_clip_and_a_median_tell_different_stories_and_both_are_told(trial: Trial, rows: dict[str, pl.DataFrame]) -> None:
    """With the clip at a tenth the mean is biased downwards, as the plan warns; the median does not move."""
    statement = "SELECT SUM(funding) / COUNT(DISTINCT pid) AS per_teacher, MEDIAN(funding) AS middle FROM project WHERE year = 2025"
    clips = {"funding": ("0", "200000")}
    plan = str(trial.plan(statement, rho="2", clips=clips))
    assert "99% of the public range of one row lies beyond the clip" in " ".join(plan.split())
    answer = trial.ask(statement, rho="2", clips=clips)
    per_teacher, middle = answer.figures[0].table.rows[0].figures
    assert float(per_teacher.high or 0) < 210_000
    near_median(middle, rows["project"]["funding"], steps=20_000)


# ---- what a reader sees


@pytest.mark.parametrize("name", CHECKS)
def test_every_output_is_whole(answers: Answers, name: str) -> None:
    """Terminal in both languages, JSON without NaN, CSV that a spreadsheet reads, HTML, a chart."""
    answer = answers(name)
    text, html = str(answer), answer._repr_html_()
    for said in (text, html):
        assert "interval" in said
        assert "privacy noise" in said
        assert not re.search(r"\b(nan|inf|None)\b", said)
    assert "置信区间" in str(replace(answer, language="zh"))
    tree = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    assert [len(table["rows"]) for table in tree["tables"]] == [len(view.shown()) for view in answer.views]
    lines = answer.to_csv()
    assert lines.count("\ufeff") == 1
    tables = [list(csv.reader(io.StringIO(each))) for each in lines.removeprefix("\ufeff").split("\r\n\r\n")]
    assert len(tables) == len(answer.views) + len(answer.quotients)
    for table in tables:
        assert len({len(line) for line in table if line}) == 1
    assert answer.chart().to_dict()["data"] or name


def test_shares_parts_and_their_differences_are_shown_in_per_cent(answers: Answers) -> None:
    assert "part %" in str(answers("02-destinations"))
    gap = answers("07-withdrawal-gap")
    assert "with_aid %" in str(gap)
    assert "gap (points)" in str(gap)
    assert "gap (百分点)" in str(replace(gap, language="zh"))
    (row,) = gap.rows()
    assert 0.01 < row["gap"] < 0.06  # machines get shares of one


def test_significance_and_places_are_seen_and_not_only_stored(answers: Answers) -> None:
    """In the terminal, for machines and in Chinese: which changes are significant, which places a row may have."""
    changes = answers("01-placement-rates")
    assert " *" in str(changes)
    assert "the difference is significant" in " ".join(str(changes).split())
    assert {row["change_significant"] for row in changes.rows()} == {True, False}
    ten = answers("11-top-ten")
    assert re.search(r"\d+–\d+", str(ten))
    assert "of the rows left out may belong among them" in " ".join(str(ten).split())
    assert "名次" in str(replace(ten, language="zh"))
    for row in ten.rows():
        assert 1 <= row["rank_best"] <= row["rank_worst"] <= 15
