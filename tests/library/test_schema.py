"""The schema refuses what it cannot mean, and says where."""

from decimal import Decimal

import pytest

from collegium.errors import Invalid
from collegium.schema import parse_schema

GOOD = """
name = "toy"
version = 1
title = { en = "Toy" }
[units.student]
title = { en = "student", zh = "学生" }
max_nodes_per_person = 2
[codes.sex]
1 = { en = "male" }
2 = { en = "female" }
[codes.province]
11 = { en = "Beijing", zh = "北京市" }
[facts.province]
title = { en = "province" }
codes = "province"
[datasets.graduate]
title = { en = "graduates" }
unit = "student"
person = "pid"
max_rows = 2
[datasets.graduate.columns]
sex = { type = "category", title = { en = "sex" }, codes = "sex" }
aided = { type = "boolean", title = { en = "aided" } }
year = { type = "integer", title = { en = "year" }, min = 2015, max = 2035 }
gpa = { type = "decimal", title = { en = "gpa" }, min = 0, max = 4, step = 0.01 }
"""


def test_numbers_become_whole_steps_without_floats() -> None:
    gpa = parse_schema(GOOD).datasets["graduate"].columns["gpa"]
    assert (gpa.min_steps, gpa.max_steps, gpa.centre, gpa.half_range) == (0, 400, 200, 200)
    assert gpa.encode("3.57") == 357
    assert gpa.decode(357) == Decimal("3.57")
    assert gpa.decimals == 2


@pytest.mark.parametrize("value", ["3.575", "x", "NaN", "Infinity", ""])
def test_a_value_between_steps_is_refused(value: str) -> None:
    with pytest.raises(Invalid):
        parse_schema(GOOD).datasets["graduate"].columns["gpa"].encode(value)


@pytest.mark.parametrize(
    ("old", "new", "place", "text"),
    [
        ('unit = "student"', 'unit = "pupil"', "schema", "no privacy unit 'pupil'"),
        ('codes = "sex" }', 'codes = "gender" }', "schema", "no code list 'gender'"),
        ("min = 0, max = 4, step = 0.01", "min = 0, max = 4, step = 0.3", "gpa", "multiple of `step`"),
        ("min = 0, max = 4, step = 0.01", "min = 4, max = 0, step = 0.01", "gpa", "below `max`"),
        ("min = 0, max = 4, step = 0.01", "step = 0.01", "gpa", "public bounds"),
        ('type = "boolean"', 'type = "boolean", colour = 1', "aided.colour", "not permitted"),
        ('person = "pid"', 'person = "sex"', "graduate", "must not be among the columns"),
        ("max_rows = 2", "max_rows = 0", "max_rows", "greater than or equal to 1"),
        ("version = 1", "version = ", "schema", "line 3"),
        ('1 = { en = "male" }', 'unknown = { en = "male" }', "schema", "unknown"),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, place: str, text: str) -> None:
    assert old in GOOD
    with pytest.raises(Invalid) as caught:
        parse_schema(GOOD.replace(old, new))
    assert place in caught.value.place
    assert text in caught.value.text


def test_the_digest_moves_with_the_content_and_not_with_the_layout_of_the_file() -> None:
    assert parse_schema(GOOD).digest == parse_schema(GOOD + "\n# a remark\n").digest
    assert parse_schema(GOOD).digest != parse_schema(GOOD.replace("max_rows = 2", "max_rows = 3")).digest
