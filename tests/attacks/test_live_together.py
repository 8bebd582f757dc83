"""Four parties cheat at once in a running federation: the short form of the attacks that the long tests commit one by one.

Counts as failure: one of them not convicted, or of something else, or the honest university named; evidence that does not verify by
itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from company import Base

pytestmark = pytest.mark.timeout(600)  # starting a federation takes a while on a busy machine

LIAR = "coordinator"


def test_each_of_four_cheats_is_named_for_what_it_did_and_the_honest_one_is_not(base: Base, tmp_path: Path) -> None:
    """All at once: the short form of the attacks that are committed one by one in the long tests."""
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate("two_trees policies_as_answers")
        scene.serve("south")
        for name, lie in (("west", "overdraw"), ("east", "log_key"), ("north", "no_request")):
            scene.serve(name, lie=lie)
        assert scene.answered(3500, rho="90") == 3  # without east
        assert scene.answered(3600, "west", rho="90") == 1
        scene.audited().convict(
            {
                ("A1", "contradiction", LIAR), ("A3", "two-heads", LIAR), ("A15", "place", LIAR), ("A6", "overdrawn", "west"),
                ("A15", "unsigned", "east"), ("A4", "unpaid", "east"), ("A11", "no-request", "north"), ("A4", "unpaid", "north"),
            }
        )  # fmt: skip
