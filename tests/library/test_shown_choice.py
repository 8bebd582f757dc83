"""What a person sees of a chosen, tested or modelled table: places, doubts, significance, sampling; and all of it in Chinese."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collegium.dummy import write_dummy
from collegium.errors import PUBLIC_TEXTS
from collegium.schema import read_schema
from collegium.trial import Trial, TrialAnswer
from collegium.wording import CHOICE, FOOTER, NOISE_IN, WORDS, reason_text

SCHEMA = read_schema(Path(__file__).parent.parent.parent / "examples" / "higher-education" / "schema.toml")
TOP = "SELECT discipline_cat, COUNT(*) AS n FROM graduate GROUP BY discipline_cat HAVING n > 100 ORDER BY n DESC LIMIT 6"
ACROSS = "SELECT province, AVG(ontime) AS ontime, COUNT(*) AS n FROM graduate GROUP BY province ORDER BY ontime DESC"
GAP = """SELECT study_level, AVG(ontime) FILTER (WHERE gender = '1') - AVG(ontime) FILTER (WHERE gender = '2') AS gap,
    COUNT_IF(ontime) / COUNT(*) AS rate, SUM(salary) / COUNT(*) AS pay_each FROM graduate GROUP BY study_level"""
MODEL = "SELECT REGRESSION(salary, year) AS r, TOP_SHARE(discipline_cat, 3) AS top, ENTROPY(discipline_cat) AS h FROM graduate"
CUBE = "SELECT gender, ontime, COUNT(*) AS n FROM graduate GROUP BY CUBE (gender, ontime)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dummy")
    write_dummy(SCHEMA, ["graduate"], out, rows=1500, universities=3, rng=random.Random(5))
    return out


@pytest.fixture(scope="module", params=["en", "zh"])
def answer(request: pytest.FixtureRequest, folder: Path) -> TrialAnswer:
    return Trial(folder, SCHEMA, language=request.param).ask(TOP, ACROSS, GAP, MODEL, CUBE, rho=0.004)


def lines_of(answer: TrialAnswer) -> list[str]:
    return str(answer).splitlines()


def test_an_ordered_table_shows_the_places_that_the_intervals_leave(answer: TrialAnswer) -> None:
    view = answer.views[0]
    words = WORDS[answer.language]
    text = str(answer)
    assert words["place"] in text
    for row, (_, shown) in zip(view.rows(), view.shown(), strict=True):
        assert (row["rank_best"], row["rank_worst"]) == shown.rank
        assert row["unsure"] is shown.unsure
    selection = view.figures.table.selection
    assert selection is not None
    assert CHOICE[answer.language]["shown"].format(selection.shown, selection.kept) in text
    assert selection.contenders  # the sixth and the seventh are nearly alike
    assert CHOICE[answer.language]["contenders"].format(selection.contenders) in text
    assert answer.to_json()["tables"][0]["selection"] == selection.model_dump()


def test_a_table_ordered_across_facts_is_shown_in_that_order_and_the_whole_last(answer: TrialAnswer) -> None:
    """Not by fact group: the statement asked for another order."""
    rows = answer.views[1].rows()
    values = [row["ontime"] for row in rows[:-1]]
    assert values == sorted(values, reverse=True)
    assert rows[-1]["province"] in ("all", "全国")
    assert rows[-1]["rank_best"] is None
    assert [group.facts for group, _ in answer.views[1].shown()][-1] == {}


def test_shares_rates_and_their_differences_are_in_per_cent_and_other_ratios_are_not(answer: TrialAnswer) -> None:
    infos = {info.label: info for view in answer.views for info in view.figures.table.measures}
    assert [name for name, info in infos.items() if info.percent] == ["ontime", "gap", "rate", "top"]
    points = "百分点" if answer.language == "zh" else "points"
    header = next(line for line in lines_of(answer) if "rate" in line)
    assert "rate %" in header
    assert f"gap ({points})" in header
    assert "pay_each %" not in str(answer)
    told = {each["label"]: each for table in answer.to_json()["tables"] for each in table["measures"]}
    assert told["rate"]["percent"] is True
    assert told["pay_each"]["percent"] is False
    assert told["h"]["unit"] == ("比特" if answer.language == "zh" else "bits")


def test_significance_and_the_error_of_a_model_are_told(answer: TrialAnswer) -> None:
    view = answer.views[2]
    tested = [row.figures[0].significant for _, row in view.shown()]
    assert set(tested) <= {True, False}
    assert [row["gap_significant"] for row in view.rows()] == tested
    marks = CHOICE[answer.language]
    assert (marks["significant"] in str(answer)) == any(tested)
    assert (marks["not significant"] in str(answer)) == (not any(tested))
    (row,) = answer.views[3].rows()
    assert row["r year_model_error"] is None or row["r year_model_error"] > 0
    assert marks["model"].split(" ")[0] in str(answer)
    assert re.search(r"± [\d,]+|—", str(answer))


def test_tables_stay_readable_for_machines(answer: TrialAnswer) -> None:
    table = answer.to_arrow(0)
    assert [str(table.schema.field(name).type) for name in ("unsure", "rank_best", "n")] == ["bool", "double", "double"]
    assert table.to_pylist()[0]["rank_best"] == answer.views[0].rows()[0]["rank_best"]
    json.dumps(answer.to_json(), ensure_ascii=False)
    assert "rank_best,rank_worst" in answer.to_csv()
    html = answer._repr_html_()
    for note in (WORDS[answer.language]["place"], WORDS[answer.language]["model"]):
        assert note in html


def test_a_row_that_having_is_not_sure_of_is_marked(answer: TrialAnswer) -> None:
    """The noise decides which rows those are, so one is made by hand."""
    table = answer.figures[0].table
    words = WORDS[answer.language]["unsure"], CHOICE[answer.language]["unsure"]
    for unsure in (True, False):
        rows = tuple(row.model_copy(update={"unsure": unsure and number == 1}) for number, row in enumerate(table.rows))
        made = replace(answer, figures=(replace(answer.figures[0], table=table.model_copy(update={"rows": rows})),))
        for shown in (str(made), made._repr_html_()):
            assert all((word in shown) == unsure for word in words)
        assert [row["unsure"] for row in made.rows()] == [row.unsure for row in rows]


def test_chinese_is_chinese_throughout(folder: Path) -> None:
    """Below the tables no English sentence is left; above them the schema's titles stand."""
    answer = Trial(folder, SCHEMA, language="zh").ask(TOP, ACROSS, CUBE, rho=0.05)
    text = str(answer)
    assert "学科门类" in text
    assert "省份" in text
    assert "性别" in text
    assert "合计" in text
    assert "未知" in text
    for note in answer.notes:
        assert not re.search(r"[a-z]{3,} [a-z]{3,}", note), note
    assert NOISE_IN["zh"] in answer.notes
    assert " to " not in text


def places(text: str) -> list[str]:
    return sorted(re.findall(r"\{\d*[^}]*\}", text))


@pytest.mark.parametrize("words", [WORDS, CHOICE, FOOTER, {key: {"": text} for key, text in NOISE_IN.items()}])
def test_every_sentence_is_there_in_both_languages(words: dict[str, dict[str, Any]]) -> None:
    assert set(words["en"]) == set(words["zh"])
    for name, text in words["en"].items():
        assert len(places(text)) == len(places(words["zh"][name])), name


def test_every_reason_a_university_may_give_has_a_chinese_sentence() -> None:
    sentences = {reason: reason_text(reason, "zh") for reason in PUBLIC_TEXTS}
    assert len(set(sentences.values())) == len(PUBLIC_TEXTS)
    assert all(re.search(r"[一-鿿]", text) for text in sentences.values())
    assert reason_text("something new", "zh") == sentences["failed"]
    assert reason_text("something new") == PUBLIC_TEXTS["failed"]
    assert reason_text("offline", "zh") == "未连接"
