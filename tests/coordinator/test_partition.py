"""The partition of national sums: every group is large enough, neighbours stay together, and it is made once."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from typer.testing import CliRunner

from collegium.errors import Invalid
from collegium_coordinator.cli import app
from collegium_coordinator.partition import merged


@pytest.mark.parametrize(
    ("counts", "at_least", "groups"),
    [
        ({"11": 30, "12": 30}, 30, (("11",), ("12",))),
        # Within a region first, though its neighbour of the next one is smaller.
        ({"15": 60, "46": 5, "50": 9}, 10, (("15",), ("46", "50"))),
        ({"44": 80, "46": 5, "50": 9}, 9, (("44", "46"), ("50",))),
        # The smaller neighbour, then the first.
        ({"11": 40, "12": 3, "13": 30}, 10, (("11",), ("12", "13"))),
        ({"11": 30, "12": 3, "13": 30}, 10, (("11", "12"), ("13",))),
        ({"1": 2, "2": 3}, 30, (("1", "2"),)),
        ({"1": 0}, 2, (("1",),)),
        ({"11": 0, "12": 0, "13": 50}, 30, (("11", "12", "13"),)),
    ],
)
def test_small_codes_are_merged_with_their_neighbours(counts: dict[str, int], at_least: int, groups: Any) -> None:
    assert merged(counts, at_least) == groups


@pytest.mark.parametrize("seed", range(40))
def test_every_group_is_large_enough_and_a_run_of_codes(seed: int) -> None:
    dice = random.Random(seed)
    counts = {f"{dice.randrange(1, 7)}{n:02}": dice.randrange(0, 60) for n in range(31)}
    at_least = dice.choice([2, 30, 100])
    groups = merged(counts, at_least)
    assert [code for group in groups for code in group] == sorted(counts)
    assert len(groups) == 1 or all(sum(counts[code] for code in group) >= at_least for group in groups)
    assert merged(dict(reversed(counts.items())), at_least) == groups


def test_the_command_shows_signs_and_keeps_the_partition(federation: Any) -> None:
    def run(*words: str) -> Any:
        where = ["--home", str(federation.home.path), "--registry", str(federation.registry_folder)]
        return CliRunner().invoke(app, ["partition", *words, *where])

    def held() -> Any:
        registrar = federation.registrar()
        try:
            return registrar.registry.partition()
        finally:
            registrar.close()

    shown = run("--by", "province", "--at-least", "2", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "11 31: 0 nodes" in shown.output
    assert held() is None
    assert run("--by", "province").exit_code == 0
    assert held().groups == (("11", "31"),)
    assert "already" in run("--by", "province").output
    wrong = run("--by", "colour")
    assert isinstance(wrong.exception, Invalid)
    # Another one is given up only on purpose.
    registrar = federation.registrar()
    registrar.partition("province", [["11"], ["31"]])
    registrar.close()
    refused = run("--by", "province")
    assert isinstance(refused.exception, Invalid)
    assert "subtracted" in str(refused.exception)
    assert len(held().groups) == 2
    time.sleep(1.1)  # the very same statement within the same second would be the one that is there
    assert run("--by", "province", "--replace").exit_code == 0
    assert json.dumps(held().groups) == '[["11", "31"]]'
