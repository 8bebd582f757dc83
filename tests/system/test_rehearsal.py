"""The rehearsal of a country, as `make rehearsal` plays it, with some hundred universities: real tunnels, all back after a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]


def rehearse(folder: Path, *arguments: str) -> dict[str, Any]:
    """The report of a rehearsal that went to its end without any trouble."""
    said = folder / "said.json"
    command = [sys.executable, "-m", "rehearsal", "--folder", str(folder / "country"), "--json", str(said), *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report: dict[str, Any] = json.loads(said.read_text(encoding="utf-8"))
    assert report["troubles"] == []
    assert not (folder / "country").exists()
    return report


def check_answers(report: dict[str, Any], nodes: int) -> None:
    """Everybody has answered every question, and no figure is further from the truth than noise can explain."""
    assert len(report["asked"]) == 5
    for asked in report["asked"]:
        assert (asked["answered"], asked["asked"]) == (nodes, nodes), asked
        assert asked["figures"] > 0, asked
        assert asked["worst"] < 2.6, asked  # half widths are two standard deviations: five of them among some hundred figures


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_three_hundred_tunnels_and_a_coordinator_that_is_killed(tmp_path: Path) -> None:
    report = rehearse(tmp_path, "--nodes", "300", "--restart")
    check_answers(report, 300)
    assert report["tunnels"] == 300
    assert report["per_tunnel_kib"] < 1024
    assert any("everybody is back" in phase for phase in report["phases"])


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_universities_beyond_the_tunnels_answer_in_the_coordinators_process(tmp_path: Path) -> None:
    report = rehearse(tmp_path, "--nodes", "120", "--tunnels", "60", "--witnesses", "3")
    check_answers(report, 120)
    assert report["tunnels"] == 60
