"""The published pages: whole HTML, nothing loaded from elsewhere, the same figures in both languages, none without its noise."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from editions import EVIL, about, edition

from collegium.errors import Failed, Invalid
from collegium.indicators.changes import changes
from collegium.indicators.edition import Edition, Estimate
from collegium.indicators.site.numbers import interval_text, value_text
from collegium.indicators.site.words import LANGUAGES, words
from collegium.indicators.site.write import write_site

VOID = {"meta", "link", "line", "rect", "path", "circle", "polyline", "br"}


class Page(HTMLParser):
    """Tags balance; ids, links and loaded things are collected."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == [], path

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "img", "object"), tag
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                (self.loads if tag == "link" else self.links).append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID, tag

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def site(tmp_path: Path) -> Path:
    bundle = tmp_path / "bundle.collegium"
    bundle.write_bytes(b"proof")
    write_site([edition(2024, 900), edition(2025, 890), edition(2026)], tmp_path / "site", [bundle])
    return tmp_path / "site"


def test_every_page_is_whole_and_every_link_leads_somewhere_in_the_folder(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert [str(page.relative_to(site)) for page in pages] == [
        "en/S01.html", "en/index.html", "index.html", "zh/S01.html", "zh/index.html",
    ]  # fmt: skip
    for path in pages:
        page = Page(path)
        assert len(set(page.ids)) == len(page.ids)
        for link in (*page.links, *page.loads):
            file, _, fragment = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.is_file(), (path, link)
            assert site.resolve() in target.parents
            if fragment:
                assert fragment in Page(target).ids, link
        assert "://" not in path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "default-src 'none'" in path.read_text(encoding="utf-8")


def test_titles_of_a_catalogue_are_text_and_never_markup(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert "<script" not in path.read_text(encoding="utf-8")
    assert EVIL in Page(site / "en" / "S01.html").words


def test_both_languages_say_the_same_figures_and_what_they_are_not(site: Path) -> None:
    found = {}
    for language in LANGUAGES:
        page = (site / language / "S01.html").read_text(encoding="utf-8")
        word = words(language)
        found[language] = re.findall(r'class="(?:n|n small|big)">([^<]*)<', page)
        for said in ("not_official", "noise", "legend_uncertain", "legend_missing", "significant", "definition", "provenance"):
            assert word[said].lower() in page.lower(), said
    numbers = [[text for text in each if re.search(r"\d", text) and "%" not in text] for each in found.values()]
    assert [text.split(" ")[0] for text in numbers[0]] == [text.split(" ")[0] for text in numbers[1]]
    assert len(numbers[0]) == 13


def test_marks_a_gap_and_the_years_are_shown(site: Path) -> None:
    page = Page(site / "en" / "S01.html")
    assert "1,000 persons" in page.words
    assert "400 …" in page.words  # wide for its value
    assert "Tibet —" in page.words  # a tile's title
    assert "2024 → 2025-10" in page.words.replace("−", "-").replace(" ", " ")
    assert "not significant" in page.words
    assert json.loads((site / "figures.json").read_bytes())["year"] == 2026
    assert (site / "bundle.collegium").read_bytes() == b"proof"


def test_who_is_not_in_a_figure_stands_there_with_the_reason_in_words(site: Path) -> None:
    assert "c: not connected" in Page(site / "en" / "S01.html").words
    assert "c：未连接" in Page(site / "zh" / "S01.html").words


def test_a_single_year_has_no_trend_and_no_province_no_map(tmp_path: Path) -> None:
    made = edition()
    alone = made.leaves[0].model_copy(update={"provinces": dict.fromkeys(made.provinces, Estimate(mark="—"))})
    write_site([made.model_copy(update={"leaves": (alone, *made.leaves[1:])})], tmp_path)
    page = (tmp_path / "en" / "S01.html").read_text(encoding="utf-8")
    assert words("en")["trend"] not in page
    assert words("en")["no_province"] in page
    assert 'class="tile' not in page


def test_a_change_is_significant_where_it_exceeds_the_noise_of_both_years() -> None:
    one, other = changes([(2024, about(900, 40)), (2025, about(890, 40)), (2026, about(1000, 40)), (2027, Estimate(mark="—"))])
    assert (one.before, one.after, one.significant) == (2024, 2025, False)
    assert other.significant
    assert other.by.value == 110
    assert other.by.low == pytest.approx(110 - 40 * 2**0.5)


@pytest.mark.parametrize(
    ("figure", "value", "interval"),
    [
        (about(1234567.0, 800), "1,234,600", "1,233,800 – 1,235,400"),
        (about(97.325, 0.4), "97.3", "96.9 – 97.7"),
        (about(-4.0, 12), "−4 …", "−16 – 8"),
        (about(42.0, 0.0), "42", "42 – 42"),
        (Estimate(value=3.0, low=1.0, high=None, mark="…"), "3 …", "1 – ∞"),
        (Estimate(mark="—"), "—", "—"),
    ],
)
def test_numbers_have_the_digits_that_their_interval_supports(figure: Estimate, value: str, interval: str) -> None:
    assert (value_text(figure), interval_text(figure)) == (value, interval)


def test_an_edition_survives_its_file_and_says_what_is_wrong_with_another(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    made = edition()
    path.write_bytes(made.to_bytes())
    assert Edition.read(path) == made
    assert Edition.read(path).to_bytes() == made.to_bytes()
    for content, place in (
        (b"{}", "federation"),
        (b"x", "figures.json"),
        (made.to_bytes().replace(b'"year":2026', b'"year":"x"'), "year"),
    ):
        path.write_bytes(content)
        with pytest.raises(Invalid) as caught:
            Edition.read(path)
        assert place in str(caught.value.place)
    with pytest.raises(Invalid, match="no indicator") as caught:
        made.leaf("s01-001")
    assert "U-S01-001" in caught.value.remedy


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failed, match="cannot be written"):
        write_site([edition()], tmp_path / "file")
    other = edition().model_copy(update={"federation": "another"})
    with pytest.raises(Invalid, match="different"):
        write_site([other, edition()], tmp_path / "site")
