"""The commands around a measurement: its cost, the years shown, the tables, and pictures with little in them."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from country import Country
from editions import EVIL, about, edition

from collegium.errors import Failed, Invalid
from collegium.indicators.edition import Edition, Estimate
from collegium.indicators.export import COLUMNS, write_table
from collegium.indicators.measuring_cli import _amounts, _catalogue, _editions
from collegium.indicators.site.numbers import short_text, tick_texts
from collegium.indicators.site.pictures import bars, line, tiles
from collegium.indicators.site.words import LANGUAGES

REGISTRY = Country().registry


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["0.5"], {"": 500_000_000}),
        (["student=0.25", "staff=1e-3"], {"student": 250_000_000, "staff": 1_000_000}),
        (["0.5", "student=0.1"], {"": 500_000_000, "student": 100_000_000}),
    ],
)
def test_what_a_measurement_may_cost_is_told_for_each_kind_of_person(texts: list[str], found: dict[str, int]) -> None:
    assert _amounts(texts, REGISTRY) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pupil=1", "no privacy unit 'pupil'"),
        ("=1", "names no unit"),
        ("much", "is no rho"),
        ("0", "is no rho"),
        ("nan", "is no rho"),
        ("student=", "is no rho"),
        ("-1", "is no rho"),
    ],
)
def test_a_cost_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        _amounts([text], REGISTRY)


def test_a_catalogue_is_named_or_the_newest() -> None:
    assert _catalogue(REGISTRY, "") == _catalogue(REGISTRY, "example") == "example/1"
    assert _catalogue(REGISTRY, "example/7") == "example/7"  # which the plan then does not find
    with pytest.raises(Invalid, match="no such catalogue"):
        _catalogue(REGISTRY, "other")


def kept(folder: Path, catalogue: str, year: int, value: float) -> None:
    made = edition(year, value).model_copy(update={"catalogue": catalogue})
    place = folder / catalogue.replace("/", "-") / str(year)
    place.mkdir(parents=True)
    (place / "figures.json").write_bytes(made.to_bytes())


def test_years_run_across_versions_and_a_newer_version_replaces_an_older_one_s_year(tmp_path: Path) -> None:
    kept(tmp_path, "made/9", 2024, 900)
    kept(tmp_path, "made/9", 2025, 950)
    kept(tmp_path, "made/10", 2025, 955)
    kept(tmp_path, "made/10", 2026, 1000)
    (tmp_path / "made-10" / "notes").mkdir()
    (tmp_path / "made-10" / "2027").mkdir()  # asked, no figures yet
    (tmp_path / "readme.txt").write_text("")
    found = _editions(tmp_path, "", None)
    assert [(each.year, each.catalogue, each.leaves[0].national.value) for each in found] == [
        (2024, "made/9", 900), (2025, "made/10", 955), (2026, "made/10", 1000),
    ]  # fmt: skip
    assert [each.year for each in _editions(tmp_path, "made", 2025)] == [2024, 2025]
    assert [each.catalogue for each in _editions(tmp_path, "made/9", None)] == ["made/9", "made/9"]
    for year in (2023, 2027):
        with pytest.raises(Invalid, match=f"{year} was not measured") as caught:
            _editions(tmp_path, "", year)
        assert "2024, 2025, 2026" in caught.value.remedy


def test_what_was_not_measured_and_what_is_ambiguous_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(Invalid, match="nothing was measured"):
            _editions(folder, "", None)
    kept(tmp_path, "made/1", 2026, 1)
    with pytest.raises(Invalid, match="nothing was measured"):
        _editions(tmp_path, "other", None)
    kept(tmp_path, "other/1", 2026, 1)
    with pytest.raises(Invalid, match="several catalogues") as caught:
        _editions(tmp_path, "", None)
    assert "made-1, other-1" in caught.value.remedy
    assert len(_editions(tmp_path, "other", None)) == 1


def test_both_tables_hold_every_figure(tmp_path: Path) -> None:
    made = edition()
    assert write_table(made, tmp_path / "all.csv", "zh") == 6
    raw = (tmp_path / "all.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(raw.decode("utf-8-sig").splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert rows[1][5:9] == ["", "", "1000.0", "960.0"]
    assert rows[4][5:9] == ["西藏自治区", "", "", ""]  # not released: no number at all
    assert [row[11] for row in rows[1:]] == ["", "", "…", "—", "", "…"]
    pytest.importorskip("xlsxwriter", reason="Excel files need the extra `excel`")
    assert write_table(made, tmp_path / "all.xlsx", "zh") == 6
    short = [[f"{float(cell):.12g}" if 7 <= place < 11 and cell else cell for place, cell in enumerate(row)] for row in rows[1:]]
    assert workbook(tmp_path / "all.xlsx") == [rows[0], *short]


def workbook(path: Path) -> list[list[str]]:
    """The cells of the first sheet as CSV has them, read without any library."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(path) as file:
        strings = ["".join(each.itertext()) for each in ElementTree.fromstring(file.read("xl/sharedStrings.xml"))]
        sheet = ElementTree.fromstring(file.read("xl/worksheets/sheet1.xml"))
    assert sheet.find(f".//{space}f") is None  # no title became a formula
    rows = []
    for row in sheet.iter(f"{space}row"):
        cells = dict.fromkeys("ABCDEFGHIJKLMN", "")
        for cell in row:
            value = cell.findtext(f"{space}v") or ""
            number = cell.get("t") != "s"
            text = value if number else strings[int(value)]
            fraction = number and row.get("r") != "1" and str(cell.get("r"))[0] in "HIJK"
            cells[str(cell.get("r"))[0]] = f"{float(text):.12g}" if fraction else text
        rows.append(list(cells.values()))
    return rows


def test_a_table_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"\.csv or \.xlsx"):
        write_table(edition(), tmp_path / "all.ods", "en")
    with pytest.raises(Failed, match="cannot be written"):
        write_table(edition(), tmp_path / "absent" / "all.csv", "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_pictures_of_little_or_nothing_are_whole_or_not_there(language: str) -> None:
    tongue = "zh" if language == "zh" else "en"
    nothing, zero = Estimate(mark="—"), Estimate(value=0.0, low=0.0, high=0.0, error=0.0)
    assert bars("t", [("a", nothing)], tongue) == ""
    assert tiles("t", {"11": nothing}, {}, tongue) == ""
    assert tiles("t", {"Bavaria": zero}, {}, tongue) == ""
    assert line("t", [(2026, about(5, 1))], tongue) == line("t", [(2025, nothing), (2026, about(5, 1))], tongue) == ""
    for picture in (
        bars("t", [(EVIL, zero), ("b", zero)], tongue),
        bars("t", [("a", about(-5, 900)), ("b", Estimate(value=3.0, low=1.0, high=None, mark="…"))], tongue),
        tiles("t", {"11": zero}, {"11": EVIL}, tongue),
        tiles("t", {"11": about(2e9, 1e7), "31": about(3.0, 9.0)}, {}, tongue),
        line("t", [(2025, zero), (2026, zero)], tongue),
    ):
        ElementTree.fromstring(picture)
        assert "nan" not in picture
        assert "inf" not in picture


@pytest.mark.parametrize(
    ("figure", "en", "zh"),
    [
        (about(1_400_000_000, 20_000_000), "1.40bn", "14.0亿"),
        (about(1_400_000_000, 500_000_000), "1.4bn …", "14亿 …"),
        (about(92_534_000, 40_000), "92.5M", "9,250万"),
        (about(123_456, 30), "123k", "12.3万"),
        (about(99_999, 30), "100,000", "100,000"),
        (Estimate(mark="—"), "—", "—"),
    ],
)
def test_pictures_name_large_numbers_as_their_readers_do(figure: Estimate, en: str, zh: str) -> None:
    assert (short_text(figure, "en"), short_text(figure, "zh")) == (en, zh)


def test_an_axis_has_labels_of_one_kind() -> None:
    assert tick_texts([0.0, 5e8, 1e9], "en") == ["0", "0.5bn", "1.0bn"]
    assert tick_texts([0.0, 5e8, 1e9], "zh") == ["0", "5亿", "10亿"]
    assert tick_texts([21.5, 22.0], "en") == ["21.5", "22.0"]
    assert tick_texts([0.0, 20_000.0], "zh") == ["0", "20,000"]


def test_an_indicator_is_found_by_its_id_and_by_what_it_shares() -> None:
    made: Edition = edition()
    assert made.leaf("D02-S01-001").discipline == "02"
    assert [each.id for each in made.by_discipline(made.leaf("U-S01-001"))] == ["D01-S01-001", "D02-S01-001"]
    assert made.by_discipline(made.leaf("D01-S01-001")) == ()
