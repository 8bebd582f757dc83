"""What a plan must be follows from question, registry and numbers alone, and leaves room for every honest cell."""

from __future__ import annotations

import pytest

from collegium.errors import Invalid
from collegium.layout import compile_layout
from collegium.national.plan import plan_parts
from collegium.national.share import Tolerance, fits_64_bits, make_share, sigma_for
from collegium.national.wanted import homes_of, wanted
from collegium.question import Bounds, Component, GroupKey, Question
from collegium.schema import parse_schema

SCHEMA = parse_schema(
    """
name = "toy"
version = 1
title = { en = "Toy" }
[units.student]
title = { en = "student" }
max_nodes_per_person = 3
[codes.sex]
1 = { en = "male" }
2 = { en = "female" }
[datasets.t]
title = { en = "t" }
unit = "student"
person = "pid"
[datasets.t.columns]
sex = { type = "category", title = { en = "sex" }, codes = "sex" }
gpa = { type = "decimal", title = { en = "gpa" }, min = 0, max = 4, step = 0.01 }
money = { type = "integer", title = { en = "money" }, min = 0, max = 1000000000 }
"""
)
TOLERANCE = Tolerance(50_000, 50_000)
COUNTRY = 3074


def layout(*components: Component, groups: int = 2, rows: int = 1):  # type: ignore[no-untyped-def]
    question = Question(
        dataset="t",
        components=components,
        bounds=Bounds(max_groups=groups, max_rows=rows),
        group=(GroupKey(column="sex"),),
        mode="national",
        schema_id="toy/1",
    )
    return compile_layout(question, SCHEMA)


MANY = layout(
    Component(kind="people", rho=10**7),
    Component(kind="rows", margin=(), rho=10**6),
    Component(kind="sum", column="money", clip=(0, 10**6), rho=10**7),
    Component(kind="squares", column="gpa", rho=10**8),
)


def test_a_component_is_wanted_as_the_layout_and_the_registry_have_it() -> None:
    found = wanted(MANY, COUNTRY, TOLERANCE, homes_of(MANY, SCHEMA))
    assert homes_of(MANY, SCHEMA) == 3
    assert [each.cells for each in found] == [part.width for part in MANY.parts]
    assert [each.sensitivity_squared for each in found] == [part.sensitivity_squared for part in MANY.parts]
    assert [each.rho for each in found] == [part.component.rho for part in MANY.parts]
    assert plan_parts(found, COUNTRY, TOLERANCE, 3)


def test_the_reach_of_a_cell_is_what_one_person_moves_times_two_to_the_24() -> None:
    """In the margin of one cell a person's two cells are added up: it is moved by twice as much."""
    found = wanted(MANY, COUNTRY, TOLERANCE, 3)
    assert [each.reach for each in found] == [1 << 24, 2 << 24, 10**6 << 24, max(200**2 // 2, 200**2 - 200**2 // 2) << 24]


@pytest.mark.parametrize("most", [10**7, 10**8, 10**9])
def test_the_reach_is_the_largest_power_that_fits(most: int) -> None:
    big = layout(Component(kind="sum", column="money", clip=(0, most), rho=10**6))
    (found,) = wanted(big, COUNTRY, TOLERANCE, 3)
    share = make_share(sigma_for(10**6, big.parts[0].sensitivity_squared, 3), TOLERANCE.honest(COUNTRY))
    assert found.reach % most == 0
    power = found.reach // most
    assert power & (power - 1) == 0
    assert 2**17 <= power <= 2**24
    assert fits_64_bits(found.reach, COUNTRY, share)
    assert power == 2**24 or not fits_64_bits(2 * found.reach, COUNTRY, share)
    assert power < 2**24 or most < 10**9


def test_without_room_for_a_large_university_the_question_is_refused() -> None:
    big = layout(Component(kind="people", rho=10**7), Component(kind="sum", column="money", clip=(0, 10**9), rho=10**6))
    with pytest.raises(Invalid, match="64 bits") as caught:
        wanted(big, 100_000, TOLERANCE, 3)
    assert caught.value.place == "components.1"
    assert caught.value.remedy


def test_too_few_universities_carry_no_noise() -> None:
    with pytest.raises(Invalid, match="carry the noise"):
        wanted(MANY, 2, TOLERANCE, 3)
    assert wanted(MANY, 3, TOLERANCE, 3)
