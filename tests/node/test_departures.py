"""`report`: everything that left in a month is on the page, in words, and nothing that did not."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from nationalnode import RHO, country
from onenode import SCHEMA, T0, Ministry, OneNode, Researcher, question

from collegium.errors import Invalid
from collegium.question import Question
from collegium.schema import parse_schema
from collegium_node.departures import Departures, departures, to_json
from collegium_node.departures_page import page, text
from collegium_node.withdraw import withdraw
from collegium_node.wording import in_words

MONTH = datetime.fromtimestamp(T0 + 10, UTC).strftime("%Y-%m")
NEXT = T0 + 40 * 86_400
EVIL = '<script>alert("x")</script> & "quoted"'


@pytest.fixture
def world(tmp_path: Path) -> tuple[OneNode, Researcher, Researcher]:
    ministry = Ministry(SCHEMA.replace('title = { en = "salary" }', 'title = { en = "salary", zh = "工资" }'))
    first, second = Researcher(ministry, "li-wei"), Researcher(ministry, "wang-fang")
    one = OneNode(tmp_path, ministry)
    one.learn()
    one.snapshot()
    one.allow(first, second, rho=10**8, lifetime=10**9)
    one.answer(first.ask(question(10**7), purpose="annual report"))
    one.answer(second.ask(question(10**7), purpose=EVIL))  # the same figure goes to somebody else
    one.answer(first.ask(question(10**9), purpose="too much"))
    one.engine.gone.add("none")
    broken = first.ask(question(10**6, value=5))
    one.engine.on_tally = lambda: 1 // 0
    one.answer(broken)
    one.engine.on_tally = lambda: None
    one.now[0] = NEXT
    one.answer(first.ask(question(10**7, value=77), expiry=NEXT + 1000))
    return one, first, second


def report(one: OneNode, month: str = MONTH, language: str = "en") -> Departures:
    return departures(one.node, month, language=language, now=int(one.now[0]))


def test_a_month_holds_what_left_in_it(world: tuple[OneNode, Researcher, Researcher]) -> None:
    one, _, _ = world
    found = report(one)
    assert [(line.researcher, line.rho, line.again, line.figures) for line in found.lines] == [
        ("li-wei", 10**7, False, 1),
        ("wang-fang", 0, True, 1),
    ]
    assert [line.purpose for line in found.lines] == ["annual report", EVIL]
    assert found.lines[1].recipients == ("coordinator", "wang-fang")
    assert [(line.rho, line.figures) for line in found.unanswered] == [(10**6, 0)]
    assert (found.refused, found.rho) == (1, 10**7 + 10**6)
    assert len(report(one, datetime.fromtimestamp(NEXT, UTC).strftime("%Y-%m")).lines) == 1
    assert report(one, "2031-01").lines == ()
    student = next(line for line in found.budgets if line.scope == "unit" and line.name == "student")
    assert (student.spent, student.limit) == (2 * 10**7 + 10**6, 10**8)


def test_a_withdrawn_release_is_marked(world: tuple[OneNode, Researcher, Researcher]) -> None:
    one, _, _ = world
    withdraw(one.node.journal, report(one).lines[0].request, "wrong upload")
    assert [line.withdrawn for line in report(one).lines] == [True, True]
    assert "withdrawn" in page(report(one))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_whole_safe_and_says_what_matters(world: tuple[OneNode, Researcher, Researcher], language: str) -> None:
    one, _, _ = world
    html = page(report(one, language=language))

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: set[str] = set()
            self.words: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.tags.add(tag)

        def handle_data(self, data: str) -> None:
            self.words.append(data)

    reader = Reader()
    reader.feed(html)
    assert not reader.tags & {"script", "img", "link", "iframe"}
    shown = " ".join(reader.words)
    for each in ("annual report", EVIL, "li-wei", "0.01", "工资" if language == "zh" else "salary", MONTH):
        assert each in shown
    plain = text(report(one, language=language))
    assert EVIL in plain
    assert to_json(report(one))["lines"][0]["epsilon"] > 0


def test_erased_details_are_said_to_be(world: tuple[OneNode, Researcher, Researcher]) -> None:
    one, _, _ = world
    with one.node.store.write("erase") as db:
        db.execute("DELETE FROM blobs WHERE substr(data, 1, 1) = CAST('{' AS BLOB)")
    assert "(erased)" in page(report(one))


def test_a_question_in_words() -> None:
    schema = parse_schema(SCHEMA)
    tree = {
        "dataset": "graduate",
        "filter": {"op": "and", "args": [
            {"op": "in", "column": "sex", "values": ["2"]}, {"op": "range", "column": "salary", "min": 100, "max": 500}]},
        "group": [{"column": "sex"}],
        "components": [
            {"kind": "people", "rho": 1},
            {"kind": "sum", "column": "salary", "clip": [0, 1000], "rho": 1},
            {"kind": "count", "condition": {"op": "range", "column": "salary", "min": 7}, "rho": 1},
        ],
        "bounds": {"max_groups": 1, "max_rows": 1},
        "mode": "per_node",
        "schema": "small/1",
    }  # fmt: skip
    asked = Question.model_validate(tree)
    assert in_words(asked, schema) == (
        "graduates: number of persons, sum of salary, number of records with whether salary at least 7; by sex; "
        "where sex is female and salary from 100 to 500"
    )
    assert "人数" in in_words(asked, schema, "zh")


def test_the_command(world: tuple[OneNode, Researcher, Researcher], tmp_path: Path) -> None:
    one, _, _ = world
    one.node.close()
    node = str(Path(sys.executable).with_name("collegium-node"))
    command = [node, "report", "--month", MONTH, "--home", str(tmp_path), "--html", str(tmp_path / "page.html")]
    assert b"2 releases" in subprocess.run(command, capture_output=True, check=True).stdout
    assert "annual report" in (tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(Invalid, match="no month"):
        report(OneNode(tmp_path, one.ministry, join=False), "2026-13")


def test_a_part_of_a_national_sum_is_a_line_that_says_so(tmp_path: Path) -> None:
    """With its cost and length; one that was charged and never submitted stands with what did not leave."""
    land, asked = country(tmp_path)
    land.submit(asked, land.send(asked))
    other = land.ask()
    late = land.send(other)
    land.engine.on_tally = lambda: 1 / 0  # type: ignore[assignment,return-value]
    land.submit(other, late)
    found = departures(land.one.node, MONTH, language="en", now=int(land.one.now[0]))
    (line,), (unfinished,) = found.lines, found.unanswered
    assert (line.national, line.figures, line.rho, line.again) == (True, 6, RHO, False)
    assert (unfinished.national, unfinished.figures, found.rho) == (True, 0, 2 * RHO)
    for shown in (page(found), text(found)):
        assert "masked part of a national sum" in shown
