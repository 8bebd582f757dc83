"""The page of hazards names tests; each of them must exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NAMED = sorted(set(re.findall(r"`(tests/[a-z_/]+\.py)(?:::(test_[a-z0-9_]+))?`", (ROOT / "docs/hazards.md").read_text("utf-8"))))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_named_on_the_page_exists(file: str, test: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    assert re.search(rf"def {test or 'test_'}", text)


def test_every_hazard_of_the_list_has_its_line() -> None:
    lines = re.findall(r"^\| ([AP]\d+) \|", (ROOT / "docs/hazards.md").read_text("utf-8"), re.MULTILINE)
    assert lines == [*(f"P{number}" for number in range(1, 26)), *(f"A{number}" for number in range(1, 16))]


def test_every_attack_is_committed_against_a_running_federation() -> None:
    for line in (ROOT / "docs/hazards.md").read_text("utf-8").splitlines():
        if line.startswith("| A"):
            assert "`tests/attacks/test_live_" in line, line


def test_a_lie_named_on_the_page_exists() -> None:
    node = (ROOT / "tests/attacks/dishonest_node.py").read_text("utf-8")
    page = (ROOT / "docs/hazards.md").read_text("utf-8")
    named = [lie for group in re.findall(r"is_convicted` \(([^)]+)\)", page) for lie in re.findall(r"`([a-z_]+)`", group)]
    assert len(named) >= 9
    assert all(f"@lie\ndef {lie}(" in node for lie in named)


def test_a_move_of_a_national_sum_named_on_a_page_exists() -> None:
    """The table of national sums names moves by their functions, and tests without a path are those of a whole round."""
    attacks = "".join(path.read_text("utf-8") for path in sorted((ROOT / "tests/attacks").glob("national*.py")))
    rounds = (ROOT / "tests/library/national/test_round.py").read_text("utf-8")
    hazards = (ROOT / "docs/hazards.md").read_text("utf-8")
    moves = {move for group in re.findall(r"whoever_made_it` \(([^)]+)\)", hazards) for move in re.findall(r"`([a-z_]+)`", group)}
    table = (ROOT / "docs/national-sums.md").read_text("utf-8").split("found by the audit: move")[1].split("\n\n")[0]
    for name in re.findall(r"`([a-z_0-9]+)`", table):
        if name.startswith("test_"):
            assert f"def {name}(" in rounds, name
        else:
            moves.add(name)
    assert len(moves) >= 40
    unknown = {move for move in moves - {"wrong_scale"} if f"def {move}(" not in attacks}
    assert not unknown


def test_a_test_named_on_the_page_of_national_sums_exists() -> None:
    page = (ROOT / "docs/national-sums.md").read_text("utf-8")
    for file, test in re.findall(r"`(tests/[a-z_/]+\.py)(?:::(test_[a-z0-9_]+))?`", page):
        assert re.search(rf"def {test or 'test_'}", (ROOT / file).read_text("utf-8")), (file, test)
