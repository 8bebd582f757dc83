"""Around asking, with real processes: a plan that costs nothing and foretells, earlier questions, a series at one cost each.

The researcher's commands run in this process, which saves the start of an interpreter each; the federation's are processes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small import RESEARCHER, ask, campus, charged, open_small, people, typed_here

import collegium
from collegium.errors import Exit

if TYPE_CHECKING:
    from launch import Federation

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

COUNT = "SELECT COUNT(*) AS n FROM graduate"
SAVED = """
title = "Graduates of one field"
sql = "SELECT COUNT(*) AS n FROM graduate WHERE field = '{field}'"
rho = "1.5"
purpose = "series"
[set]
field = "01"
"""


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Two universities that allow the researcher and one whose steward decides by hand."""
    opened = open_small(
        tmp_path_factory.mktemp("around"),
        campus("univ-a", people(600)),
        campus("univ-b", people(300, first=1000), province="31"),
        campus("univ-c", people(60, first=2000), province="31", allow=()),
    )
    try:
        home = opened.node_home("univ-c")
        opened.run("collegium-node", "allow", "--researcher", RESEARCHER, "--hold", "--home", home)
        _await_verdict(opened, "univ-c", "held")
        yield opened
    finally:
        opened.stop()


def _await_verdict(opened: Federation, node: str, word: str) -> None:
    """The coordinator asks a node for its newest policy now and then; until it has, a plan shows the one before."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        plan = said(opened, "plan", COUNT, "--rho", "0.02")
        if {each["name"]: each["verdict"] for each in plan["nodes"]}[node] == word:
            return
        time.sleep(0.5)
    raise AssertionError(f"{node} is never seen to have {word}")


def said(federation: Federation, *words: str | Path) -> Any:
    """The JSON of one of the researcher's commands."""
    done = typed_here("collegium", *words, "--json", home=federation.researcher_home(RESEARCHER))
    assert done.code == Exit.OK, done.err
    return json.loads(done.out)


def spent(federation: Federation) -> int:
    return sum(charged(federation, name) for name in ("univ-a", "univ-b", "univ-c"))


def requests(federation: Federation) -> int:
    return len(said(federation, "requests", "--limit", "200"))


def test_a_plan_costs_nothing_and_foretells_the_answer(federation: Federation) -> None:
    before = spent(federation), requests(federation)
    plan = said(federation, "plan", COUNT, "--rho", "0.02")
    assert (spent(federation), requests(federation)) == before
    assert {node["name"]: node["verdict"] for node in plan["nodes"]} == {"univ-a": "allowed", "univ-b": "allowed", "univ-c": "held"}
    assert plan["coverage"] | {"answering": 2, "held": 1, "asked": 3} == plan["coverage"]
    assert plan["nodes"][0]["budget_of_the_period"]["student"]["period"] == "year"
    answer = said(federation, "ask", COUNT, "--rho", "0.02")
    assert plan["cost"]["student"]["nano_rho"] == answer["cost"]["student"]["nano_rho"]
    (row,) = answer["tables"][0]["rows"]
    foretold = plan["questions"][0]["figures"][0]["national"]["half_width"]
    assert (row["n_high"] - row["n_low"]) / 2 == pytest.approx(foretold)
    assert answer["tables"][0]["coverage"]["answered"] == plan["coverage"]["answering"]


def test_explain_plans_and_asks_nobody(federation: Federation) -> None:
    before = spent(federation), requests(federation)
    done = typed_here("collegium", "ask", f"EXPLAIN {COUNT}", "--epsilon", "0.5", home=federation.researcher_home(RESEARCHER))
    assert done.code == Exit.OK
    assert "expected coverage: 2 of 3 universities" in done.out
    assert (spent(federation), requests(federation)) == before


@pytest.mark.long
def test_a_target_is_reached_by_the_cost_that_the_plan_names(federation: Federation) -> None:
    plan = said(federation, "plan", COUNT, "--target-error", "2%", "--expect", "960")
    nano = plan["cost"]["student"]["nano_rho"]
    half = plan["questions"][0]["figures"][0]["national"]["half_width"]
    assert half <= 0.02 * 900 * 1.05  # 900 of the 960 are where an answer is expected, by enrolment 640
    answer = ask(federation, COUNT, "--rho", f"{nano / 1e9:.9f}")
    (row,) = answer["tables"][0]["rows"]
    assert (row["n_high"] - row["n_low"]) / 2 == pytest.approx(half)
    home = federation.researcher_home(RESEARCHER)
    refused = typed_here("collegium", "plan", "SELECT AVG(gpa) AS gpa FROM graduate", "--target-error", "0.0001%", home=home)
    assert refused.code == Exit.INVALID
    assert "cannot reach" in refused.err
    assert "Traceback" not in refused.err


@pytest.mark.long
def test_from_python(federation: Federation) -> None:
    with collegium.connect(federation.researcher_home(RESEARCHER)) as connection:
        plan = connection.plan(COUNT, "SELECT AVG(salary) AS pay FROM graduate", epsilon=0.5)
        assert [len(question.figures) for question in plan.questions] == [1, 1]
        assert "costs nothing" in str(plan)
        assert "<pre" in plan._repr_html_()
        answer = connection.ask("SELECT province, COUNT(*) AS n FROM graduate GROUP BY province", rho=1)
        html = answer._repr_html_()
        assert "univ-c" in html  # what is missing stands below the figures
        assert "Adding or removing all rows of one student" in html
        assert "contain privacy noise" in html
        assert answer.id[:12] in html
        assert answer.to_arrow().num_rows == 3
        answer.chart().to_dict()


@pytest.mark.long
def test_earlier_questions_are_listed_with_their_figures(federation: Federation) -> None:
    sql = "SELECT field, COUNT(*) AS graduates FROM graduate GROUP BY field"
    first = ask(federation, sql, "--rho", "1", "--purpose", "a report")
    before = spent(federation)
    found = said(federation, "questions", "A REPORT")
    assert [each["request"] for each in found] == [first["request"]]
    assert found[0]["sql"] == sql
    assert found[0]["answer"]["tables"][0]["rows"] == first["tables"][0]["rows"]
    assert spent(federation) == before
    text = typed_here("collegium", "questions", home=federation.researcher_home(RESEARCHER)).out
    assert sql in text
    assert "a report" in text


def test_a_saved_question_over_its_values_costs_each_once(federation: Federation, tmp_path: Path) -> None:
    file = tmp_path / "field.toml"
    file.write_text(SAVED, encoding="utf-8")
    home = federation.researcher_home(RESEARCHER)
    each = 1_500_000_000 * 2  # at the two universities that answer
    begin = spent(federation)
    for field in ("01", "02"):
        done = typed_here("collegium", "ask", "--file", file, "--set", f"field={field}", "--json", "--deadline", "20", home=home)
        assert done.code == Exit.OK, done.err
    assert spent(federation) == begin + 2 * each
    made = said(federation, "series", file, "--over", "field=01,02,08")
    assert made["missing"] == ["08"]
    assert spent(federation) == begin + 2 * each
    # A new snapshot: asking 01 again would be another charge; the series knows its figure and does not ask.
    federation.run("collegium-node", "snapshot", "second", "--home", federation.node_home("univ-a"))
    made = said(federation, "series", file, "--over", "field=01,02,08", "--ask")
    assert [point["asked_now"] for point in made["points"]] == [False, False, True]
    assert made["missing"] == []
    assert spent(federation) == begin + 3 * each
    truth = {"01": 300, "02": 300, "08": 300}
    for point in made["points"]:
        assert point["tables"][0]["rows"][0]["n"] == pytest.approx(truth[point["value"]], abs=5)
    again = typed_here("collegium", "series", file, "--over", "field=01,02,08", "--ask", "--csv", home=home)
    assert spent(federation) == begin + 3 * each
    assert again.out.startswith("\ufefffield,n,")
    assert len(again.out.splitlines()) == 4


@pytest.mark.long
def test_what_is_dummy_never_reaches_the_federation(federation: Federation, tmp_path: Path) -> None:
    home = federation.researcher_home(RESEARCHER)
    before = requests(federation)
    made = typed_here("collegium", "dummy", "graduate", "--rows", "200", "--out", tmp_path / "dummy", home=home)
    assert made.code == Exit.OK, made.err
    tried = typed_here("collegium", "ask", "--local", tmp_path / "dummy", COUNT, "--rho", "50", "--json", home=home)
    assert tried.code == Exit.OK, tried.err
    tree = json.loads(tried.out)
    assert tree["invented"] is True
    assert tree["tables"][0]["rows"][0]["n"] == pytest.approx(200, abs=2)
    assert requests(federation) == before


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("ask", "--rho", "1"), "sql"),
        (("ask", COUNT, "--set", "year=1", "--rho", "1"), "--set"),
        (("ask", COUNT, "--schema", "x.toml", "--rho", "1"), "--schema"),
        (("ask", "--file", "nowhere.toml"), "nowhere.toml"),
        (("plan", COUNT), "cost"),
        (("plan", COUNT, "--rho", "1", "--target-error", "1%"), "--target-error"),
        (("series", "nowhere.toml", "--over", "year=1:2"), "nowhere.toml"),
        (("series", "nowhere.toml", "--over", "year"), "--over"),
        (("ask", "--local", "nowhere", COUNT, "--rho", "1"), "nowhere"),
    ],
)
def test_mistakes_name_their_place(federation: Federation, words: tuple[str, ...], place: str) -> None:
    done = typed_here("collegium", *words, home=federation.researcher_home(RESEARCHER))
    assert done.code == Exit.INVALID
    assert done.err.startswith(f"Error: {place}")
    assert "Traceback" not in done.err
