"""Answers on a terminal: tables with intervals, then coverage, cost and guarantee, in words.

What is shown is decided from noisy figures alone. A missing value is a dash with its reason, never a zero.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from decimal import Decimal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from collegium.answer import NOISE, Answer, TableView
from collegium.table import Figure, MeasureInfo

__all__ = ["as_text", "figure_text", "footer", "interval_text", "renderable", "tables", "tables_text"]

MARKS = {"reliable": "", "caution": " ~", "unreliable": " …", None: ""}
MAX_ROWS = 200
WORDS = {
    "en": {"interval": "95 % interval", "missing": "missing", "cost": "cost", "coverage": "coverage", "request": "request"},
    "zh": {"interval": "95% 置信区间", "missing": "缺失", "cost": "隐私成本", "coverage": "覆盖", "request": "请求"},
}


def as_text(answer: Answer, *, width: int = 100) -> str:
    """The answer as plain text."""
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None, legacy_windows=False, force_jupyter=False).print(renderable(answer))
    return buffer.getvalue().rstrip("\n")


def renderable(answer: Answer) -> RenderableType:
    """Everything a person wants to see of an answer."""
    parts: list[RenderableType] = []
    if not answer.verified.figures:
        parts.append(Text("There is no figure yet."))
    else:
        parts += [_grid(view, answer.language) for view in answer.tables]
    parts.append(footer(answer))
    return Group(*parts)


def tables(views: Sequence[TableView], notes: Sequence[str], language: str) -> RenderableType:
    """Tables with sentences below, without anything that only a signed answer has."""
    return Group(*(_grid(view, language) for view in views), Text("\n".join(notes), style="dim"))


def tables_text(views: Sequence[TableView], notes: Sequence[str], language: str, *, width: int = 100) -> str:
    """The same as plain text."""
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None, legacy_windows=False, force_jupyter=False).print(
        tables(views, notes, language)
    )
    return buffer.getvalue().rstrip("\n")


def figure_text(figure: Figure, info: MeasureInfo) -> str:
    """The value with its mark, rounded to what its error supports; a dash when there is none."""
    if figure.value is None:
        return "—"
    return _rounded(figure.value, figure, info) + MARKS[figure.mark]


def interval_text(figure: Figure, info: MeasureInfo) -> str:
    """The interval; an open upper end is shown as such."""
    if figure.low is None and figure.high is None:
        return "—"
    low = _rounded(figure.low, figure, info) if figure.low is not None else "−∞"
    high = _rounded(figure.high, figure, info) if figure.high is not None else "∞"
    return f"{low} to {high}"


def _grid(view: TableView, language: str) -> Grid:
    words = WORDS[language]
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for key in view.keys:
        grid.add_column(key)
    for info in view.figures.table.measures:
        unit = " %" if info.kind == "share" else f" ({info.unit})" if info.unit else ""
        for label in info.bins or [""]:
            grid.add_column(f"{info.label} {label}".strip() + unit, justify="right")
            grid.add_column(words["interval"], justify="right", style="dim")
    shown = view.shown()
    for group, row in shown[:MAX_ROWS]:
        cells = view.labels(group, row)
        for info, figure in zip(view.figures.table.measures, row.figures, strict=True):
            for part in (figure.bins or [figure] * len(info.bins)) if info.bins else [figure]:
                cells += [figure_text(part, info), interval_text(part, info)]
        grid.add_row(*cells, style="bold" if view.figures.table.facts and group.facts == {} else None)
    if len(shown) > MAX_ROWS:
        grid.caption = f"{len(shown) - MAX_ROWS} more rows; see them with --csv or --json"
    return grid


def footer(answer: Answer) -> Text:
    """Coverage, what is missing, cost and guarantee, one sentence a line."""
    words = WORDS[answer.language]
    text = Text()
    if answer.verified.figures:
        coverage = answer.coverage
        share = (
            f", {coverage.enrolment_answered / coverage.enrolment_asked:.0%} of known enrolment" if coverage.enrolment_asked else ""
        )
        text.append(f"{words['coverage']}: {coverage.answered} of {coverage.asked} universities{share}\n")
    for node, reason in answer.missing.items():
        text.append(f"{words['missing']}: {node}: {reason}\n", style="yellow")
    for figures in answer.verified.figures:
        if figures.withdrawn:
            text.append(f"withdrawn since: {', '.join(figures.withdrawn)}. Fetch the result again.\n", style="red")
    cost = ", ".join(
        f"rho {Decimal(rho) / 10**9} = epsilon {answer.epsilon[unit]:.4g} a {unit} at each university"
        for unit, rho in answer.cost.items()
    )
    text.append(f"{words['cost']}: {'nothing, it was asked before (first time: ' + cost + ')' if answer.free else cost}\n")
    text.append(answer.guarantee + "\n", style="dim")
    text.append(f"{NOISE} ~ caution, … unreliable. {answer.verified.signatures} signatures verified.\n", style="dim")
    text.append(f"{words['request']}: {answer.id[:12]}", style="dim")
    return text


def _rounded(value: str, figure: Figure, info: MeasureInfo) -> str:
    """Two significant digits of the error decide the decimals: more would be noise shown as knowledge."""
    number = Decimal(value)
    percent = info.kind == "share"
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
    return f"{number * scale:,.{places}f}"
