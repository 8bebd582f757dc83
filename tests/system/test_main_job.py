"""One question, many universities, one signed national figure: through the commands, with real processes and mutual TLS."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import collegium
from collegium.errors import Exit, Invalid, NotVerified, Refused

if TYPE_CHECKING:
    from launch import Federation

RESEARCHER = "li-wei"
BY_PROVINCE = "SELECT province, COUNT(*) AS graduates FROM graduate WHERE year = 2025 GROUP BY province"
TRUTH = {"11": 520, "31": 360, "53": 45}  # graduates of 2025 in the synthetic data at a tenth of its size


def answer(federation: Federation, sql: str, *options: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(federation.ask(RESEARCHER, sql, "--json", "--deadline", "30", *options))
    return tree


def test_a_count_by_province_holds_the_truth_and_adds_up(federation: Federation) -> None:
    tree = answer(federation, BY_PROVINCE, "--rho", "2")
    rows = {row["province"]: row for row in tree["tables"][0]["rows"]}
    assert set(rows) == {*TRUTH, "all"}
    for province, truth in TRUTH.items():
        assert abs(rows[province]["graduates"] - truth) <= 6 * 0.5  # rho 2 is a standard deviation of half a person
    assert rows["all"]["graduates"] == sum(rows[province]["graduates"] for province in TRUTH)
    coverage = tree["tables"][0]["coverage"]
    assert (coverage["asked"], coverage["answered"], coverage["enrolment_asked"]) == (3, 3, coverage["enrolment_answered"])
    assert tree["cost"]["student"]["nano_rho"] == 2_000_000_000
    assert "official" in tree["note"]


def test_the_same_question_is_free_and_identical(federation: Federation) -> None:
    sql = "SELECT gender, COUNT(DISTINCT pid) AS persons FROM graduate GROUP BY gender"
    first = answer(federation, sql, "--rho", "0.01")
    again = answer(federation, sql, "--rho", "0.01", "--purpose", "another reason")
    assert not first["free"]
    assert again["free"]
    assert again["request"] != first["request"]
    assert again["tables"][0]["rows"] == first["tables"][0]["rows"]


def test_a_question_for_one_province_asks_only_its_universities(federation: Federation) -> None:
    tree = answer(federation, "SELECT COUNT(*) AS n FROM graduate WHERE province = '53'", "--rho", "1")
    assert tree["tables"][0]["coverage"]["asked"] == 1


def test_means_shares_and_histograms_of_one_request(federation: Federation) -> None:
    statements = (
        "SELECT AVG(salary) AS mean_salary, VARIANCE(salary) AS spread FROM graduate WHERE year = 2025",
        "SELECT study_level, AVG(dest_group <> 'NONE') AS placed FROM graduate GROUP BY study_level",
        "SELECT HISTOGRAM(score, 0, 60, 70, 80, 90, 100) AS score FROM course_reg",
    )
    tree = json.loads(federation.ask(RESEARCHER, *statements, "--json", "--epsilon", "3", "--deadline", "30"))
    mean, placed, score = (table["rows"] for table in tree["tables"])
    assert mean[0]["mean_salary_low"] <= mean[0]["mean_salary"] <= mean[0]["mean_salary_high"]
    assert 3000 < mean[0]["mean_salary"] < 12_000
    assert {row["study_level"] for row in placed} >= {"1", "2", "3", "4", "unknown"}
    for row in placed:
        assert row["placed"] is None or 0 <= row["placed_low"] <= row["placed"] <= row["placed_high"] <= 1
    assert len([name for name in score[0] if name.startswith("score [") and name.endswith("_low")]) == 5
    # epsilon 3 buys at least what three separate, equal parts of its rho cost: never more than asked
    assert tree["cost"]["student"]["epsilon"] <= 3


def test_csv_has_a_byte_order_mark_and_no_interval_without_its_value(federation: Federation) -> None:
    text = federation.ask(RESEARCHER, BY_PROVINCE, "--rho", "2", "--csv")
    assert text.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text.lstrip("\ufeff"))))
    assert {row["province"] for row in rows} == {*TRUTH, "all"}


def test_from_python(federation: Federation) -> None:
    with collegium.connect(federation.researcher_home(RESEARCHER), language="zh") as connection:
        found = connection.ask(BY_PROVINCE, rho=2)
        assert found.free  # asked above with the same cost
        assert found.verify().signatures == found.verified.signatures >= 8
        frame = found.to_polars()
        assert frame.height == 4
        assert list(found.to_pandas()["province"]) == [*TRUTH, "all"]
        assert "学生" in found.guarantee
        assert "全国" in str(found)
        tampered = found.bundle
        for sha in list(tampered.blobs):
            if len(tampered.blobs[sha]) == 8:
                tampered.blobs[sha] = (10**6).to_bytes(8, "little")
        with pytest.raises(NotVerified):
            found.verify()


def test_refusals_name_the_place_and_the_way_out(federation: Federation) -> None:
    def ask(*arguments: str) -> tuple[int, str]:
        from subprocess import run

        from launch import BIN, environment

        done = run(
            [str(BIN / "collegium"), "ask", *arguments, "--home", str(federation.researcher_home(RESEARCHER))],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    code, text = ask("SELECT pid FROM graduate", "--epsilon", "1")
    assert code == Exit.INVALID
    assert "pid" in text
    code, text = ask("SELECT COUNT(*) FROM graduat", "--epsilon", "1")
    assert code == Exit.INVALID
    assert "graduate" in text
    code, text = ask("SELECT COUNT(*) FROM graduate")
    assert code == Exit.INVALID
    assert "--epsilon" in text
    code, text = ask("SELECT COUNT(*) FROM graduate", "--epsilon", "1", "--node", "nowhere")
    assert code == Exit.INVALID
    assert "nowhere" in text
    code, text = ask("SELECT COUNT(*) AS all_rows FROM graduate", "--rho", "900")
    assert code == Exit.NOT_RELEASED  # every university refuses what no budget covers


def test_an_unknown_researcher_and_a_used_token_get_nowhere(federation: Federation, tmp_path: Path) -> None:
    from launch import Trouble

    token = federation.invite_researcher("zhang-min")
    federation.run("collegium", "join", token, "--home", tmp_path / "first")
    with pytest.raises(Trouble, match="exit 3"):
        federation.run("collegium", "join", token, "--home", tmp_path / "second")
    with pytest.raises(Trouble, match="exit 2"):
        federation.run("collegium", "join", token[:-20], "--home", tmp_path / "third")
    # registered, and still nobody answers: no data steward has allowed it
    with collegium.connect(tmp_path / "first") as connection:
        found = connection.ask("SELECT COUNT(*) AS n FROM graduate WHERE year = 2024", rho=0.01)
        assert found.coverage.answered == 0
        assert found.rows()[0]["n"] is None
        assert set(found.missing) == {"jade-lake", "plum-garden", "spring-city"}
        assert "policy" in found.missing["jade-lake"]
    federation.run("collegium-coordinator", "revoke", "zhang-min", "--home", federation.home)
    with pytest.raises((Refused, Invalid)), collegium.connect(tmp_path / "first") as connection:
        connection.ask("SELECT COUNT(*) AS n FROM graduate", rho=0.01)


def test_a_killed_node_is_missing_and_joins_late_without_a_second_charge(federation: Federation) -> None:
    federation.kill("spring-city")
    sql = "SELECT province, COUNT(*) AS n FROM graduate WHERE ontime GROUP BY province"
    tree = answer(federation, sql, "--rho", "1", "--deadline", "8")
    rows = {row["province"]: row for row in tree["tables"][0]["rows"]}
    assert rows["53"]["n"] is None
    assert rows["53"]["n_low"] is None
    assert tree["tables"][0]["coverage"]["answered"] == 2
    assert "not connected" in tree["missing"]["spring-city"]
    before = json.loads(federation.run("collegium-node", "budget", "--json", "--home", federation.node_home("spring-city")))
    federation.start_node("spring-city")
    federation.wait_connected(RESEARCHER, 3)
    late = json.loads(
        federation.run(
            "collegium", "result", tree["request"][:12], "--json", "--wait", "30", "--home", federation.researcher_home(RESEARCHER)
        )
    )
    joined = {row["province"]: row for row in late["tables"][0]["rows"]}
    assert late["tables"][0]["coverage"]["answered"] == 3
    assert joined["11"] == rows["11"]  # the others' releases are the same
    assert not math.isnan(joined["53"]["n"])
    after = json.loads(federation.run("collegium-node", "budget", "--json", "--home", federation.node_home("spring-city")))
    assert before != after
    again = json.loads(
        federation.run("collegium", "result", tree["request"], "--json", "--home", federation.researcher_home(RESEARCHER))
    )
    assert again["tables"][0]["rows"] == late["tables"][0]["rows"]
    assert after == json.loads(federation.run("collegium-node", "budget", "--json", "--home", federation.node_home("spring-city")))


def test_the_coordinator_may_be_killed_and_nothing_is_lost(federation: Federation) -> None:
    from launch import wait_for_port

    tree = answer(federation, BY_PROVINCE, "--rho", "2")
    federation.kill("coordinator")
    federation.serve()
    wait_for_port(federation.port)
    federation.wait_connected(RESEARCHER, 3)
    again = json.loads(
        federation.run("collegium", "result", tree["request"], "--json", "--home", federation.researcher_home(RESEARCHER))
    )
    assert again["tables"][0]["rows"] == tree["tables"][0]["rows"]
    verified = json.loads(
        federation.run("collegium", "verify", "--all", "--json", "--home", federation.researcher_home(RESEARCHER))
    )
    assert len(verified) >= 5
    assert all(each["verified"] for each in verified)
