"""Universities that witness each other's logs: real processes, real tunnels, the coordinator in between.

Failure: a figure left that the witnesses had not seen; a node signed on from an old copy of its database; a node that was killed
lost what it had said, or could not go on.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # small.py, shared by the tests of this folder

from launch import BIN, Federation, environment, free_port
from small import RESEARCHER, ask, campus, charged, people, typed
from withwitnesses import log_lines, log_status, open_witnessed, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # what is quick of it: tests/attacks/test_live_together.py

NAMES = ("north", "south", "east", "west")
VICTIM = "north"
COUNT = "SELECT COUNT(*) AS n FROM graduate WHERE salary >= {}"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Four universities, one of them listening; every log has three witnesses, two of which must cosign."""
    port = free_port()
    universities = [campus(name, people(60, first=100 * n), listens=port if name == "west" else 0) for n, name in enumerate(NAMES)]
    made = open_witnessed(tmp_path_factory.mktemp("witnessed"), *universities, ports={"west": port})
    yield made
    made.stop()


def n(tree: dict[str, Any]) -> tuple[int, int]:
    """The national count, and how many universities are in it."""
    table = tree["tables"][0]
    return table["rows"][-1]["n"], table["coverage"]["answered"]


def test_questions_are_answered_and_every_log_is_confirmed(federation: Federation) -> None:
    figure, nodes = n(ask(federation, COUNT.format(3000), "--rho", "5"))
    assert nodes == len(NAMES)
    assert abs(figure - 240) < 20
    for name in NAMES:
        until(lambda name=name: log_status(federation, name)["backlog"] == 0)
        assert '"confirmed"' in log_lines(federation, name)
    metrics = (federation.node_home(VICTIM) / "metrics.prom").read_text()
    assert "collegium_node_log_quorum_needed 2.0\n" in metrics


def test_a_steward_may_sign_while_the_serving_process_is_confirmed_and_not_without_it(federation: Federation) -> None:
    home = federation.node_home("south")
    assert typed("collegium-node", "budget", "--set", "student", "--rho", "2000", "--lifetime-rho", "99999", home=home).code == 0
    federation.kill("south")
    said = typed("collegium-node", "budget", "--set", "student", "--rho", "2001", "--lifetime-rho", "99999", home=home)
    assert (said.code, "collegium-node serve" in said.err) == (1, True)
    federation.start_node("south")
    federation.wait_connected(RESEARCHER, len(NAMES))


def test_kill_9_at_random_moments_loses_nothing(federation: Federation) -> None:
    chance = random.Random(1)
    for round_ in range(4):
        request = ask_in_background(federation, 3100 + round_)
        time.sleep(chance.random() * 0.6)
        federation.kill(VICTIM)
        federation.start_node(VICTIM)
        federation.wait_connected(RESEARCHER, len(NAMES))
        until(lambda request=request: request.poll() is not None)
        until(lambda round_=round_: n(ask(federation, COUNT.format(3100 + round_), "--rho", "0.5"))[1] == len(NAMES))
    until(lambda: log_status(federation, VICTIM)["backlog"] == 0)
    assert typed("collegium-node", "doctor", home=federation.node_home(VICTIM)).code in (0, 1)
    spent = charged(federation, VICTIM)
    for round_ in range(4):
        ask(federation, COUNT.format(3100 + round_), "--rho", "0.5")
    assert charged(federation, VICTIM) == spent  # every question is charged once


def ask_in_background(federation: Federation, salary: int) -> Any:
    command = [
        str(BIN / "collegium"),
        "ask",
        COUNT.format(salary),
        "--rho",
        "0.5",
        "--home",
        str(federation.researcher_home(RESEARCHER)),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())


def test_a14_a_restored_backup_is_stopped_and_recovered_from_an_exported_copy(federation: Federation, tmp_path: Path) -> None:
    home, sql = federation.node_home(VICTIM), COUNT.format(4000)
    typed("collegium-node", "backup", tmp_path / "backup.db", home=home)
    before = n(ask(federation, sql, "--rho", "1"))
    until(lambda: log_status(federation, VICTIM)["backlog"] == 0)
    assert typed("collegium-node", "log", "export", tmp_path / "audit", home=home).code == 0
    (home / "published").unlink()  # so that it is the witnesses who find it out
    spent = charged(federation, VICTIM)
    federation.kill(VICTIM)
    for file in home.glob("node.db*"):
        file.unlink()
    shutil.copy(tmp_path / "backup.db", home / "node.db")
    assert charged(federation, VICTIM) < spent
    federation.start_node(VICTIM)
    until(lambda: '"restored"' in log_lines(federation, VICTIM))
    federation.wait_connected(RESEARCHER, len(NAMES))
    other = n(ask(federation, COUNT.format(4500), "--rho", "1"))
    assert other[1] == len(NAMES) - 1  # the others answer; this one says why not
    assert typed("collegium-node", "policy", home=home).code == 1 or charged(federation, VICTIM) < spent
    said = typed("collegium-node", "recover", tmp_path / "audit", home=home)
    assert "served already" in said.err
    federation.kill(VICTIM)
    assert typed("collegium-node", "recover", tmp_path / "audit", home=home).code == 0
    assert charged(federation, VICTIM) == spent
    federation.start_node(VICTIM)
    federation.wait_connected(RESEARCHER, len(NAMES))
    until(lambda: log_status(federation, VICTIM)["backlog"] == 0 and not log_status(federation, VICTIM)["restored"])
    assert n(ask(federation, sql, "--rho", "1")) == before  # the very release of before
    assert charged(federation, VICTIM) - spent in (0, 10**9)  # nothing twice; it may have caught up with the question it had missed
    assert n(ask(federation, COUNT.format(4600), "--rho", "1"))[1] == len(NAMES)
