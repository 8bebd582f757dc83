"""The layout depends on schema and question alone; its sensitivities are the documented formula."""

import math
from fractions import Fraction
from typing import Any

import pytest

from collegium.errors import Invalid
from collegium.layout import MAX_CELLS, compile_layout
from collegium.question import Bounds, Component, GroupKey, In, Question, Range
from collegium.schema import parse_schema

SCHEMA = parse_schema(
    """
name = "toy"
version = 1
title = { en = "Toy" }
[units.student]
title = { en = "student" }
[codes.sex]
1 = { en = "male" }
2 = { en = "female" }
[datasets.t]
title = { en = "t" }
unit = "student"
person = "pid"
[datasets.t.columns]
sex = { type = "category", title = { en = "sex" }, codes = "sex" }
year = { type = "integer", title = { en = "year" }, min = 2015, max = 2017 }
gpa = { type = "decimal", title = { en = "gpa" }, min = 0, max = 4, step = 0.01 }
odd = { type = "integer", title = { en = "odd" }, min = -3, max = 4 }
money = { type = "integer", title = { en = "money" }, min = 0, max = 20000000 }
"""
)


def ask(*components: Component, groups: int = 1, rows: int = 1, **changes: Any) -> Question:
    return Question(
        **{
            "dataset": "t",
            "components": components,
            "bounds": Bounds(max_groups=groups, max_rows=rows),
            "schema": "toy/1",
            **changes,
        }
    )


def test_cells_are_the_full_cross_product_with_unknown() -> None:
    keys = (GroupKey(column="sex"), GroupKey(column="year"), GroupKey(column="gpa", edges=(0, 200, 400)))
    layout = compile_layout(ask(Component(kind="rows", rho=1), group=keys), SCHEMA)
    assert layout.cells == 3 * 4 * 3
    assert layout.cell_labels(0) == ("1", "2015", "[0.00, 2.00)")
    assert layout.cell_labels(1) == ("1", "2015", "[2.00, 4.00]")
    assert layout.cell_labels(layout.cells - 1) == ("unknown", "unknown", "unknown")
    assert len({layout.cell_labels(i) for i in range(layout.cells)}) == layout.cells


@pytest.mark.parametrize(
    ("component", "bound"),
    [
        (Component(kind="people", rho=1), 1),
        (Component(kind="rows", rho=1), 5),
        (Component(kind="count", column="gpa", rho=1), 5),
        (Component(kind="bins", column="sex", rho=1), 5),
        (Component(kind="sum", column="gpa", clip=(-300, 200), rho=1), 300),
        (Component(kind="total", column="gpa", rho=1), 5 * 200),
        (Component(kind="total", column="odd", rho=1), 5 * 4),  # centre of -3..4 is 0, so 4 is the far end
        (Component(kind="total", condition=In(column="sex", values=("1",)), rho=1), 5),
        (Component(kind="squares", column="gpa", rho=1), 5 * 20000),
    ],
)
def test_the_sensitivity_is_groups_times_bound_squared(component: Component, bound: int) -> None:
    part = compile_layout(ask(component, groups=7, rows=5, group=(GroupKey(column="sex"),)), SCHEMA).parts[0]
    assert part.bound == bound
    assert part.sensitivity_squared == 3 * bound * bound  # seven groups allowed, only three cells exist
    assert Fraction(part.sensitivity) ** 2 >= part.sensitivity_squared
    assert part.sensitivity <= math.sqrt(part.sensitivity_squared) * (1 + 1e-15)


def test_parts_lie_one_after_the_other() -> None:
    layout = compile_layout(
        ask(Component(kind="people", rho=1), Component(kind="bins", column="year", rho=2), group=(GroupKey(column="sex"),)), SCHEMA
    )
    assert [(p.start, p.width) for p in layout.parts] == [(0, 3), (3, 12)]
    assert layout.length == 15


@pytest.mark.parametrize(
    ("question", "place", "text"),
    [
        (ask(Component(kind="rows", rho=1), schema="toy/2"), "schema", "toy/2"),
        (ask(Component(kind="rows", rho=1), dataset="u"), "dataset", "no dataset"),
        (ask(Component(kind="rows", rho=1), group=(GroupKey(column="pid"),)), "group.0", "person column"),
        (ask(Component(kind="rows", rho=1), group=(GroupKey(column="gpa"),)), "group.0", "public edges"),
        (ask(Component(kind="rows", rho=1), filter=In(column="pid", values=("x",))), "filter", "person column"),
        (ask(Component(kind="rows", rho=1), filter=In(column="sex", values=("3",))), "filter", "'3' is no value"),
        (ask(Component(kind="rows", rho=1), filter=Range(column="sex", min=1)), "filter", "codes"),
        (ask(Component(kind="sum", column="sex", clip=(0, 1), rho=1)), "components.0", "number"),
        (ask(Component(kind="squares", column="money", rho=1)), "components.0", "head room"),
    ],
)
def test_what_the_schema_does_not_have_is_refused_with_its_place(question: Question, place: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        compile_layout(question, SCHEMA)
    assert caught.value.place.startswith(place)
    assert text in caught.value.text


def test_too_many_cells_are_refused() -> None:
    edges = tuple(range(401))
    keys = (GroupKey(column="gpa", edges=edges), GroupKey(column="money", edges=tuple(range(1001))), GroupKey(column="year"))
    assert MAX_CELLS < 401 * 1001 * 4
    with pytest.raises(Invalid, match="cells"):
        compile_layout(ask(Component(kind="rows", rho=1), group=keys), SCHEMA)
