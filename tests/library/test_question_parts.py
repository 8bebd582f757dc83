"""Cases, margins, products and grids in questions: what means nothing is refused, and older questions keep their digests."""

from __future__ import annotations

from typing import Any

import pytest

from collegium.errors import Invalid
from collegium.layout import compile_layout
from collegium.question import Question
from collegium.schema import parse_schema

SCHEMA = parse_schema(
    """
name = "toy"
version = 1
title = { en = "Toy" }
[units.student]
title = { en = "student" }
[datasets.t]
title = { en = "t" }
unit = "student"
person = "pid"
[datasets.t.columns]
placed = { type = "boolean", title = { en = "placed" } }
home = { type = "boolean", title = { en = "home" } }
a = { type = "integer", title = { en = "a" }, min = 0, max = 30 }
b = { type = "integer", title = { en = "b" }, min = 0, max = 10 }
"""
)
YES = {"op": "in", "column": "placed", "values": ["1"]}
KEYS = [{"column": "placed"}, {"column": "case1", "cases": [YES]}, {"column": "home"}]


def tree(component: dict[str, Any], group: list[dict[str, Any]] | None = None, groups: int = 4) -> dict[str, Any]:
    return {
        "dataset": "t",
        "group": KEYS if group is None else group,
        "components": [{"rho": 1000, **component}],
        "bounds": {"max_groups": groups, "max_rows": 2},
        "mode": "per_node",
        "schema": "toy/1",
    }


GOOD: list[dict[str, Any]] = [
    {"kind": "people", "margin": ["placed", "home"]},
    {"kind": "rows", "margin": []},
    {"kind": "product", "column": "a", "other": "b"},
    {"kind": "bins", "column": "a", "grid": [0, 4, 8]},
]


@pytest.mark.parametrize("component", GOOD, ids=str)
def test_what_is_signed_is_read_back(component: dict[str, Any]) -> None:
    question = Question.from_json(tree(component))
    assert question.to_json() == tree(component)
    compile_layout(question, SCHEMA)


BAD: list[dict[str, Any]] = [
    {"kind": "people", "margin": ["home", "placed"]},
    {"kind": "people", "margin": ["placed", "case1", "home"]},
    {"kind": "people", "margin": ["a"]},
    {"kind": "product", "column": "b", "other": "a"},
    {"kind": "product", "column": "a", "other": "a"},
    {"kind": "product", "column": "a"},
    {"kind": "total", "column": "a", "other": "b"},
    {"kind": "product", "column": "a", "other": "placed"},
    {"kind": "bins", "column": "a", "grid": [0, 0, 8]},
    {"kind": "bins", "column": "a", "grid": [0, 1, 1001]},
    {"kind": "bins", "column": "a", "grid": [0, 1, 8], "edges": [0, 3]},
    {"kind": "rows", "grid": [0, 1, 8]},
    {"kind": "bins", "column": "placed", "grid": [0, 1, 2]},
]


@pytest.mark.parametrize("component", BAD, ids=str)
def test_a_component_that_means_nothing_is_refused(component: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        compile_layout(Question.from_json(tree(component)), SCHEMA)


@pytest.mark.parametrize(
    "group",
    [
        [{"column": "case2", "cases": [YES]}],
        [{"column": "yes", "cases": [YES]}],
        [{"column": "case1", "cases": []}],
        [{"column": "case1", "cases": [YES], "edges": [0, 1]}],
        [{"column": "case1"}],
        [{"column": "case1", "cases": [{"op": "in", "column": "nothing", "values": ["1"]}]}],
    ],
    ids=str,
)
def test_keys_of_cases_are_called_by_their_place(group: list[dict[str, Any]]) -> None:
    with pytest.raises(Invalid):
        compile_layout(Question.from_json(tree({"kind": "rows"}, group)), SCHEMA)


def test_a_margin_costs_what_the_worst_person_can_do_to_it() -> None:
    """Four cells a person of 3 x 2 x 3: a margin of `home` adds 6 into one, so all four may be in it."""
    expected = {(): 16, ("home",): 16, ("placed", "home"): 8, ("placed", "case1"): 10, None: 4}
    for margin, squared in expected.items():
        component: dict[str, Any] = {"kind": "people"} if margin is None else {"kind": "people", "margin": list(margin)}
        (part,) = compile_layout(Question.from_json(tree(component)), SCHEMA).parts
        assert part.sensitivity_squared == squared, margin


def test_a_question_of_the_first_days_has_the_digest_it_had() -> None:
    question = Question.from_json(tree({"kind": "bins", "column": "a", "edges": [0, 10, 30]}, [{"column": "placed"}]))
    assert question.digest == "abc2d2ea984366bf596a9c2ea103f6f1928c02a4036bdebf6b82969c33ca56e2"
