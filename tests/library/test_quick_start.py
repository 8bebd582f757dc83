"""The quick-start notebook runs from top to bottom, on this machine alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from notebook import run  # noqa: E402 - a tool is no package

NOTEBOOK = ROOT / "examples" / "quick-start.ipynb"


def test_every_cell_runs_and_shows_what_it_promises() -> None:
    tree, shown = run(NOTEBOOK)
    kinds = [set(each) for each in shown]
    assert kinds[0] == {"text/plain"}
    plan, answer, chart, tiles, frame = shown[1:]
    assert "costs nothing" in plan["text/html"]
    assert "95 % interval" in answer["text/html"]
    assert "invented rows" in answer["text/html"]
    for each in (chart, tiles):
        assert "Contains privacy noise" in json.dumps(each["application/vnd.vegalite.v6+json"])
    assert "graduates_low" in frame["text/html"]
    assert tree["nbformat"] == 4
    assert json.loads(NOTEBOOK.read_text(encoding="utf-8")).keys() == tree.keys()
