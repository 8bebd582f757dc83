"""A ministry that cheats in a running federation: what it shows and signs convicts the coordinator, and no university.

Real processes and TLS (`company`); all universities are honest. Counts as failure: a verdict other than the expected ones, an
honest university named, a false figure that the researcher's own command takes.
"""

from __future__ import annotations

import json
from pathlib import Path

import historians
import pytest
from company import BOB, Base
from dishonest_node import move_clock

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # starting a federation takes a while on a busy machine

LIAR = "coordinator"


@pytest.mark.parametrize(("lie", "rule"), [("inflate", "sum"), ("leave_out", "accounts")])
def test_a7_a_figure_that_is_not_the_sum_is_refused_and_proven(base: Base, tmp_path: Path, lie: str, rule: str) -> None:
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate(lie)
        scene.serve("north", "south")
        assert scene.ask(3500, "north", "south").code == 2  # the researcher's command does not show it
        scene.audited().convicts(LIAR, ("A7", rule))


def test_a4_a_release_given_for_another_request(base: Base, tmp_path: Path) -> None:
    """North is not there; alice's figure of north is taken for bob."""
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate("replay")
        scene.serve("south")
        assert scene.ask(3000, "north", "south", researcher=BOB).code == 2
        scene.audited().convicts(LIAR, ("A4", "replayed"))


def test_a3_two_universities_are_shown_two_trees(base: Base, tmp_path: Path) -> None:
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate("two_trees")
        scene.serve("north", "south")
        assert scene.answered(3500, "north", "south") == 2  # each sees a good proof
        scene.audited().convicts(LIAR, ("A1", "contradiction"), ("A3", "two-heads"))


def test_a3_with_witnesses_no_second_tree_is_believed(base: Base, tmp_path: Path) -> None:
    """The second tree has no quorum: the university takes no request on it, and there is nothing to convict of."""
    with base.scene(tmp_path / "scene", witnessed=True) as scene:
        scene.coordinate("two_trees")
        scene.serve("north", "south", "east", "west")
        assert scene.answered(3500, "north", "south", more=["--deadline", "8"]) == 1
        scene.audited().names_nobody(0)


def test_a2_a_request_that_the_ministry_forgets(base: Base, tmp_path: Path) -> None:
    """It gave south a receipt for the request, takes it and all that came of it out of its log, and goes on."""
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate()
        scene.serve("south")
        request = json.loads(scene.ask(3500, "south").out)["request"]
        scene.stop()
        historians.forget_request(scene.home, request)
        scene.coordinate("never_stop")
        scene.serve("south")
        assert scene.answered(3600, "south") == 1
        scene.audited().convicts(LIAR, ("A1", "contradiction"), ("A2", "dropped"))


def test_a5_a_university_that_was_revoked_goes_on_answering(base: Base, tmp_path: Path) -> None:
    """North is asked while it is away, and is revoked; ten minutes after the ministry has logged that, it takes north's answer."""
    with base.scene(tmp_path / "scene") as scene:
        move_clock(scene.home, 0)
        scene.coordinate("clock revoked_is_welcome")
        scene.serve("south")
        assert scene.ask(3500, "north", more=["--no-wait"]).code == 0
        scene.revoke("north")
        assert scene.answered(3600, "south") == 1
        move_clock(scene.home, 600)
        scene.start("north", "collegium-node", "serve", "--home", scene.node_home("north"))
        scene.until(lambda: scene.lines("north", '"answered"') == 1)
        assert scene.answered(3700, "south") == 1
        scene.audited().convicts(LIAR, ("A5", "ended"))


def test_a9_a_ministry_whose_clock_runs_ahead(base: Base, tmp_path: Path) -> None:
    """Its witnesses had cosigned its log an hour before what it says was the time."""
    with base.scene(tmp_path / "scene", witnessed=True) as scene:
        move_clock(scene.home, 0)
        scene.coordinate("clock")
        scene.serve("north", "south", "east", "west")
        assert scene.answered(3500, "north") == 1
        move_clock(scene.home, 3600)
        assert scene.answered(3600, "north", "south") == 2
        move_clock(scene.home, 0)
        assert scene.answered(3700, "north", "south") == 2
        scene.audited().convicts(LIAR, ("A9", "above"))


def test_a11_a_question_in_a_researchers_name(base: Base, tmp_path: Path) -> None:
    """No university charges it; what the ministry has logged convicts it."""
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate("forge")
        scene.serve("north", "south")
        assert scene.ask(3500, "north", "south").code != 0
        assert [json.loads(scene.operate("budget", "--json", node=name).out)[0]["spent"] for name in ("north", "south")] == [
            3 * 10**9
        ] * 2
        scene.audited().convicts(LIAR, ("A11", "unsigned"))


def test_a15_what_a_university_signed_for_its_own_log_is_put_into_another(base: Base, tmp_path: Path) -> None:
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate("policies_as_answers")
        scene.serve("north", "south")
        assert scene.answered(3500, "north", "south") == 2
        scene.audited().convicts(LIAR, ("A15", "place"))
