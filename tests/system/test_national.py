"""National sums by real parties: eight universities, three trustees, the coordinator and a researcher, over real TLS.

Failure: a figure that is not the sum; a university's own figure anywhere; a charge that differs from what was said; a repeated
question that is charged again; an audit that finds fault, or cannot add up again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # small.py and others, shared by the tests of this folder

from launch import Federation
from nationally import NODES, PEOPLE, ask_national, charges, exported_all, kinds, open_national, results
from small import RESEARCHER, ask, typed
from withwitnesses import audited

COUNT = "SELECT COUNT(*) AS n FROM graduate WHERE salary >= {}"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    made = open_national(tmp_path_factory.mktemp("national"))
    yield made
    made.stop()


def test_one_figure_at_about_one_mechanisms_error(federation: Federation) -> None:
    before = {name: charges(federation, name) for name in NODES}
    tree = ask_national(federation, COUNT.format(3000), "--rho", "0.5")
    table = tree["tables"][0]
    assert table["coverage"]["answered"] == len(NODES)
    assert abs(table["rows"][-1]["n"] - PEOPLE * len(NODES)) <= 12  # σ is about 1.2
    fresh = {name: charges(federation, name)[len(before[name]) :] for name in NODES}
    assert {len(each) for each in fresh.values()} == {1}
    assert len({each[0] for each in fresh.values()}) == 1  # one plan, one price
    assert kinds(federation)["national-submit"] == len(NODES)
    assert kinds(federation).get("release", 0) == 0


def test_the_same_question_again_gives_the_signed_result_and_costs_nothing(federation: Federation) -> None:
    first = ask_national(federation, COUNT.format(3001), "--rho", "0.5")
    rounds, paid = results(federation), [charges(federation, name) for name in NODES]
    again = ask_national(federation, COUNT.format(3001), "--rho", "0.5")
    assert again["tables"][0]["rows"] == first["tables"][0]["rows"]
    assert (results(federation), [charges(federation, name) for name in NODES]) == (rounds, paid)


def test_both_modes_in_one_federation(federation: Federation) -> None:
    alone = ask(federation, COUNT.format(3002), "--rho", "5")
    assert alone["tables"][0]["coverage"]["answered"] == len(NODES)
    summed = ask_national(federation, COUNT.format(3002), "--rho", "5")
    assert abs(alone["tables"][0]["rows"][-1]["n"] - summed["tables"][0]["rows"][-1]["n"]) < 12


def test_by_province_the_total_is_the_sum_of_the_groups(federation: Federation) -> None:
    said = typed("collegium-coordinator", "partition", "--by", "province", "--at-least", "4", home=federation.home)
    assert said.code == 0, said
    tree = ask_national(
        federation, "SELECT province, COUNT(*) AS n FROM graduate WHERE salary >= 3003 GROUP BY province", "--rho", "5"
    )
    rows = tree["tables"][0]["rows"]
    groups, total = [row["n"] for row in rows[:-1]], rows[-1]["n"]
    assert [row["province"] for row in rows] == ["11", "12+13+14+15+31", "all"]
    assert sum(groups) == pytest.approx(total)
    assert all(abs(figure - 4 * PEOPLE) < 12 for figure in groups)


def test_a_dropout_before_the_close_costs_nothing_and_is_said(federation: Federation) -> None:
    federation.kill("fir")
    try:
        paid = charges(federation, "fir")
        table = ask_national(federation, COUNT.format(3004), "--rho", "0.5")["tables"][0]
        assert table["coverage"]["answered"] == len(NODES) - 1
        assert abs(table["rows"][-1]["n"] - PEOPLE * (len(NODES) - 1)) <= 12
        assert charges(federation, "fir") == paid
    finally:
        federation.start_node("fir")
        federation.wait_connected(RESEARCHER, len(NODES))


def test_plan_shows_both_modes_and_named_universities_are_refused(federation: Federation) -> None:
    home = federation.researcher_home(RESEARCHER)
    said = typed("collegium", "plan", COUNT.format(3005), "--rho", "0.5", home=home)
    assert said.code == 0, said
    assert "national" in said.out
    said = typed("collegium", "ask", COUNT.format(3005), "--rho", "0.5", "--national", "--node", "alder", home=home)
    assert said.code == 2, said


def test_the_audit_adds_up_again(federation: Federation, tmp_path: Path) -> None:
    found = audited(federation, exported_all(federation, tmp_path / "logs"))
    assert found["exit"] == 0, json.dumps(found["findings"], indent=1)
    assert {line["again"] for line in found["national_sums"] if line["state"] == "result"} == {"added"}
