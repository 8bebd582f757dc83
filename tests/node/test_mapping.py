"""Values to codes and steps: exact, by the value's own text, whatever type a file stored it in."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import polars as pl
import pytest
from campus import SCHEMA, csv_config
from hypothesis import example, given
from hypothesis import strategies as st

from collegium.errors import Invalid
from collegium.schema import Column, Text
from collegium_node.mapping import ColumnPlan, plan_dataset
from collegium_node.numbers import parse_number, steps_of
from collegium_node.text import text_of

GPA = SCHEMA.datasets["course"].columns["gpa"]
YEAR = SCHEMA.datasets["course"].columns["year"]
FINE = Column.model_validate({"type": "decimal", "title": Text(en="x"), "min": -500, "max": 500, "step": "0.025"})


def plan(column: str, settings: str) -> ColumnPlan:
    columns = f'[datasets.course]\nsource = "rows"\nperson = "id"\n[datasets.course.columns]\n{column} = {settings}\n'
    found = plan_dataset("course", csv_config(Path(), columns=columns), SCHEMA)
    return next(one for one in found.columns if one.name == column)


def apply(column: str, settings: str, values: pl.Series) -> list[int | None]:
    return plan(column, settings).apply(pl.DataFrame({"x": values})).to_list()


def test_codes_become_indices_and_all_else_unknown() -> None:
    values = pl.Series(["1", " 2\t", "9", "", "  ", None, "male", "01", "3"])
    assert apply("gender", '"x"', values) == [0, 1, 2, 3, 3, 3, 3, 3, 3]


def test_a_map_comes_before_codes_and_a_default_is_not_for_missing_values() -> None:
    values = pl.Series(["Male", " Female ", "2", "1", "?", "", None])
    settings = '{ column = "x", map = { Male = "1", Female = "2", 2 = "9" }, default = "9" }'
    assert apply("gender", settings, values) == [0, 1, 2, 0, 2, 3, 3]


def test_booleans_are_read_in_both_languages_and_any_case() -> None:
    values = pl.Series(["1", "TRUE", "Yes", "y", "是", "0", "False", "no", "N", "否", "maybe", "", None])
    assert apply("passed", '"x"', values) == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 2, 2, 2]
    assert apply("passed", '"x"', pl.Series([True, False, None])) == [1, 0, 2]
    assert apply(
        "passed", '{ column = "x", map = { Pass = "yes", N = "1" }, default = "0" }', pl.Series(["Pass", "N", "n", "F?"])
    ) == [1, 1, 0, 0]


def test_constants_and_columns_that_are_not_mapped() -> None:
    frame = pl.DataFrame({"x": ["a", "b"]})
    assert plan("gender", '{ constant = "9" }').apply(frame).to_list() == [2, 2]
    assert plan("gpa", '{ constant = "3.575" }').apply(frame).to_list() == [358, 358]
    bare = plan_dataset("course", csv_config(Path()), SCHEMA)
    unmapped = [ColumnPlan(one.name, one.column, one.codes, None).apply(frame) for one in bare.columns]
    assert [column.to_list() for column in unmapped] == [[3, 3], [3, 3], [2, 2], [None, None], [None, None]]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("3.57", 357), ("3.575", 358), ("3.574999999999999999999999", 357), ("3.5750000000000000000001", 358), ("-0.005", -1),
        ("-0.0049", 0), ("+1", 100), (".5", 50), ("5.", 500), ("1e2", 10000), ("1E-2", 1), (" 2 ", 200), ("-0", 0),
        ("", None), ("abc", None), ("nan", None), ("inf", None), ("-Infinity", None), ("1,5", None), ("1_000", None),
        ("0x10", None), ("1 2", None), ("１", None), ("99999999999999999999999", 2**60), ("-1e300", -(2**60)), ("1e999", None),
    ],
)  # fmt: skip
def test_text_to_steps(text: str, steps: int | None) -> None:
    assert steps_of(pl.Series([text, None, "1"]), GPA).to_list() == [steps, None, 100]


@given(st.decimals(min_value=-600, max_value=600, places=6), st.sampled_from([GPA, FINE, YEAR]))
@example(Decimal("0.0125"), FINE)
@example(Decimal("-0.0125"), FINE)
@example(Decimal("2024.5"), YEAR)
def test_rounding_is_half_away_from_zero_in_exact_arithmetic(value: Decimal, column: Column) -> None:
    exact = int((value / column.step).to_integral_value(rounding=ROUND_HALF_UP))
    assert steps_of(pl.Series([format(value, "f")]), column).to_list() == [exact]
    assert parse_number(str(value), column) == exact
    assert steps_of(pl.Series([value], dtype=pl.Decimal(20, 6)), column).to_list() == [exact]
    # A float stands for the shortest decimal that names it; six places survive the round trip.
    assert steps_of(pl.Series([float(value)]), column).to_list() == [exact]


def test_numbers_of_every_stored_type() -> None:
    assert steps_of(pl.Series([3.575, None, float("nan"), float("inf")], dtype=pl.Float32), GPA).to_list() == [358] + [None] * 3
    assert steps_of(pl.Series([3, None], dtype=pl.Int8), GPA).to_list() == [300, None]
    assert steps_of(pl.Series([2**64 - 1, 2024], dtype=pl.UInt64), YEAR).to_list() == [2**60, 2024]
    assert steps_of(pl.Series([-(2**63), None], dtype=pl.Int64), YEAR).to_list() == [-(2**60), None]
    assert steps_of(pl.Series([True, False]), YEAR).to_list() == [1, 0]
    assert steps_of(pl.Series([None, None]), YEAR).to_list() == [None, None]
    assert steps_of(pl.Series([], dtype=pl.String), YEAR).to_list() == []
    big = Column.model_validate({"type": "integer", "title": Text(en="x"), "min": -(2**40), "max": 2**40})
    assert steps_of(pl.Series([str(2**40 - 1), str(-(2**40))]), big).to_list() == [2**40 - 1, -(2**40)]


def test_numbers_are_clamped_and_stored_small() -> None:
    values = pl.Series(["-1", "0", "4", "4.004", "9", "x", None])
    column = plan("gpa", '"x"').apply(pl.DataFrame({"x": values}))
    assert column.to_list() == [0, 0, 400, 400, 400, None, None]
    assert column.dtype == pl.Int16
    assert plan("gender", '"x"').dtype == pl.UInt16


def test_a_number_can_be_mapped_and_defaulted() -> None:
    settings = '{ column = "x", map = { A = "4.0", B = "3" }, default = "0" }'
    assert apply("gpa", settings, pl.Series(["A", " B ", "1.5", "F", "", None])) == [400, 300, 150, 0, None, None]
    assert apply("gpa", '{ column = "x", default = "1" }', pl.Series([float("nan"), 2.0])) == [None, 200]


@pytest.mark.parametrize(
    "stored",
    [
        pl.Series(["1", "2", None]),
        pl.Series([" 1", "2 ", ""]),
        pl.Series([1, 2, None], dtype=pl.Int64),
        pl.Series([1, 2, None], dtype=pl.UInt8),
        pl.Series([1.0, 2.0, None]),
        pl.Series([1.0, 2.0, float("nan")], dtype=pl.Float32),
        pl.Series([Decimal("1.00"), Decimal("2"), None], dtype=pl.Decimal(10, 2)),
        pl.Series(["1", "2", None], dtype=pl.Categorical),
        pl.Series([b"1", b"2", None]),
    ],
    ids=lambda series: str(series.dtype),
)
def test_one_value_reads_the_same_in_every_stored_type(stored: pl.Series) -> None:
    assert text_of(stored).to_list() == ["1", "2", None]
    assert apply("gender", '"x"', stored) == [0, 1, 3]


def test_large_whole_floats_and_fractions_keep_their_meaning() -> None:
    assert text_of(pl.Series([1.5, 20_210_001.0, 0.0, -3.0])).to_list() == ["1.5", "20210001", "0", "-3"]
    assert text_of(pl.Series([Decimal("100"), Decimal("10.50")], dtype=pl.Decimal(10, 2))).to_list() == ["100", "10.5"]


def test_a_type_that_is_no_single_value_is_refused_by_type_alone() -> None:
    for series in (pl.Series("c", [[1]]), pl.Series("c", [], dtype=pl.List(pl.Int8)), pl.Series("c", [{"a": 1}])):
        with pytest.raises(Invalid, match="'c' holds"):
            text_of(series)
    with pytest.raises(Invalid, match="bytes that are no text"):
        text_of(pl.Series("c", [b"\xff"]))
