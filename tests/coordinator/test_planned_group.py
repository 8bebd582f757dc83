"""Between a question and its plan the registry may change: nobody is charged for a sum whose rows could not be told afterwards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from collegium.national.groups import Group
from collegium.registration import Partition
from collegium_coordinator.planning import NO_ROUND, Planner, RoundOver

NORTH = Group(("11", "12"), ("a", "b"))


def planner(*groups: tuple[str, ...]) -> Any:
    """A planner in a federation with this partition, or with none."""
    partition = Partition(fact="province", groups=groups, time=1) if groups else None
    made: Any = Planner.__new__(Planner)
    made._registry = SimpleNamespace(registry=SimpleNamespace(partition=lambda: partition))
    return made


def at(province: str) -> Any:
    return SimpleNamespace(facts={"province": province})


def test_a_group_that_is_none_any_more_ends_before_anybody_is_charged() -> None:
    planner(("11", "12"), ("31",))._check_group(NORTH)
    for other in (planner(("11",), ("12", "31")), planner()):
        with pytest.raises(RoundOver) as over:
            other._check_group(NORTH)
        assert over.value.reason == NO_ROUND
    planner()._check_group(Group(None, ("a", "b")))


def test_a_university_that_was_registered_anew_elsewhere_is_not_in_the_old_group() -> None:
    made = planner(("11", "12"), ("31",))
    assert made._inside(at("12"), NORTH)
    assert not made._inside(at("31"), NORTH)
    assert planner()._inside(at("31"), Group(None, ("a", "b")))
