"""A ministry that cheats in a national sum of a running federation: what nodes and trustees refuse, and what its own log proves.

Real processes and TLS (`company`); universities and trustees are honest. Counts as failure: a figure of a plan, a list or a total
that is not the right one; a second sum of masks; a charge for a plan that a university has refused; a verdict other than the
expected ones, or an honest party named.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from company import NODES, TRUSTEES, Base, Scene
from dishonest_sums import PAUSE
from nationally import charges

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

LIAR = "coordinator"
PEOPLE = 60  # at each university; all of them earn more than what is asked here


def summed(scene: Scene, salary: int, *more: str) -> tuple[float | None, int]:
    """The national figure of a question, if there is one, and the universities in it."""
    said = scene.ask(salary, more=["--national", *more])
    assert said.code in (0, 4), said  # 4: there is no figure, and it says so
    (table,) = json.loads(said.out)["tables"] or [{"coverage": {"answered": 0}}]
    answered = int(table["coverage"]["answered"])
    return (table["rows"][-1]["n"] if answered else None), answered


def fresh_charges(scene: Scene) -> list[int]:
    """Of each university: charges for national sums."""
    return [len({key for key, _ in charges(scene, name)}) for name in NODES]


def unmasks(scene: Scene, trustee: str) -> int:
    """Sums of masks that a trustee has signed."""
    with closing(sqlite3.connect(f"file:{scene.trustee_home(trustee) / 'trustee.db'}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT COUNT(*) FROM entries WHERE kind = 'national-unmask'").fetchone()[0])


def opened(scene: Scene, lie: str = "") -> None:
    scene.coordinate(lie)
    scene.serve(*NODES)
    scene.entrust(*TRUSTEES)


def test_without_a_lie_there_is_a_figure_and_nobody_is_named(sums: Base, tmp_path: Path) -> None:
    """Else all of these would hold in a federation where nothing works."""
    with sums.scene(tmp_path / "scene") as scene:
        opened(scene)
        figure, answered = summed(scene, 100)
        assert answered == len(NODES)
        assert figure is not None
        assert abs(figure - PEOPLE * len(NODES)) <= 10
        scene.audited().names_nobody(0)


def test_a_plan_with_weaker_noise_is_refused_by_every_university_and_costs_nothing(sums: Base, tmp_path: Path) -> None:
    with sums.scene(tmp_path / "scene") as scene:
        before = fresh_charges(scene)
        opened(scene, "weaker_noise")
        assert summed(scene, 101) == (None, 0)
        assert fresh_charges(scene) == before
        assert [unmasks(scene, name) for name in TRUSTEES] == [0, 0, 0]
        scene.audited().convicts(LIAR, ("A6", "plan"))


def test_a_list_of_one_university_is_not_unmasked(sums: Base, tmp_path: Path) -> None:
    with sums.scene(tmp_path / "scene") as scene:
        opened(scene, "tiny_list")
        assert summed(scene, 102, "--deadline", "15") == (None, 0)
        assert [unmasks(scene, name) for name in TRUSTEES] == [0, 0, 0]
        scene.audited().convicts(LIAR, ("A7", "list"))


def test_a_university_that_is_left_out_has_the_receipt_that_convicts(sums: Base, tmp_path: Path) -> None:
    """Trustees cannot know of it: the list is large enough. The university can, and so can the auditor."""
    with sums.scene(tmp_path / "scene") as scene:
        opened(scene, "left_out")
        assert summed(scene, 103)[1] == len(NODES) - 1
        scene.audited().convicts(LIAR, ("A7", "left-out-share"))


def test_a_list_that_is_not_the_logged_one_is_not_unmasked(sums: Base, tmp_path: Path) -> None:
    """Nothing false is signed or logged, so nobody is convicted; nothing comes of it either."""
    with sums.scene(tmp_path / "scene") as scene:
        opened(scene, "other_list")
        assert summed(scene, 104, "--deadline", "15") == (None, 0)
        assert [unmasks(scene, name) for name in TRUSTEES] == [0, 0, 0]
        scene.audited().names_nobody(0)


def test_a_second_list_for_a_plan_is_never_unmasked(sums: Base, tmp_path: Path) -> None:
    """Two totals that differ by one university would show its share; that is what masks are for."""
    with sums.scene(tmp_path / "scene") as scene:
        opened(scene)
        assert summed(scene, 105)[1] == len(NODES)
        scene.stop("coordinator")
        scene.coordinate("second_list")
        scene.serve_again()
        request = scene.newest_request()
        said = scene.type("collegium", "result", request, "--wait", "10", "--json", "--home", scene.researcher_home("alice"))
        assert said.code != 0 or json.loads(said.out)["tables"][0]["coverage"]["answered"] in (0, len(NODES))
        assert [unmasks(scene, name) for name in TRUSTEES] == [1, 1, 1]
        scene.audited().convicts(LIAR, ("A4", "two-national-close"), ("A7", "left-out-share"), ("A7", "participants"))


def test_a_total_that_nobody_has_checked_is_no_figure(sums: Base, tmp_path: Path) -> None:
    with sums.scene(tmp_path / "scene") as scene:
        opened(scene, "false_total")
        said = scene.ask(106, more=["--national"])
        assert said.code == 2  # the researcher's command does not show it
        scene.audited().convicts(LIAR, ("A7", "check-total"), ("A7", "result"))


def test_a_trustee_from_an_old_copy_gives_no_second_sum(sums: Base, tmp_path: Path) -> None:
    """All three are put back to where their seeds were still there, and the ministry closes the round a second time.

    Their own logs, which others have copied and cosigned, show that each has signed more than it knows.
    """
    with sums.scene(tmp_path / "scene", witnessed=True) as scene:
        opened(scene, "slow_to_unmask")
        asked = scene.ask(107, more=["--national", "--no-wait"])
        assert asked.code == 0, asked
        scene.until(lambda: _entries(scene, "national-close") == 1)
        for name in TRUSTEES:
            _copy(scene.trustee_home(name), tmp_path / name)
        scene.until(lambda: _entries(scene, "national-result") == 1, PAUSE + 60)
        assert [unmasks(scene, name) for name in TRUSTEES] == [1, 1, 1]
        time.sleep(3)  # witnesses and the coordinator's copies follow
        scene.stop("coordinator", *TRUSTEES)
        for name in TRUSTEES:
            shutil.rmtree(scene.trustee_home(name))
            shutil.copytree(tmp_path / name, scene.trustee_home(name))
        scene.coordinate("second_list")
        for name in TRUSTEES:
            scene.start(name, "collegium-trustee", "serve", "--home", scene.trustee_home(name))
        scene.serve_again()
        time.sleep(10)
        assert [unmasks(scene, name) for name in TRUSTEES] == [0, 0, 0]
        assert _entries(scene, "national-close") == 2  # it has tried


def _copy(home: Path, to: Path) -> None:
    """As a snapshot of the disk would be: the database by itself, the rest as files."""
    shutil.copytree(home, to, ignore=shutil.ignore_patterns("trustee.db*"))
    with closing(sqlite3.connect(home / "trustee.db")) as source, closing(sqlite3.connect(to / "trustee.db")) as target:
        source.backup(target)


def _entries(scene: Scene, kind: str) -> int:
    with closing(sqlite3.connect(f"file:{scene.home / 'coordinator.db'}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT COUNT(*) FROM entries WHERE kind = ?", (kind,)).fetchone()[0])
