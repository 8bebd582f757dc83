"""Universities that cheat in a running federation: each is convicted by what it has signed, and nobody else is named.

Real processes and TLS (`company`); the coordinator and `south` are honest throughout, `west` is not. Counts as failure: a verdict
other than the expected ones, a second party named, evidence that does not verify by itself. Does not count: what the honest
coordinator has refused already, which is then missing from the figure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import historians
import pytest
from company import BOB, Base, Scene
from dishonest_node import move_clock

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # starting a federation takes a while on a busy machine

LIAR, HONEST = "west", "south"
DAY = 86_400


def taken(scene: Scene) -> None:
    """The coordinator cannot see it: the answer is in the figure."""
    assert scene.answered(3500, HONEST, LIAR) == 2


def refused(scene: Scene) -> None:
    """The coordinator sees it at once: the figure is made without."""
    assert scene.answered(3500, HONEST, LIAR) == 1


def twice_the_budget(scene: Scene) -> None:
    assert scene.answered(3500, HONEST, LIAR, rho="90") == 2
    assert scene.answered(3600, LIAR, rho="90") == 1


def asked_before(scene: Scene) -> None:
    """Alice had the figure; bob asks for it."""
    assert scene.answered(3000, HONEST, LIAR, researcher=BOB) == 2


TABLE: list[tuple[str, Callable[[Scene], None], tuple[tuple[str, str], ...]]] = [
    ("pay_twice", asked_before, (("A4", "paid-twice"),)),
    ("release_twice", taken, (("A4", "released-twice"),)),
    ("overdraw", twice_the_budget, (("A6", "overdrawn"),)),
    ("undercharge", refused, (("A6", "charge"),)),
    ("thin_noise", refused, (("A6", "scale"),)),
    ("unlogged", taken, (("A2", "dropped"), ("A3", "contradiction"), ("A8", "not-logged"))),
    ("no_request", taken, (("A4", "unpaid"), ("A11", "no-request"))),
    ("another_question", refused, (("A4", "unpaid"), ("A12", "digest"))),
    ("log_key", refused, (("A4", "unpaid"), ("A15", "unsigned"))),
]


@pytest.mark.parametrize(("lie", "play", "proven"), TABLE, ids=[lie for lie, _, _ in TABLE])
def test_a_university_that_lies_is_convicted(
    base: Base, tmp_path: Path, lie: str, play: Callable[[Scene], None], proven: tuple[tuple[str, str], ...]
) -> None:
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate()
        scene.serve(HONEST)
        scene.serve(LIAR, lie=lie)
        play(scene)
        scene.audited().convicts(LIAR, *proven)


def test_a1_a_university_that_rewrites_its_past(base: Base, tmp_path: Path) -> None:
    """Its newest release becomes another one, properly signed, and it goes on from there."""
    with base.scene(tmp_path / "scene") as scene:
        historians.another_figure(scene.node_home(LIAR))
        scene.coordinate()
        scene.serve(LIAR, lie="never_stop")
        scene.ask(3500, LIAR)
        scene.audited().convicts(LIAR, ("A1", "contradiction"), ("A2", "dropped"), ("A8", "not-logged"))


def test_a5_a_university_that_pretends_not_to_know_of_a_revocation(base: Base, tmp_path: Path) -> None:
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate()
        scene.revoke(BOB)
        scene.serve(LIAR)
        assert scene.answered(3500, LIAR) == 1
        scene.stop(LIAR)
        scene.serve(LIAR, lie="old_registry")
        assert scene.answered(3600, LIAR) == 1
        scene.audited().convicts(LIAR, ("A5", "falls"))


def test_a5_a_university_that_goes_on_answering_a_revoked_researcher(base: Base, tmp_path: Path) -> None:
    """Bob hands in while the university is away, and is revoked; the university learns of it, and answers ten minutes later."""
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate(lie="asks_for_the_revoked")
        assert scene.ask(3500, LIAR, researcher=BOB, more=["--no-wait"]).code == 0
        scene.revoke(BOB)
        scene.serve(LIAR)
        assert scene.answered(3600, LIAR) == 1
        scene.stop(LIAR)
        assert scene.lines(LIAR, '"answered"') == 1  # honest so far
        move_clock(scene.node_home(LIAR), 600)
        scene.serve(LIAR, lie="revoked_is_welcome")
        scene.until(lambda: scene.lines(LIAR, '"answered"') == 2)
        scene.audited().convicts(LIAR, ("A5", "ended"))


@pytest.mark.parametrize(
    ("seconds", "proven"), [(-40 * DAY, (("A9", "below"), ("A9", "period"))), (3600, (("A9", "above"),))], ids=["back", "forward"]
)
def test_a9_a_university_whose_clock_runs_as_it_likes(
    base: Base, tmp_path: Path, seconds: int, proven: tuple[tuple[str, str], ...]
) -> None:
    """Its witnesses have cosigned, and it has embedded, what contradicts the times that it states."""
    with base.scene(tmp_path / "scene", witnessed=True) as scene:
        move_clock(scene.node_home(LIAR), 0)
        scene.coordinate()
        scene.serve("north", "south", "east")
        scene.serve(LIAR, lie="clock")
        assert scene.answered(3500, LIAR) == 1
        move_clock(scene.node_home(LIAR), seconds)
        assert scene.answered(3600, LIAR) == 1
        move_clock(scene.node_home(LIAR), 0)
        assert scene.answered(3700, LIAR) == 1
        scene.audited().convicts(LIAR, *proven)


def test_a10_a_university_that_shows_an_old_copy_is_found_out_and_not_convicted(base: Base, tmp_path: Path) -> None:
    """An old copy contradicts nothing that it has signed, and anybody may have kept it: evidence is missing, of that log."""
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate()
        scene.serve(LIAR)
        scene.export(LIAR)
        assert scene.answered(3500, LIAR) == 1
        found = scene.audit(scene.export("coordinator", "north", "south", "east"))
        found.names_nobody(2, ("A10", "stale", LIAR), ("A8", "short", LIAR))
        assert found.line("A10") == "WARN"


def test_a13_a_university_that_charges_and_does_not_answer_is_a_rate(base: Base, tmp_path: Path) -> None:
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate()
        scene.serve(HONEST)
        scene.serve(LIAR, lie="abort")
        refused(scene)
        scene.audited().names_nobody(0, ("A13", "rate", LIAR))


def test_a14_a_university_that_goes_on_from_a_backup(base: Base, tmp_path: Path) -> None:
    with base.scene(tmp_path / "scene") as scene:
        assert scene.operate("backup", scene.root / "backup.db", node=LIAR).code == 0
        scene.coordinate()
        scene.serve(LIAR)
        for salary in (3500, 3600, 3700):
            assert scene.answered(salary, LIAR) == 1
        scene.stop(LIAR)
        historians.set_back(scene.node_home(LIAR), scene.root / "backup.db")
        scene.serve(LIAR, lie="never_stop")
        scene.ask(3800, LIAR)
        proven = ("A2", "dropped"), ("A3", "contradiction"), ("A8", "not-logged"), ("A14", "set-back")
        scene.audited().convicts(LIAR, *proven)
