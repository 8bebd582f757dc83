"""Tables, charts and files of an answer show the figures with their intervals, say what they are, and hold nothing else."""

from __future__ import annotations

import json
import random
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from collegium.answer import NOISE
from collegium.chart import MAX_POINTS, chart_spec, map_spec, points, points_spec
from collegium.dummy import write_dummy
from collegium.errors import Invalid
from collegium.schema import parse_schema, read_schema
from collegium.tilegrid import LETTERS, PROVINCES, fits
from collegium.trial import Trial, TrialAnswer
from collegium.wording import NOISE_IN

TOML = Path(__file__).parent.parent.parent / "examples" / "higher-education" / "schema.toml"
SCHEMA = read_schema(TOML)
BY_PROVINCE = "SELECT province, COUNT(*) AS graduates, AVG(ontime) AS ontime FROM graduate GROUP BY province"
BY_YEAR = "SELECT gender, year, AVG(salary) AS pay FROM graduate GROUP BY gender, year"
BINS = "SELECT HISTOGRAM(salary, 0, 10000, 50000) AS pay FROM graduate"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dummy")
    write_dummy(SCHEMA, ["graduate"], out, rows=3000, universities=3, rng=random.Random(5))
    return out


@pytest.fixture(scope="module")
def answer(folder: Path) -> TrialAnswer:
    return Trial(folder, SCHEMA).ask(BY_PROVINCE, BY_YEAR, BINS, rho=5)


@pytest.fixture(scope="module")
def chinese(folder: Path) -> TrialAnswer:
    return Trial(folder, SCHEMA, language="zh").ask(BY_PROVINCE, rho=5)


# ---- tiles


def test_every_province_has_one_tile_of_its_own() -> None:
    codes = set(SCHEMA.codes["province"])
    assert set(PROVINCES) == set(LETTERS) == codes
    assert len(codes) == 34
    assert len(set(PROVINCES.values())) == 34
    assert len(set(LETTERS.values())) == 34
    assert fits(codes)
    assert not fits({"99"})
    assert not fits(())


def test_neighbours_lie_as_on_a_map() -> None:
    """North is up and west is left, for pairs that anybody knows."""
    north = [("23", "22"), ("22", "21"), ("15", "13"), ("11", "12"), ("37", "32"), ("36", "35"), ("43", "44"), ("44", "46")]
    west = [("65", "62"), ("54", "51"), ("51", "50"), ("61", "41"), ("34", "32"), ("32", "31"), ("35", "71")]
    assert all(PROVINCES[a][1] < PROVINCES[b][1] for a, b in north)
    assert all(PROVINCES[a][0] < PROVINCES[b][0] for a, b in west)


# ---- charts


def test_a_chart_has_a_point_and_an_interval_for_every_row_and_not_the_whole(answer: TrialAnswer) -> None:
    view = answer.views[0]
    found = points(view, 0)
    assert [each["key"] for each in found] == ["11 Beijing", "21 Liaoning", "33 Zhejiang"]  # "all" would dwarf them
    rows = {row["province"]: row for row in view.rows()}
    for each in found:
        row = rows[each["key"][:2]]
        assert (each["value"], each["low"], each["high"]) == (row["graduates"], row["graduates_low"], row["graduates_high"])
    share = points(view, 1)[0]
    assert share["value"] == pytest.approx(100 * rows["11"]["ontime"])


def test_years_lie_in_their_order_along_a_line_and_series_have_a_panel(answer: TrialAnswer) -> None:
    spec = chart_spec(answer.views[1])
    inner = spec["spec"]
    order = inner["encoding"]["x"]["sort"]
    assert order == sorted(order, key=int)
    assert "unknown" not in order
    assert [layer["mark"]["type"] for layer in inner["layer"]] == ["line", "rule", "point"]
    assert spec["facet"]["field"] == "series"
    assert len(spec["data"]["values"]) <= MAX_POINTS


def test_a_year_that_the_first_panel_lacks_keeps_its_place(answer: TrialAnswer) -> None:
    view = answer.views[1]
    mixed = [
        {"series": s, "key": k, "value": 1.0, "low": 0.0, "high": 2.0, "mark": "reliable"}
        for s, k in (("a", "2021"), ("b", "2020"))
    ]
    spec = points_spec(mixed, view.figures.table.measures[0], view.coverage, "en")
    assert spec["spec"]["encoding"]["x"]["sort"] == ["2020", "2021"]


@pytest.mark.parametrize(("question", "measure"), [(0, 0), (0, "ontime"), (1, 0), (2, 0)])
def test_altair_takes_every_chart(answer: TrialAnswer, question: int, measure: int | str) -> None:
    """Altair checks a chart against the schema of Vega-Lite."""
    tree = answer.chart(question, measure).to_dict()
    text = json.dumps(tree)
    assert "95 % intervals" in text
    assert "Contains privacy noise" in text
    assert "rule" in text


def test_a_histogram_has_a_point_a_bin(answer: TrialAnswer) -> None:
    assert [each["key"] for each in points(answer.views[2], 0)] == ["[0, 10000)", "[10000, 50000]", "unknown"]


def test_a_map_has_all_tiles_and_grey_ones_where_nothing_is_known(answer: TrialAnswer, chinese: TrialAnswer) -> None:
    spec = map_spec(answer.views[0], 0)
    assert spec is not None
    tiles = spec["data"]["values"]
    assert len(tiles) == 34
    assert {tile["code"] for tile in tiles if tile["value"] is not None} == {"11", "21", "33"}
    assert not re.search(r'"(geoshape|topojson|geojson|projection|shape)"', json.dumps(spec))  # tiles, no border
    answer.map().to_dict()
    zh = map_spec(chinese.views[0], 0)
    assert zh is not None
    assert {"北京", "内蒙古", "黑龙江", "台湾"} <= {tile["short"] for tile in zh["data"]["values"]}
    assert "隐私噪声" in json.dumps(zh, ensure_ascii=False)


def test_what_is_not_by_province_has_no_map(answer: TrialAnswer) -> None:
    assert map_spec(answer.views[1], 0) is None
    with pytest.raises(Invalid):
        answer.map(1)
    with pytest.raises(Invalid):
        answer.chart(9)
    with pytest.raises(Invalid):
        answer.chart(0, "nothing")


# ---- notebook


class Tags(HTMLParser):
    """Counts tags and keeps the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag not in ("rect", "circle", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "circle", "line"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_notebook_shows_intervals_bars_tiles_and_what_the_figures_are(answer: TrialAnswer) -> None:
    bundle = answer._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    tags = Tags(bundle["text/html"])
    assert not tags.open
    assert tags.tags.count("table") == 3
    assert tags.tags.count("rect") == 2 * 34  # two measures by province
    assert {"95 % interval", NOISE} <= {part for part in ("95 % interval", NOISE) if part in tags.text}
    assert "script" not in tags.tags
    assert not re.search(r"https?:", bundle["text/html"])  # shows offline


def test_labels_are_shown_and_never_run(tmp_path: Path) -> None:
    toml = TOML.read_text(encoding="utf-8").replace('11 = { en = "Beijing"', '11 = { en = "<script>alert(1)</script>"')
    schema = parse_schema(toml)
    write_dummy(schema, ["graduate"], tmp_path, rows=20)
    html = Trial(tmp_path, schema).ask(BY_PROVINCE, rho=5)._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


# ---- files


def test_arrow_has_text_keys_and_float_figures(answer: TrialAnswer) -> None:
    table = answer.to_arrow()
    assert table.num_rows == 4
    types = {field.name: str(field.type) for field in table.schema}
    assert types["province"] == types["graduates_mark"] == "string"
    assert types["graduates"] == types["graduates_low"] == "double"
    assert table.to_pylist() == answer.rows()


def test_excel_holds_figures_and_says_what_they_are(chinese: TrialAnswer, tmp_path: Path) -> None:
    path = chinese.to_excel(tmp_path / "figures.xlsx")
    with zipfile.ZipFile(path) as archive:
        sheets = archive.read("xl/workbook.xml").decode()
        texts = archive.read("xl/sharedStrings.xml").decode()
        figures = archive.read("xl/worksheets/sheet1.xml").decode()
    assert 'name="Figures"' in sheets
    assert 'name="About"' in sheets
    assert NOISE_IN["zh"] in texts
    assert "北京市" in texts
    assert "<f>" not in figures  # no formula
    assert f"<v>{chinese.rows()[0]['graduates']:g}</v>" in figures


def test_a_title_that_looks_like_a_formula_stays_text(folder: Path, tmp_path: Path) -> None:
    answer = Trial(folder, SCHEMA).ask('SELECT COUNT(*) AS "=1+1" FROM graduate', rho=5)
    path = answer.to_excel(tmp_path / "figures.xlsx")
    with zipfile.ZipFile(path) as archive:
        assert "<f>" not in archive.read("xl/worksheets/sheet1.xml").decode()
        assert "=1+1" in archive.read("xl/sharedStrings.xml").decode()
