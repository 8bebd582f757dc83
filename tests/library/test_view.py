"""A view is signed, strict, and never mixes what does not belong together."""

from __future__ import annotations

from typing import Any

import pytest

from collegium.errors import Invalid
from collegium.question import Bounds, Component, GroupKey, In, Question
from collegium.view import View, check_view

YES = In(column="placed", values=("1",))
QUESTION = Question(
    dataset="t",
    group=(GroupKey(column="sex"),),
    bounds=Bounds(max_groups=1, max_rows=1),
    schema_id="toy/1",
    components=(
        Component(kind="rows", rho=1),  # 0
        Component(kind="count", column="gpa", rho=1),
        Component(kind="total", column="gpa", rho=1),
        Component(kind="squares", column="gpa", rho=1),  # 3
        Component(kind="count", column="age", rho=1),
        Component(kind="count", condition=YES, rho=1),  # 5
        Component(kind="total", condition=YES, rho=1),
        Component(kind="bins", column="sex", rho=1),  # 7
        Component(kind="total", column="gpa", filter=YES, rho=1),
        Component(kind="sum", column="gpa", clip=(-5, 5), rho=1),  # 9
        Component(kind="sum", column="gpa", clip=(0, 5), rho=1),
    ),
)


def tree(kind: str, parts: list[int], **more: Any) -> dict[str, Any]:
    measure = {"label": "x", "kind": kind, "parts": parts, **more}
    return {"measures": [measure], "columns": [{"fact": "province"}, {"group": "sex"}, {"measure": 0}], "facts": ["province"]}


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("value", [0]), ("value", [9]), ("mean", [1, 2]), ("variance", [1, 2, 3]), ("stddev", [1, 2, 3]), ("share", [5, 6]),
        ("histogram", [7]), ("ratio", [1, 0]), ("ratio", [10, 0]), ("ratio", [0, 10]),
    ],
)  # fmt: skip
def test_what_belongs_together_is_accepted_and_survives_the_wire(kind: str, parts: list[int]) -> None:
    view = View.from_json(tree(kind, parts))
    check_view(view, QUESTION)
    assert View.from_json(view.to_json()) == view


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("value", [1, 2]), ("value", [2]), ("value", [7]), ("value", [11]), ("mean", [4, 2]), ("mean", [2, 1]), ("mean", [5, 6]),
        ("mean", [1, 8]), ("share", [1, 2]), ("share", [5, 2]), ("histogram", [0]), ("ratio", [0, 0]), ("ratio", [9, 0]),
        ("ratio", [0, 9]), ("ratio", [2, 0]), ("variance", [1, 2]),
    ],
)  # fmt: skip
def test_a_figure_without_meaning_is_refused(kind: str, parts: list[int]) -> None:
    with pytest.raises(Invalid) as caught:
        check_view(View.from_json(tree(kind, parts)), QUESTION)
    assert caught.value.place.startswith("view.measures.0")


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"facts": []},
        {"facts": ["province", "province"]},
        {"columns": [{"measure": 1}]},
        {"columns": [{"else": 0}]},
        {"columns": [{"measure": 0, "fact": "province"}]},
        {"measures": []},
        {"measures": [{"label": "a\nb", "kind": "value", "parts": [0]}]},
        {"measures": [{"label": "x", "kind": "median", "parts": [0]}]},
        {"measures": [{"label": "x", "kind": "value", "parts": [True]}]},
        {"measures": [{"label": "x", "kind": "value", "parts": [0], "column": None}]},
    ],
)
def test_unknown_or_loose_parts_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        View.from_json({**tree("value", [0]), **change})


def test_columns_and_measured_column_must_be_the_questions() -> None:
    for changed in (
        {"columns": [{"group": "year"}]},
        {"measures": [{"label": "x", "kind": "mean", "parts": [1, 2], "column": "age"}]},
    ):
        with pytest.raises(Invalid):
            check_view(View.from_json({**tree("value", [0]), **changed}), QUESTION)
