"""What the steward is told: which rows, which values, what to write into node.toml, and what the bounds change."""

from __future__ import annotations

import io
import json
import tomllib
from pathlib import Path

import polars as pl
import pytest
from campus import COLUMNS, HEADER, SCHEMA, config, csv_config
from rich.console import Console

from collegium.schema import Text
from collegium_node.check import check
from collegium_node.config import ColumnConfig
from collegium_node.report import ColumnReport, DatasetReport, Report
from collegium_node.suggest import proposal_line, propose

ROWS = """\
1,Male,1,yes,2020,3.5
1,Female,02,perhaps,2020,3.5
2,男,08,no,2050,-1
,1,08,no,2020,2
2,男,08,no,2050,-1
3,,,,,
3,?,08,0,1999,A
1,Male,08,1,2020,4
"""


@pytest.fixture
def report(tmp_path: Path) -> Report:
    (tmp_path / "rows.csv").write_text(HEADER + ROWS, encoding="utf-8")
    return check(csv_config(tmp_path), SCHEMA)


def column(report: Report, name: str) -> ColumnReport:
    return next(one for one in report.datasets[0].columns if one.name == name)


def test_rows_and_persons(report: Report) -> None:
    (dataset,) = report.datasets
    assert (dataset.rows, dataset.persons, dataset.most_rows) == (8, 3, 3)
    assert dataset.without_person.first == ("rows.csv, row 5",)
    assert (dataset.duplicates.count, dataset.duplicates.first) == (1, ("rows.csv, row 6",))
    assert (dataset.persons_over_rows, dataset.rows_left_out) == (1, 1)
    assert not report.ok
    assert not report.broken


def test_values_outside_the_list_with_rows_and_proposals(report: Report) -> None:
    gender = column(report, "gender")
    assert gender.missing == 1
    assert gender.unmapped_rows == 6
    assert [(value.value, value.rows, value.first, value.becomes, value.proposal) for value in gender.unmapped] == [
        ("Male", 2, "rows.csv, row 2", "unknown", "1"),
        ("男", 2, "rows.csv, row 4", "unknown", "1"),
        ("Female", 1, "rows.csv, row 3", "unknown", "2"),
        ("?", 1, "rows.csv, row 8", "unknown", ""),
    ]
    assert [value.proposal for value in column(report, "discipline").unmapped] == ["01"]
    assert [value.value for value in column(report, "passed").unmapped] == ["perhaps"]


def test_the_proposed_lines_mend_what_they_propose(report: Report, tmp_path: Path) -> None:
    lines = [one.suggestion for one in report.datasets[0].columns if one.suggestion]
    assert len(lines) == 2
    mended = tomllib.loads("\n".join(lines))
    assert mended["gender"] == {"column": "sex", "map": {"Male": "1", "Female": "2", "男": "1"}}
    columns = COLUMNS.replace('gender = "sex"', lines[0]).replace('discipline = "field"', lines[1])
    again = check(csv_config(tmp_path, columns=columns), SCHEMA)
    assert [value.value for value in column(again, "gender").unmapped] == ["?"]
    assert not column(again, "discipline").unmapped


def test_numbers_that_are_none_or_out_of_bounds(report: Report) -> None:
    gpa, year = column(report, "gpa"), column(report, "year")
    assert (gpa.no_number.count, gpa.no_number.first) == (1, ("rows.csv, row 8",))
    assert (gpa.below.count, gpa.below.first) == (2, ("rows.csv, row 4", "rows.csv, row 6"))
    assert (gpa.lowest, gpa.highest, gpa.missing) == (-1.0, 4.0, 1)
    assert (year.above.count, year.below.count, year.below.first) == (2, 1, ("rows.csv, row 8",))


def test_the_bias_of_the_bounds_is_that_of_the_definition(tmp_path: Path) -> None:
    """Person 1 has 1, 2, 3 and keeps two of three; person 2 has 4. max_rows 2, clip 2·4 = 8: nothing of the sum is cut."""
    (tmp_path / "rows.csv").write_text(HEADER + "".join(f"1,1,01,1,2020,{gpa}\n" for gpa in (1, 2, 3)) + "2,1,01,1,2020,9\n")
    bias = column(check(csv_config(tmp_path), SCHEMA), "gpa").bias
    assert bias is not None
    assert bias.mean_rows == pytest.approx(15 / 4)
    assert bias.mean_bounded == pytest.approx((6 * 2 / 3 + 4) / 3)
    assert (bias.sum_rows, bias.sum_bounded, bias.clip, bias.persons_clipped) == (15, 10, 8, 0)
    (tmp_path / "rows.csv").write_text(HEADER + "1,1,01,1,2020,4\n" * 3 + "1,1,01,1,2020,\n")
    bias = column(check(csv_config(tmp_path), SCHEMA), "gpa").bias
    assert bias is not None
    assert (bias.sum_rows, bias.sum_bounded, bias.persons_clipped) == (12, 8, 1)


def test_persons_spread_over_more_groups_than_count(report: Report) -> None:
    groups = column(report, "discipline").groups
    assert groups is not None
    assert (groups.most, groups.persons_over, groups.left_out) == (3, 2, 3)  # unknown is a group too


def test_a_default_and_a_constant_are_no_findings(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(HEADER + "1,Male,01,1,2020,3\n2,?,01,1,2020,3\n")
    columns = COLUMNS.replace('gender = "sex"', 'gender = { column = "sex", map = { Male = "1" }, default = "9" }')
    report = check(csv_config(tmp_path, columns=columns.replace('year = "year"', 'year = { constant = "2020" }')), SCHEMA)
    assert report.ok
    assert [(value.value, value.becomes) for value in column(report, "gender").unmapped] == [("?", "9")]
    assert column(report, "year").origin == "constant 2020"


def test_a_column_that_nothing_is_mapped_to_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(HEADER + "1,1,01,1,2020,3\n")
    report = check(csv_config(tmp_path, columns=COLUMNS.replace('year = "year"\n', "")), SCHEMA)
    assert report.datasets[0].findings == ("year: nothing is mapped to it, so it is unknown in every row",)


def test_one_broken_dataset_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(HEADER + "ragged\n")
    report = check(csv_config(tmp_path), SCHEMA)
    assert report.broken
    assert "rows.csv, line 2" in report.datasets[0].fault


def test_ids_that_look_alike_are_asked_about(tmp_path: Path) -> None:
    rows = "".join(f"{identity},1,01,1,2020,3\n" for identity in ("0017", "17", "17.0", "A5", "a5", "B"))
    (tmp_path / "rows.csv").write_text(HEADER + rows)
    (caution,) = check(csv_config(tmp_path), SCHEMA).datasets[0].cautions
    assert caution.startswith("3 person ids differ")


def test_a_query_that_mixes_persons_is_cautioned(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(HEADER + "1,1,01,1,2020,3\n")
    sources = '[sources.r]\nkind = "csv"\npath = "r.csv"\n[sources.rows]\nkind = "sql"\nquery = "SELECT * FROM r LIMIT 5"\n'
    (caution,) = check(config(tmp_path, sources), SCHEMA).datasets[0].cautions
    assert "LIMIT" in caution


def test_row_numbers_over_several_files_and_batches(tmp_path: Path) -> None:
    for name, values in {"a": ["1", "1"], "b": ["1", "odd"]}.items():
        pl.DataFrame({"id": ["x", "y"], "sex": values, "field": "01", "passed": "1", "year": 2020, "gpa": 1.0}).write_parquet(
            tmp_path / f"{name}.parquet"
        )
    report = check(config(tmp_path, '[sources.rows]\nkind = "parquet"\npath = "*.parquet"\n'), SCHEMA)
    assert [value.first for value in column(report, "gender").unmapped] == ["b.parquet, row 2"]


def test_no_rows_at_all(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(HEADER)
    report = check(csv_config(tmp_path), SCHEMA)
    assert report.ok
    assert report.datasets[0].persons == 0
    json.dumps(report.to_json())


def test_free_text_in_a_category_does_not_fill_the_report(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(HEADER + "".join(f"{n},note {n},01,1,2020,3\n" for n in range(12_000)))
    gender = column(check(csv_config(tmp_path), SCHEMA), "gender")
    assert (gender.unmapped_rows, gender.unmapped_values, len(gender.unmapped)) == (12_000, 12_000, 30)


def test_the_terminal_shows_what_json_holds(report: Report) -> None:
    console = Console(width=160, file=io.StringIO())
    console.print(report.render())
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    for expected in ("rows.csv, row 5", "男", 'Male = "1"', "clamped", "max_rows = 2", "Local only", "perhaps"):
        assert expected in shown
    tree = json.loads(json.dumps(report.to_json()))
    assert tree["datasets"][0]["columns"][0]["unmapped"][0]["value"] == "Male"
    assert tree["datasets"][0]["findings"] == list(report.datasets[0].findings)
    assert Report((DatasetReport("x", "y", fault="gone"),)).to_json()["broken"]


def test_proposals() -> None:
    values = SCHEMA.codes["gender"] | {"05": Text(en="Mechanical Engineering", zh="机械")}
    assert propose("MALE", values) == "1"
    assert propose("女", values) == "2"
    assert propose("5", values) == "05"
    assert propose("mechanical enginering", values) == "05"
    assert propose("other", values) is None
    line = proposal_line("x", ColumnConfig(column='a "b"', map={"k\n": "1"}, default="9"), ["Not stated"], values)
    assert tomllib.loads(line) == {"x": {"column": 'a "b"', "map": {"k\n": "1", "Not stated": "9"}, "default": "9"}}
