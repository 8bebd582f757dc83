"""A saved question says what is asked; values fill its places and can do nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from collegium.asking import Ask
from collegium.compiling import compile_request
from collegium.errors import Invalid
from collegium.saved import Saved, read_range, read_saved, read_values
from collegium.schema import read_schema

TEXT = """
title = "Graduates"
sql = [
    "SELECT COUNT(*) AS n FROM graduate WHERE year = {year}",
    "SELECT AVG(gpa) AS gpa FROM t WHERE p = '{province}' AND y = {year}",
]
epsilon = 0.3
purpose = "annual report"
max_groups = 2
[clip]
salary = [0, 20000.5]
[set]
year = 2025
"""


def saved(tmp_path: Path, text: str = TEXT) -> Saved:
    file = tmp_path / "graduates.toml"
    file.write_text(text, encoding="utf-8")
    return read_saved(file)


def test_places_are_filled_and_settings_are_those_of_the_file(tmp_path: Path) -> None:
    found = saved(tmp_path)
    assert found.names == ("year", "province")
    assert found.title == "Graduates"
    settings = found.settings({"province": "11"})
    assert settings["statements"] == (
        "SELECT COUNT(*) AS n FROM graduate WHERE year = 2025",
        "SELECT AVG(gpa) AS gpa FROM t WHERE p = '11' AND y = 2025",
    )
    assert settings["epsilon"] == "0.3"
    assert settings["rho"] is None
    assert settings["clips"] == {"salary": ("0", "20000.5")}
    assert settings["max_groups"] == 2
    assert "2026" in found.settings({"province": "11", "year": "2026"})["statements"][0]


def test_titles_in_two_languages_and_ratios(tmp_path: Path) -> None:
    found = saved(tmp_path, "sql = 'x'\nratio = 'a / b'\n[title]\nen = 'Pay'\nzh = '起薪'")
    assert (found.title, found.title_in("en"), found.title_in("zh")) == ("Pay", "Pay", "起薪")
    assert found.ratios == ("a / b",)
    assert "ratio" not in found.settings()
    assert saved(tmp_path, "sql = 'x'\n[title]\nen = 'Pay'").title_in("zh") == "Pay"
    assert saved(tmp_path, "sql = 'x'").title_in("zh") == "graduates"
    assert saved(tmp_path, "sql = 'x'\nratio = ['a / b', 'c / d']").ratios == ("a / b", "c / d")


@pytest.mark.parametrize("value", ["1 OR 1=1", "'", "1)", "1; SELECT", "--", "2025--", "2025--x", "", "2025\n", "a" * 65, "1/*"])
def test_a_value_is_a_number_or_a_code_and_nothing_else(value: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        saved(tmp_path).settings({"province": "11", "year": value})


def test_missing_and_unknown_names_are_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        saved(tmp_path).settings()
    assert "{province}" in caught.value.text
    with pytest.raises(Invalid) as caught:
        saved(tmp_path).settings({"province": "11", "yeer": "1"})
    assert "{yeer}" in caught.value.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sql = 3",
        "sql = []",
        "sql = 'SELECT 1'\nwhat = 1",
        "sql = 'x'\nmax_rows = 'many'",
        "sql = 'x'\n[title]\nzh = '起薪'",
        "sql = 'x'\nratio = 3",
        "sql = ",
        "sql = 'x'\n[clip]\na = [1]",
    ],
)
def test_a_file_that_is_no_question_is_refused_with_its_place(text: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        saved(tmp_path, text)
    assert "graduates.toml" in caught.value.place


def test_values_and_ranges() -> None:
    assert read_values(["year=2026", "province=11"]) == {"year": "2026", "province": "11"}
    assert read_range("year=2021:2023") == ("year", ["2021", "2022", "2023"])
    assert read_range("year=2021:2021") == ("year", ["2021"])
    assert read_range("field=01, 08") == ("field", ["01", "08"])
    for words in (["year"], ["=1"], ["year="], ["year=1", "year=2"]):
        with pytest.raises(Invalid):
            read_values(words)
    for text in ("year", "year=", "year=2:1", "year=1:1000", "year=a:b", "=1:2", "year=1,1", "year=1:2:3"):
        with pytest.raises(Invalid):
            read_range(text)


def test_a_file_says_its_release_mode(tmp_path: Path) -> None:
    assert saved(tmp_path).settings({"province": "11"})["mode"] == "per_node"
    examples = Path(__file__).parents[2] / "examples"
    settings = read_saved(examples / "national" / "placement.toml").settings()
    (compiled,) = compile_request(Ask(**settings), read_schema(examples / "higher-education" / "schema.toml"), 10**7)
    assert (settings["mode"], compiled.question.mode) == ("national", "national")
    with pytest.raises(Invalid):
        saved(tmp_path, TEXT.replace("max_groups = 2", 'mode = "nationwide"'))
