"""The auditor against what real processes export: a clean federation with witnesses, asked, killed, withdrawn and audited.

Failure: a FAIL or a missing piece of evidence where nobody cheated.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # small.py, shared by the tests of this folder

from launch import Federation, free_port
from small import RESEARCHER, ask, campus, people
from withwitnesses import audited, exported, open_witnessed

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # what is quick of it: tests/attacks/test_live_together.py

NAMES = ("north", "south", "east", "west")
COUNT = "SELECT field, COUNT(*) AS n FROM graduate WHERE salary >= {} GROUP BY field"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    port = free_port()
    universities = [campus(name, people(60, first=100 * n), listens=port if name == "west" else 0) for n, name in enumerate(NAMES)]
    made = open_witnessed(tmp_path_factory.mktemp("audited"), *universities, ports={"west": port})
    yield made
    made.stop()


def test_what_honest_parties_export_is_clean(federation: Federation, tmp_path: Path) -> None:
    for salary in (3000, 3100, 3200):
        ask(federation, COUNT.format(salary), "--rho", "1")
    ask(federation, COUNT.format(3000), "--rho", "1")  # again: reused
    federation.kill("north")
    ask(federation, COUNT.format(3300), "--rho", "1")  # without north
    federation.start_node("north")
    federation.wait_connected(RESEARCHER, len(NAMES))
    ask(federation, COUNT.format(3400), "--rho", "1")
    tree = audited(federation, exported(federation, tmp_path / "logs", NAMES), "--evidence", tmp_path / "evidence")
    assert tree["exit"] == 0, json.dumps(tree["findings"], indent=1)
    assert {each["log"] for each in tree["logs"]} == {"registry", "coordinator", *NAMES}
