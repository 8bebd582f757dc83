"""How an answer shows itself in a notebook: the table with an error bar in every row, provinces as tiles, and what must be known.

Plain HTML and SVG without script, so that it shows in every notebook, offline, in print and after the kernel is gone. `chart()` and
`map()` give the same as Altair objects, to look at more closely and to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from collegium.chart import COLOURS, map_spec
from collegium.show import choice_notes, figure_text, interval_text, model_text, place_text, unit_text
from collegium.table import MODELS, Figure, MeasureInfo
from collegium.tilegrid import COLUMNS, ROWS
from collegium.wording import WORDS

if TYPE_CHECKING:
    from collegium.answer import TableView
    from collegium.present import Presentable

__all__ = ["html_of"]

MAX_ROWS = 200
BAR = 150  # pixels
TILE = 40
MAX_MAPS = 3
CELL = 'style="text-align:right;padding:2px 8px"'
KEY = 'style="text-align:left;padding:2px 8px"'


def html_of(answer: Presentable) -> str:
    """One table a question, each with its tiles where it is by provinces, and the notes below."""
    parts = []
    for view in (*answer.views, *answer.quotients):
        parts.append(_table(view))
        measures = list(enumerate(view.figures.table.measures))[:MAX_MAPS]
        parts += [_tiles(spec, info, view.language) for number, info in measures if (spec := map_spec(view, number))]
    notes = "".join(f"<div>{escape(line)}</div>" for line in answer.notes)
    return f'<div style="font-size:13px">{"".join(parts)}<div style="color:#555;margin-top:6px">{notes}</div></div>'


def _table(view: TableView) -> str:
    measures = view.figures.table.measures
    words = WORDS[view.language]
    heads = "".join(f"<th {KEY}>{escape(key)}</th>" for key in view.headings)
    shown = view.shown()
    ranked, unsure = any(row.rank for _, row in shown), any(row.unsure for _, row in shown)
    heads += "".join(f"<th {CELL}>{words[name]}</th>" for name, there in (("place", ranked), ("unsure", unsure)) if there)
    for info in measures:
        unit = unit_text(info, view.language)
        for label in info.bins or ("",):
            title = escape(f"{info.label} {label}".strip() + unit)
            heads += f"<th {CELL}>{title}</th><th {CELL}>{words['interval']}</th><th></th>"
            heads += f"<th {CELL}>{words['model']}</th>" if info.kind in MODELS else ""
    whole = [bool(view.figures.table.facts) and group.facts == {} for group, _ in shown]
    cells = [
        [part for info, figure in zip(measures, row.figures, strict=True) for part in _parts(info, figure)] for _, row in shown
    ]
    scales = [
        _scale([line[place] for line, skip in zip(cells, whole, strict=True) if not skip])
        for place in range(len(cells[0]) if cells else 0)
    ]
    infos = [info for info in measures for _ in info.bins or ("",)]
    lines = []
    for (group, row), figures, skip in list(zip(shown, cells, whole, strict=True))[:MAX_ROWS]:
        line = "".join(f"<td {KEY}>{escape(label)}</td>" for label in view.labels(group, row))
        line += f"<td {CELL}>{place_text(row)}</td>" if ranked else ""
        line += f"<td {CELL}>{'?' if row.unsure else ''}</td>" if unsure else ""
        for info, figure, scale in zip(infos, figures, scales, strict=True):
            interval = escape(interval_text(figure, info, view.language))
            line += f"<td {CELL}>{escape(figure_text(figure, info))}</td><td {CELL}>{interval}</td>"
            line += f"<td>{'' if skip else _bar(figure, scale)}</td>"
            line += f"<td {CELL}>{escape(model_text(figure, info))}</td>" if info.kind in MODELS else ""
        lines.append(f"<tr{' style=font-weight:bold' if skip else ''}>{line}</tr>")
    more = f"<div>{len(shown) - MAX_ROWS} more rows: see rows()</div>" if len(shown) > MAX_ROWS else ""
    more += "".join(f'<div style="color:#555">{escape(note)}</div>' for note in choice_notes(view))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>{more}"


def _parts(info: MeasureInfo, figure: Figure) -> Sequence[Figure]:
    if info.bins is None:
        return [figure]
    return figure.bins or [Figure(reason=figure.reason)] * len(info.bins)


def _scale(figures: Sequence[Figure]) -> tuple[float, float]:
    """From the smallest end, or zero, to the largest: one scale for a column."""
    ends = [float(text) for each in figures for text in (each.value, each.low, each.high) if text is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    return low, high if high > low else low + 1


def _bar(figure: Figure, scale: tuple[float, float]) -> str:
    """The interval as a line, the value as a point. An end that is open goes to the edge."""
    if figure.value is None:
        return ""

    def at(text: str | None, default: float) -> float:
        number = default if text is None else float(text)
        return 4 + (BAR - 8) * min(1.0, max(0.0, (number - scale[0]) / (scale[1] - scale[0])))

    low, value, high = at(figure.low, scale[0]), at(figure.value, scale[0]), at(figure.high, scale[1])
    colour = COLOURS.get(figure.mark or "", "#a9a9a9")
    return (
        f'<svg width="{BAR}" height="14" role="img"><line x1="{low:.1f}" x2="{high:.1f}" y1="7" y2="7" stroke="{colour}" '
        f'stroke-width="2"/><circle cx="{value:.1f}" cy="7" r="3.5" fill="{colour}"/></svg>'
    )


def _tiles(spec: dict[str, object], info: MeasureInfo, language: str) -> str:
    """The tile grid as SVG: the darker, the larger; grey has no figure."""
    data = spec["data"]
    assert isinstance(data, dict)
    tiles = data["values"]
    values = [tile["value"] for tile in tiles if tile["value"] is not None]
    if not values:
        return ""
    low, high = min(0.0, *values), max(values)
    drawn = []
    for tile in tiles:
        x, y = tile["column"] * TILE, tile["row"] * TILE
        depth = None if tile["value"] is None else (tile["value"] - low) / (high - low) if high > low else 1.0
        fill = "#eeeeee" if depth is None else _blue(depth)
        ink = "white" if depth is not None and depth > 0.55 else "#333"
        said = f"{tile['key']}: —" if depth is None else f"{tile['key']}: {tile['value']:,.4g}"
        drawn.append(
            f'<g><title>{escape(said)}</title><rect x="{x}" y="{y}" width="{TILE - 3}" height="{TILE - 3}" rx="3" fill="{fill}"/>'
            f'<text x="{x + TILE / 2 - 1.5}" y="{y + TILE / 2 + 3}" font-size="10" text-anchor="middle" fill="{ink}">'
            f"{escape(tile['short'])}</text></g>"
        )
    unit = f" {info.unit_in(language)}"
    caption = f"{info.label}: {low:,.4g} – {high:,.4g}{unit}".rstrip()
    size = f'width="{COLUMNS * TILE}" height="{ROWS * TILE}" role="img"'
    style = "margin:8px 24px 0 0;display:inline-block"
    return f'<div style="{style}"><div>{escape(caption)}</div><svg {size}>{"".join(drawn)}</svg></div>'


def _blue(depth: float) -> str:
    """From pale to dark."""
    pale, dark = (222, 235, 247), (8, 48, 107)
    return "#" + "".join(f"{round(a + (b - a) * depth):02x}" for a, b in zip(pale, dark, strict=True))
