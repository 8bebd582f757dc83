"""The eleven questions over real processes and mutual TLS, with the checks of test_eleven.py: one of them always, all in long runs.

What is seen only here: that both privacy units of one request are charged at every university, that a series charges each year
once, and that all figures come from verified answers.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent.parent / "examples" / "questions"))

from eleven import CHECKS, RHO, VALUES, Asked, node_toml, one_year, persons_by_province
from invent import PROVINCES, SIZES, TABLES, YEARS, everything
from launch import Federation, University
from small import RESEARCHER, Said, typed

import collegium
from collegium.client import Federation as Client
from collegium.errors import Exit
from collegium.overlap import overlaps
from collegium.saved import read_saved

QUESTIONS = Path(__file__).parent.parent.parent / "examples" / "questions"
UNITS = ("student", "staff", "learner")
TWO = ("birch", "delta")

pytestmark = pytest.mark.timeout(600)  # starting a federation takes a while on a busy machine


@pytest.fixture(scope="module")
def rows() -> dict[str, pl.DataFrame]:
    return everything()


@pytest.fixture(scope="module")
def two(start: Callable[..., Federation], rows: dict[str, pl.DataFrame]) -> Federation:
    """Two of the invented universities, in two provinces."""
    return start(*(_university(name, rows) for name in TWO), federation="two")


@pytest.fixture(scope="module")
def four(start: Callable[..., Federation], rows: dict[str, pl.DataFrame]) -> Federation:
    """The four invented universities, with budgets that last."""
    return start(*(_university(name, rows) for name in PROVINCES))


@pytest.fixture(scope="module")
def client(four: Federation) -> Iterator[Client]:
    with collegium.connect(four.researcher_home(RESEARCHER)) as connected:
        yield connected


def _university(name: str, rows: dict[str, pl.DataFrame]) -> University:
    def write(home: Path) -> None:
        (home / "data").mkdir()
        for table in TABLES:
            own = rows[table].filter(pl.col("node") == name).drop("node", "province")
            own.write_csv(home / "data" / f"{table}.csv")

    budgets = [f'[budget.{unit}]\nperiod = "year"\nrho = 1000\nlifetime_rho = 1000\n' for unit in UNITS]
    return University(
        name=name,
        facts={"province": PROVINCES[name], "character": "01", "level": "本科"},
        enrolment=SIZES[name] * 4,
        sources=node_toml(rows, Path("data")),
        write=write,
        budget="\n".join(budgets),
        allow=(RESEARCHER,),
    )


def said(federation: Federation, *words: str) -> Said:
    """One of the researcher's commands, done."""
    done = typed("collegium", *words, home=federation.researcher_home(RESEARCHER))
    assert done.code == Exit.OK, done.err
    return done


def spent(federation: Federation, names: Iterable[str]) -> dict[str, int]:
    """By unit, nano-rho over these universities, as their ledgers say."""
    total = dict.fromkeys(UNITS, 0)
    for name in names:
        with closing(sqlite3.connect(f"file:{federation.node_home(name) / 'node.db'}?mode=ro", uri=True)) as db:
            for unit, rho in db.execute("SELECT unit, SUM(rho) FROM charges GROUP BY unit"):
                total[unit] += rho
    return total


def file(name: str) -> str:
    return str(QUESTIONS / f"{name}.toml")


# ---- always


def test_students_per_teacher_is_one_request_that_both_units_pay(two: Federation, rows: dict[str, pl.DataFrame]) -> None:
    tree = json.loads(said(two, "ask", "--file", file("06-students-per-teacher"), "--rho", "2", "--json").out)
    charged = spent(two, TWO)
    assert charged == {"student": 2 * 10**9, "staff": 2 * 10**9, "learner": 0}
    assert {unit: cost["nano_rho"] for unit, cost in tree["cost"].items()} == {"student": 10**9, "staff": 10**9}
    students, teachers = persons_by_province({name: frame.filter(pl.col("node").is_in(TWO)) for name, frame in rows.items()})
    (ratio,) = tree["ratios"]
    assert ratio["label"] == "students / teachers"
    assert [row["province"] for row in ratio["rows"]] == ["11", "53", "all"]
    for row in ratio["rows"]:
        truth = students[row["province"]] / teachers[row["province"]]
        half = (row["students / teachers_high"] - row["students / teachers_low"]) / 2
        assert abs(row["students / teachers"] - truth) <= 4 * half
        assert half < 0.1 * truth
    again = said(two, "result", tree["request"], "--ratio", "students / teachers", "--lang", "zh").out
    assert "students / teachers" in again
    assert "不同的人数在" in again
    assert spent(two, TWO) == charged


def test_a_ratio_that_cannot_be_made_is_refused_before_anybody_pays(two: Federation) -> None:
    before = spent(two, TWO)
    words = ("ask", "--file", file("06-students-per-teacher"), "--rho", "3", "--ratio", "students / professors")
    done = typed("collegium", *words, home=two.researcher_home(RESEARCHER))
    assert done.code == Exit.INVALID
    assert "professors" in done.err
    assert spent(two, TWO) == before


# ---- in long runs


@pytest.mark.long
def test_a_series_charges_each_year_once(four: Federation, rows: dict[str, pl.DataFrame]) -> None:
    """Two years, then three: only the third is paid then."""
    words = ("series", file("10-five-years"), "--ask", "--json", "--over")
    before = spent(four, PROVINCES)["student"]
    said(four, *words, "year=2022:2023")
    two = spent(four, PROVINCES)["student"]
    tree = json.loads(said(four, *words, "year=2022:2024").out)
    three = spent(four, PROVINCES)["student"]
    assert three - two == (two - before) / 2 > 0
    assert [point["asked_now"] for point in tree["points"]] == [False, False, True]
    for point in tree["points"]:
        (row,) = point["tables"][0]["rows"]
        truth = rows["graduate"].filter(pl.col("year") == int(point["value"])).height
        half = (row["graduates_high"] - row["graduates_low"]) / 2
        assert abs(row["graduates"] - truth) <= 4 * half
    text = said(four, "series", file("10-five-years"), "--over", "year=2022:2024", "--lang", "zh").out
    assert read_saved(Path(file("10-five-years"))).title_in("zh") in text
    assert "placed %" in text
    assert spent(four, PROVINCES)["student"] == three


@pytest.mark.long
@pytest.mark.parametrize("name", CHECKS)
def test_the_answer_holds_the_truth(client: Client, rows: dict[str, pl.DataFrame], name: str) -> None:
    saved = read_saved(Path(file(name)))
    settings = saved.settings(VALUES.get(name, {})) | {"epsilon": None, "rho": RHO[name]}
    answer = client.ask(*settings.pop("statements"), **settings)
    figures = answer.verified.figures
    assert all(each.table.fact_groups[0].coverage.answered == len(PROVINCES) for each in figures)
    CHECKS[name](Asked([each.question for each in figures], [each.table for each in figures]), rows)
    json.dumps(answer.to_json(), allow_nan=False)
    assert answer.guarantee in " ".join(str(answer).split())
    answer.verify()


@pytest.mark.long
def test_five_years(client: Client, rows: dict[str, pl.DataFrame]) -> None:
    saved = read_saved(Path(file("10-five-years")))
    for year in YEARS:
        settings = saved.settings({"year": str(year)}) | {"epsilon": None, "rho": RHO["10-five-years"]}
        answer = client.ask(*settings.pop("statements"), **settings)
        (figures,) = answer.verified.figures
        one_year(Asked([figures.question], [figures.table]), rows, year)


@pytest.mark.long
def test_different_learners_lie_within_the_declared_overlap(client: Client, rows: dict[str, pl.DataFrame]) -> None:
    answer = client.ask("SELECT COUNT(DISTINCT pid) AS learners FROM learner WHERE year = 2025", rho="5")
    (found,) = overlaps(answer.table)
    assert found.low <= rows["learner"]["pid"].n_unique() <= found.high
    assert "different persons in all" in " ".join(str(answer).split())
    assert answer.to_json()["overlaps"]
