"""A national question is over everybody or whole groups of the partition: no choice leaves a university by subtraction."""

from __future__ import annotations

from typing import Any

import pytest
from planned import ASKER, NOW, Campus, registry

from collegium.errors import Invalid
from collegium.national.groups import Group, groups_of
from collegium.question import Bounds, Component, Question
from collegium.registry import Registry
from collegium.statements import RegistryView, Request

CAMPUSES = [Campus(name, province) for name, province in zip("fabcde", ("64", "11", "12", "31", "11", "54"), strict=True)]
PARTED = registry(CAMPUSES, groups=(("11", "12"), ("31",), ("42",), ("54",)))  # 64 lies in no group, nobody is in 42
WHOLE = registry(CAMPUSES)


def request(of: Registry, facts: dict[str, tuple[str, ...]] | None, by: tuple[str, ...] = (), **changes: Any) -> Request:
    question = Question(
        dataset="graduate",
        components=(Component(kind="people", rho=1000),),
        bounds=Bounds(max_groups=1, max_rows=1),
        mode=changes.pop("mode", "national"),
        schema_id="higher-education/1",
    )
    view = {"measures": [{"label": "n", "kind": "value", "parts": [0]}], "columns": [{"measure": 0}], "facts": list(by)}
    return Request(
        researcher=ASKER,
        audience=None if facts is not None else ("a", "b"),
        facts=facts,
        time=NOW,
        expiry=NOW + 9,
        nonce="0" * 32,
        details="0" * 64,
        questions=(question,),
        views=(view,),
        **{"registry": of.view(), **changes},
    )


@pytest.mark.parametrize(
    ("facts", "by", "expected"),
    [
        pytest.param({}, (), [(None, "abcde")], id="one sum of all whose province lies in a group"),
        pytest.param({}, ("province",), [(("11", "12"), "abd"), (("31",), "c"), (("54",), "e")], id="each group"),
        pytest.param({"province": ("11", "12", "54")}, (), [(None, "abde")], id="one sum of chosen groups"),
        pytest.param({"province": ("31", "54")}, ("province",), [(("31",), "c"), (("54",), "e")], id="each chosen group"),
        pytest.param({"province": ("42",)}, ("province",), [], id="a group of nobody"),
        pytest.param({"province": ("42",)}, (), [], id="a sum of nobody"),
    ],
)
def test_groups_are_those_of_the_partition(facts: Any, by: Any, expected: list[tuple[Any, str]]) -> None:
    found = groups_of(request(PARTED, facts, by), 0, PARTED)
    assert found == tuple(Group(codes, tuple(members)) for codes, members in expected)


def test_without_a_partition_there_is_one_sum_of_all() -> None:
    assert groups_of(request(WHOLE, {}), 0, WHOLE) == (Group(None, tuple("abcdef")),)


def test_the_total_is_of_exactly_the_nodes_of_the_groups() -> None:
    """Else the total less its groups would be the sum of the few universities left over."""
    (total,) = groups_of(request(PARTED, {}), 0, PARTED)
    groups = groups_of(request(PARTED, {}, ("province",)), 0, PARTED)
    assert sorted(name for group in groups for name in group.members) == list(total.members)


def test_a_request_keeps_the_groups_of_the_registry_it_has_seen() -> None:
    """A partition registered later rules later requests."""
    before = RegistryView(size=PARTED.size - 1, root=PARTED.view_at(PARTED.size - 1).root)
    assert groups_of(request(PARTED, {}, registry=before), 0, PARTED) == (Group(None, tuple("abcdef")),)


@pytest.mark.parametrize(
    ("of", "facts", "by", "place"),
    [
        pytest.param(PARTED, None, (), "audience", id="universities by name"),
        pytest.param(PARTED, {"province": ("11",)}, (), "facts", id="half a group"),
        pytest.param(PARTED, {"province": ("11", "31")}, ("province",), "facts", id="half a group beside a whole one"),
        pytest.param(PARTED, {"province": ("64",)}, (), "facts", id="a code outside the partition"),
        pytest.param(PARTED, {"level": ("本科",)}, (), "facts", id="another fact"),
        pytest.param(PARTED, {"level": ("本科",), "province": ("31",)}, (), "facts", id="another fact beside the right one"),
        pytest.param(PARTED, {}, ("level",), "view.facts", id="told apart by another fact"),
        pytest.param(PARTED, {}, ("province", "level"), "view.facts", id="told apart by two facts"),
        pytest.param(WHOLE, {"province": ("11",)}, (), "facts", id="a fact without a partition"),
        pytest.param(WHOLE, {}, ("province",), "view.facts", id="told apart without a partition"),
    ],
)
def test_other_choices_are_refused_with_a_remedy(of: Registry, facts: Any, by: Any, place: str) -> None:
    with pytest.raises(Invalid) as caught:
        groups_of(request(of, facts, by), 0, of)
    assert caught.value.place == place
    assert caught.value.remedy


def test_a_question_of_the_other_mode_or_a_strange_registry_has_no_groups() -> None:
    with pytest.raises(Invalid, match="its own figure"):
        groups_of(request(PARTED, {}, mode="per_node"), 0, PARTED)
    with pytest.raises(Invalid, match="no question 1"):
        groups_of(request(PARTED, {}), 1, PARTED)
    with pytest.raises(Invalid, match="another registry"):
        groups_of(request(PARTED, {}, registry=RegistryView(size=3, root=PARTED.view().root)), 0, PARTED)
    with pytest.raises(Invalid, match="entries"):
        groups_of(request(PARTED, {}), 0, registry(CAMPUSES[:2]))
