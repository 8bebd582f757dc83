"""The auditor against what real processes export: a clean federation with witnesses, asked, killed, withdrawn and audited.

Failure: a FAIL or a missing piece of evidence where nobody cheated.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # small.py, shared by the tests of this folder

from launch import Federation, free_port
from small import RESEARCHER, ask, campus, open_small, people, typed

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # what is quick of it: tests/attacks/test_live_together.py

NAMES = ("north", "south", "east", "west")
COUNT = "SELECT field, COUNT(*) AS n FROM graduate WHERE salary >= {} GROUP BY field"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    port = free_port()
    universities = [campus(name, people(60, first=100 * n), listens=port if name == "west" else 0) for n, name in enumerate(NAMES)]
    made = open_small(tmp_path_factory.mktemp("audited"), *universities, ports={"west": port})
    try:
        made.run("collegium-coordinator", "witness", "assign", "--each", "3", "--home", made.home)
        for name in NAMES:
            until(lambda name=name: confirmed(made, name))
        yield made
    finally:
        made.stop()


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def confirmed(federation: Federation, node: str) -> bool:
    tree: dict[str, Any] = json.loads(typed("collegium-node", "log", "status", "--json", home=federation.node_home(node)).out)
    return bool(tree["needed"] == 2 and tree["backlog"] == 0)


def exported(federation: Federation, folder: Path) -> Path:
    for name in NAMES:
        until(lambda name=name: confirmed(federation, name))
        said = typed("collegium-node", "log", "export", folder, home=federation.node_home(name))
        assert said.code == 0, said.err
    said = typed("collegium-coordinator", "log", "export", folder, home=federation.home)
    assert said.code == 0, said.err
    return folder


def audited(federation: Federation, folder: Path, *more: str | Path) -> dict[str, Any]:
    trust = folder.parent / "trust.txt"
    said = typed("collegium", "trust", "--out", trust, home=federation.researcher_home(RESEARCHER))
    assert said.code == 0, said.err
    said = typed("collegium", "audit", folder, "--policy", trust, "--json", "--evidence", folder.parent / "evidence", *more)
    tree: dict[str, Any] = json.loads(said.out)
    assert tree["exit"] == said.code
    return tree


def test_what_honest_parties_export_is_clean(federation: Federation, tmp_path: Path) -> None:
    for salary in (3000, 3100, 3200):
        ask(federation, COUNT.format(salary), "--rho", "1")
    ask(federation, COUNT.format(3000), "--rho", "1")  # again: reused
    federation.kill("north")
    ask(federation, COUNT.format(3300), "--rho", "1")  # without north
    federation.start_node("north")
    federation.wait_connected(RESEARCHER, len(NAMES))
    ask(federation, COUNT.format(3400), "--rho", "1")
    tree = audited(federation, exported(federation, tmp_path / "logs"))
    assert tree["exit"] == 0, json.dumps(tree["findings"], indent=1)
    assert {each["log"] for each in tree["logs"]} == {"registry", "coordinator", *NAMES}
