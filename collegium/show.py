"""Answers on a terminal: tables with intervals, then coverage, cost and guarantee, in words.

What is shown is decided from noisy figures alone. A missing value is a dash with its reason, never a zero.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from decimal import Decimal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from collegium.answer import Answer, TableView
from collegium.overlap import overlap_notes
from collegium.table import MODELS, Figure, MeasureInfo, Row
from collegium.wording import CHOICE, FOOTER, NOISE_IN, WORDS

__all__ = [
    "WORDS",
    "as_text",
    "choice_notes",
    "cost_text",
    "figure_text",
    "footer",
    "interval_text",
    "model_text",
    "place_text",
    "renderable",
    "sum_notes",
    "tables",
    "tables_text",
    "unit_text",
]

MARKS = {"reliable": "", "caution": " ~", "unreliable": " …", None: ""}
MAX_ROWS = 200


def as_text(answer: Answer, *, width: int = 100) -> str:
    """The answer as plain text."""
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None, legacy_windows=False, force_jupyter=False).print(renderable(answer))
    return buffer.getvalue().rstrip("\n")


def renderable(answer: Answer) -> RenderableType:
    """Everything a person wants to see of an answer."""
    parts: list[RenderableType] = []
    if not answer.verified.figures:
        parts.append(Text(WORDS[answer.language]["no figure"]))
    else:
        parts += [_with_notes(view, answer.language) for view in (*answer.tables, *answer.quotients)]
    parts.append(footer(answer))
    return Group(*parts)


def tables(views: Sequence[TableView], notes: Sequence[str], language: str) -> RenderableType:
    """Tables with sentences below, without anything that only a signed answer has."""
    return Group(*(_with_notes(view, language) for view in views), Text("\n".join(notes), style="dim"))


def tables_text(views: Sequence[TableView], notes: Sequence[str], language: str, *, width: int = 100) -> str:
    """The same as plain text."""
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None, legacy_windows=False, force_jupyter=False).print(
        tables(views, notes, language)
    )
    return buffer.getvalue().rstrip("\n")


def figure_text(figure: Figure, info: MeasureInfo) -> str:
    """The value with its marks, rounded to what its error supports; a dash when there is none."""
    if figure.value is None:
        return "—"
    return _rounded(figure.value, figure, info) + (" *" if figure.significant else "") + MARKS[figure.mark]


def model_text(figure: Figure, info: MeasureInfo) -> str:
    """The standard error of a regression as of a sample."""
    return "—" if figure.model_error is None else f"± {_rounded(figure.model_error, figure, info)}"


def place_text(row: Row) -> str:
    """The places that an ordered row may have: "1", or "2–5"."""
    if row.rank is None:
        return ""
    best, worst = row.rank
    return str(best) if best == worst else f"{best}–{worst}"


def choice_notes(view: TableView) -> list[str]:
    """What HAVING, ORDER BY and LIMIT did to this table, and what its marks mean. Nothing where there is nothing to say."""
    table, words = view.figures.table, CHOICE[view.language]
    notes = []
    selection = table.selection
    if selection is not None:
        if selection.kept < selection.of:
            notes.append(words["kept"].format(selection.kept, selection.of))
        if selection.shown < selection.kept:
            notes.append(words["shown"].format(selection.shown, selection.kept))
            if selection.contenders is not None:
                notes.append(words["contenders"].format(selection.contenders) if selection.contenders else words["clear"])
    for info in table.measures:
        if info.clip is not None:
            unit = f" {info.unit}" if info.unit else ""
            notes.append(words["clip"].format(info.label, *(f"{Decimal(end):,f}" for end in info.clip), unit))
    if any(row.unsure for row in table.rows):
        notes.append(words["unsure"])
    if any(row.rank is not None for row in table.rows):
        notes.append(words["place"])
    tested = [figure.significant for row in table.rows for figure in row.figures if figure.significant is not None]
    if tested:
        notes.append(words["significant" if any(tested) else "not significant"])
    if any(info.kind in MODELS for info in table.measures):
        notes.append(words["model"])
    return notes


def _with_notes(view: TableView, language: str) -> RenderableType:
    notes = choice_notes(view)
    return Group(_grid(view, language), Text("\n".join(notes), style="dim")) if notes else _grid(view, language)


def unit_text(info: MeasureInfo, language: str) -> str:
    """What follows the title of a measure: " %", " (CNY a month)" or nothing."""
    unit = info.unit_in(language)
    return f" {unit}" if unit == "%" else f" ({unit})" if unit else ""


def interval_text(figure: Figure, info: MeasureInfo, language: str = "en") -> str:
    """The interval; an open upper end is shown as such."""
    if figure.low is None and figure.high is None:
        return "—"
    low = _rounded(figure.low, figure, info) if figure.low is not None else "−∞"
    high = _rounded(figure.high, figure, info) if figure.high is not None else "∞"
    return f"{low}{WORDS[language]['to']}{high}"


def _grid(view: TableView, language: str) -> Grid:
    words = WORDS[language]
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for key in view.headings:
        grid.add_column(key)
    shown = view.shown()
    ranked, unsure = any(row.rank for _, row in shown), any(row.unsure for _, row in shown)
    if ranked:
        grid.add_column(words["place"], justify="right")
    if unsure:
        grid.add_column(words["unsure"], justify="center")
    for info in view.figures.table.measures:
        unit = unit_text(info, language)
        for label in info.bins or [""]:
            grid.add_column(f"{info.label} {label}".strip() + unit, justify="right")
            grid.add_column(words["interval"], justify="right", style="dim")
            if info.kind in MODELS:
                grid.add_column(words["model"], justify="right", style="dim", overflow="fold")
    for group, row in shown[:MAX_ROWS]:
        cells = view.labels(group, row)
        cells += [place_text(row)] if ranked else []
        cells += ["?" if row.unsure else ""] if unsure else []
        for info, figure in zip(view.figures.table.measures, row.figures, strict=True):
            for part in (figure.bins or [figure] * len(info.bins)) if info.bins else [figure]:
                cells += [figure_text(part, info), interval_text(part, info, language)]
                cells += [model_text(part, info)] if info.kind in MODELS else []
        grid.add_row(*cells, style="bold" if view.figures.table.facts and group.facts == {} else None)
    if len(shown) > MAX_ROWS:
        grid.caption = words["more"].format(len(shown) - MAX_ROWS)
    return grid


def cost_text(cost: Mapping[str, int], epsilon: Mapping[str, float], titles: Mapping[str, str], language: str) -> str:
    """What one person of each privacy unit pays: nano-rho, as epsilon, and what the unit is called."""
    words = FOOTER[language]["a unit"]
    return ", ".join(words.format(Decimal(rho) / 10**9, epsilon[unit], titles[unit]) for unit, rho in cost.items())


def sum_notes(answer: Answer) -> list[str]:
    """Of national sums: over how many universities, on whose honesty they rest, and what a bundle does not hold of them."""
    words, notes = FOOTER[answer.language], []
    for view, figures in zip(answer.views, answer.verified.figures, strict=True):
        rounds = figures.rounds
        if not rounds:
            continue
        label = view.measures[0] if len(answer.views) > 1 else "national" if answer.language == "en" else "全国"
        trustees = ", ".join(dict.fromkeys(each.trustee for round_ in rounds for each in round_.plan.trustees))
        counts = [each.result.count for each in rounds]
        if len(rounds) == 1:
            notes.append(words["sum"].format(label, counts[0], rounds[0].result.honest, trustees))
        else:
            spare = min(each.result.count - each.result.honest for each in rounds)
            notes.append(words["sums"].format(label, len(rounds), min(counts), max(counts), spare, trustees))
        earlier = sorted({each.plan.request[:12] for each in rounds if each.plan.request != answer.id})
        if earlier:
            notes.append(words["earlier sum"].format(label, ", ".join(earlier)))
    return [*notes, words["unseen"]] if notes else []


def footer(answer: Answer) -> Text:
    """Coverage, what is missing, cost and guarantee, one sentence a line."""
    language = answer.language
    words = FOOTER[language]
    text = Text()
    if answer.verified.figures:
        coverage = answer.coverage
        known = coverage.enrolment_asked
        share = words["enrolment"].format(coverage.enrolment_answered / known) if known else ""
        text.append(words["coverage"].format(coverage.answered, coverage.asked) + share + "\n")
    for note in (note for view in answer.views for note in overlap_notes(view)):
        text.append(note + "\n")
    for note in sum_notes(answer):
        text.append(note + "\n")
    for node, reason in answer.missing.items():
        text.append(words["missing"].format(node, reason) + "\n", style="yellow")
    for figures in answer.verified.figures:
        if figures.withdrawn:
            text.append(words["withdrawn"].format(", ".join(figures.withdrawn)) + "\n", style="red")
    titles = {unit: answer.registry.schema.units[unit].title.get("zh") if language == "zh" else unit for unit in answer.cost}
    cost = cost_text(answer.cost, answer.epsilon, titles, language)
    text.append(words["free" if answer.free else "cost"].format(cost) + "\n")
    text.append(answer.guarantee + "\n", style="dim")
    text.append(f"{NOISE_IN[language]} {words['marks'].format(answer.verified.signatures)}\n", style="dim")
    text.append(words["request"].format(answer.id[:12]), style="dim")
    return text


def _rounded(value: str, figure: Figure, info: MeasureInfo) -> str:
    """Two significant digits of the error decide the decimals: more would be noise shown as knowledge."""
    number = Decimal(value)
    percent = info.percent
    scale = Decimal(100) if percent else Decimal(1)
    if not number.is_finite():
        return "∞" if number > 0 else "−∞"
    error = Decimal(figure.error) * scale if figure.error is not None else None
    natural = info.decimals or 0
    if error is not None and error > 0 and error.is_finite():
        places = max(0, 1 - error.adjusted())
    else:
        places = natural if not percent else 1
    if info.kind in ("value", "histogram"):
        places = min(places, natural)
    else:
        places = min(places, max(natural, 0) + 6)
    text = f"{number * scale:,.{places}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.,") else text  # no minus before a zero
