"""One indicator on a terminal, or as a tree for machines: the national figure, and by province, discipline or year."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text as Line

from collegium.indicators.changes import changes
from collegium.indicators.edition import Edition, Estimate, LeafFigures
from collegium.indicators.site.frame import coverage_text
from collegium.indicators.site.numbers import interval_text, number, places, value_text
from collegium.indicators.site.words import Language, words
from collegium.wording import reason_text

__all__ = ["indicator_tree", "show_indicator"]

BAR = 24  # characters


def show_indicator(editions: Sequence[Edition], leaf: LeafFigures, by: str, language: str) -> None:
    """Print it. `by` is "", province, discipline or year."""
    tongue: Language = "zh" if language == "zh" else "en"
    word, edition = words(tongue), editions[-1]
    console = Console(highlight=False)
    console.print(Line(f"{leaf.id} {leaf.title.get(tongue)}{word['pause']}{edition.year}", style="bold"))
    unit = leaf.unit.get(tongue)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(word.get(by, ""))
    table.add_column(f"{word['value']} ({unit})", justify="right")
    table.add_column(word["interval"], justify="right")
    table.add_column("", no_wrap=True)
    lines = _lines(editions, leaf, by, tongue)
    parts = lines if by == "year" else lines[1:]
    most = max((abs(each.value) for _, each in parts if each.value is not None), default=0.0)
    for place, (label, each) in enumerate(lines):
        drawn = by == "year" or place > 0  # beside its parts a total says nothing
        table.add_row(label, value_text(each), interval_text(each), _bar(each, most) if by and drawn else "")
    console.print(table)
    if by == "year":
        for change in changes([(each.year, one.national) for each, one in _years(editions, leaf)]):
            verdict = word["significant"] if change.significant else word["not_significant"]
            sign = "+" if (change.by.value or 0.0) > 0 else ""
            text = f"{sign}{number(change.by.value, places(change.by))} ({interval_text(change.by)}) · {verdict}"
            console.print(f"{change.before} → {change.after}{word['colon']}{text}")
    above = word["counted"] if leaf.denominator is None else word["numerator"]
    console.print(f"{above}{word['colon']}{leaf.numerator.get(tongue)}", style="dim")
    if leaf.denominator is not None:
        console.print(f"{word['denominator']}{word['colon']}{leaf.denominator.get(tongue)}", style="dim")
    console.print(f"{word['reference']}{word['colon']}{leaf.period.get(tongue)}", style="dim")
    console.print(f"{word['coverage']}{word['colon']}{coverage_text(leaf.coverage, tongue)}", style="dim")
    for missing in leaf.coverage.missing[:20]:
        console.print(f"  {missing.node}{word['colon']}{reason_text(missing.reason, tongue)}", style="dim")
    console.print(f"{word['noise']} · {word['not_official']} · {word['legend_uncertain']} · {word['legend_missing']}", style="dim")


def indicator_tree(editions: Sequence[Edition], leaf: LeafFigures, by: str) -> dict[str, Any]:
    """The same as a plain tree."""
    edition = editions[-1]
    tree: dict[str, Any] = leaf.model_dump(mode="json", exclude={"provinces"})
    tree |= {"year": edition.year, "request": edition.requests[0], "note": edition.note.en}
    if by == "province":
        tree["provinces"] = {code: each.model_dump(mode="json") for code, each in leaf.provinces.items()}
    if by == "discipline":
        tree["disciplines"] = {
            each.discipline: {"id": each.id, **each.national.model_dump(mode="json")} for each in edition.by_discipline(leaf)
        }
    if by == "year":
        found = [(each.year, one.national) for each, one in _years(editions, leaf)]
        tree["years"] = {str(year): each.model_dump(mode="json") for year, each in found}
        tree["changes"] = [
            {"before": each.before, "after": each.after, "significant": each.significant, **each.by.model_dump(mode="json")}
            for each in changes(found)
        ]
    return tree


def _lines(editions: Sequence[Edition], leaf: LeafFigures, by: str, language: Language) -> list[tuple[str, Estimate]]:
    edition, word = editions[-1], words(language)
    lines = [(word["nation"], leaf.national)]
    if by == "province":
        lines += [(edition.provinces[code].get(language), each) for code, each in leaf.provinces.items()]
    elif by == "discipline":
        lines += [(edition.disciplines[each.discipline].get(language), each.national) for each in edition.by_discipline(leaf)]
    elif by == "year":
        lines = [(str(each.year), one.national) for each, one in _years(editions, leaf)]
    return lines


def _years(editions: Sequence[Edition], leaf: LeafFigures) -> list[tuple[Edition, LeafFigures]]:
    return [(each, each.by_id[leaf.id]) for each in editions if leaf.id in each.by_id]


def _bar(figure: Estimate, most: float) -> str:
    if figure.value is None or figure.mark == "—" or most <= 0:
        return ""
    return ("░" if figure.mark else "█") * round(BAR * abs(figure.value) / most)
