"""`collegium indicators check` and `list` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from collegium.cli import app
from collegium.errors import Invalid

HERE = Path(__file__).resolve().parents[3]
SHIPPED = str(HERE / "coordinator" / "collegium_coordinator" / "catalogue" / "higher-education.toml")
SCHEMA = str(HERE / "examples" / "higher-education" / "schema.toml")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["indicators", *words], env={"COLUMNS": "160"})


def test_a_good_catalogue_says_what_it_makes() -> None:
    done = run("check", SHIPPED, "--schema", SCHEMA)
    assert done.exit_code == 0, done.output
    assert "5 primary, 21 secondary, 218 for universities, 1,080 for disciplines" in done.output


def test_mistakes_end_with_2_and_stand_with_file_and_place(tmp_path: Path) -> None:
    text = Path(SHIPPED).read_text(encoding="utf-8")
    wrong = tmp_path / "mine.toml"
    wrong.write_text(text.replace("status IN ('01'", "state IN ('01'").replace("[0, 2000000]", "[0, 999000000]"), encoding="utf-8")
    done = run("check", str(wrong), "--schema", SCHEMA)
    assert done.exit_code == 2
    lines = done.output.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith('mine.toml: populations.enrolled.where 1:1 "state": there is no column')
    assert lines[1].startswith("mine.toml: measures.transfer_income.clip: 0 to 999000000 lies outside the bounds")
    tree = json.loads(run("check", str(wrong), "--schema", SCHEMA, "--json").output)
    assert tree["mistakes"][0]["place"] == 'populations.enrolled.where 1:1 "state"'
    assert all(each["remedy"] for each in tree["mistakes"])


def test_a_version_is_compared_with_the_one_it_follows() -> None:
    done = run("check", SHIPPED, "--schema", SCHEMA, "--after", SHIPPED)
    assert done.exit_code == 2
    assert "version: the version was not increased: higher-education/1 is published already. Write version = 2." in done.output


def test_indicators_are_listed_in_either_language() -> None:
    chinese = run("list", SHIPPED, "--schema", SCHEMA, "--under", "S06", "--level", "university", "--lang", "zh").output
    assert "博士生·毕业去向落实率" in chinese
    assert chinese.count("U-S06-") == 27
    assert "U-S05" not in chinese
    english = run("list", SHIPPED, "--schema", SCHEMA, "--under", "P5", "--level", "university").output
    assert "Outbound exchange students, Europe" in english
    assert english.count("U-S") == 11 + 10 + 10


def test_json_has_the_definitions() -> None:
    tree = json.loads(run("list", SHIPPED, "--schema", SCHEMA, "--json").output)
    assert len(tree) == 1298
    placed = next(each for each in tree if each["id"] == "D08-S06-001")
    assert placed["title"] == {"en": "Graduate placement rate, Engineering", "zh": "工学·毕业去向落实率"}
    assert placed["denominator"]["zh"] == "毕业生（不含结业、肄业）；工学"
    assert placed["columns"] == ["graduate.dest_group", "graduate.discipline_cat", "graduate.result", "graduate.year"]


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("list", SHIPPED, "--schema", SCHEMA, "--under", "S99"), "--under"),
        (("list", SHIPPED, "--schema", SCHEMA, "--level", "school"), "--level"),
        (("list", SHIPPED, "--schema", SCHEMA, "--lang", "de"), "--lang"),
        (("check", "nowhere.toml", "--schema", SCHEMA), "nowhere.toml"),
        (("list", "--home", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_done_says_where(words: tuple[str, ...], place: str) -> None:
    done = run(*words)
    assert isinstance(done.exception, Invalid)
    assert done.exception.place == place
    assert done.exception.remedy or place == "nowhere.toml"
