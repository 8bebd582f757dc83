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
    lines = re.findall(r"^\| (P\d+) \|", (ROOT / "docs/hazards.md").read_text("utf-8"), re.MULTILINE)
    assert lines == [f"P{number}" for number in range(1, 26)]
