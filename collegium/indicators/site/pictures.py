"""Pictures as inline SVG: bars with error bars, tiles of provinces, a line over years. Drawn here, so that pages need no script.

Every picture has a title that says what is seen; what it shows stands in a table beside it, too. Colours come from the style sheet
by class, so that paper and dark screens work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from collegium.indicators.edition import Estimate
from collegium.indicators.site.numbers import interval_text, short_text, tick_texts, value_text
from collegium.indicators.site.words import Language
from collegium.tilegrid import CHARACTERS, COLUMNS, LETTERS, PROVINCES, ROWS

__all__ = ["bars", "line", "tiles"]

WIDTH = 460
LABEL = 112  # of a bar, to its left
FIGURE = 78  # of a bar, to its right
STEP = 24
TILE = 44
SHADES = 6


def bars(title: str, lines: Sequence[tuple[str, Estimate]], language: Language) -> str:
    """Horizontal bars with their intervals, in the order given."""
    shown = [(label, each) for label, each in lines if each.value is not None and each.mark != "—"]
    if not shown:
        return ""
    low, high = _range([each for _, each in shown])
    height = STEP * len(lines) + 26

    def x(value: float) -> float:
        return LABEL + (WIDTH - LABEL - FIGURE) * (min(max(value, low), high) - low) / (high - low)

    parts = [_open(WIDTH, height, title)]
    ticks = _ticks(low, high)
    for tick, text in zip(ticks, tick_texts(ticks, language), strict=True):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="0" y2="{height - 20}"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{height - 6}" text-anchor="middle">{text}</text>')
    for row, (label, each) in enumerate(lines):
        middle = row * STEP + STEP / 2
        parts.append(f'<text class="label" x="{LABEL - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(_cut(label))}</text>')
        if each.value is None or each.mark == "—":
            parts.append(f'<text x="{LABEL}" y="{middle + 4:.1f}">—</text>')
            continue
        start, end = sorted((x(0.0), x(each.value)))
        kind = "bar unsure" if each.mark else "bar"
        parts.append(f'<rect class="{kind}" x="{start:.1f}" y="{middle - 8:.1f}" width="{end - start:.1f}" height="16"/>')
        parts.append(
            _whisker(x(each.low if each.low is not None else low), x(each.high if each.high is not None else high), middle)
        )
        parts.append(f'<text x="{WIDTH - FIGURE + 8}" y="{middle + 4:.1f}">{short_text(each, language)}</text>')
    return "".join([*parts, "</svg>"])


def tiles(title: str, provinces: Mapping[str, Estimate], names: Mapping[str, str], language: Language) -> str:
    """One square a province; darker is more. A province without a figure is an empty square."""
    letters = CHARACTERS if language == "zh" else LETTERS
    values = [each.value for each in provinces.values() if each.value is not None and each.mark != "—"]
    if not values or not set(provinces) <= set(PROVINCES):
        return ""
    low, high = min(values), max(values)
    parts = [_open(COLUMNS * TILE, ROWS * TILE, title)]
    if high > low:
        parts += _scale([each for each in provinces.values() if each.value in (low, high) and each.mark != "—"], language)
    for code, (column, row) in PROVINCES.items():
        found = provinces.get(code, Estimate(mark="—"))
        name = names.get(code, code)
        at = f'x="{column * TILE + 1}" y="{row * TILE + 1}" width="{TILE - 2}" height="{TILE - 2}"'
        if found.value is None or found.mark == "—":
            parts.append(f'<g><title>{escape(name)} —</title><rect class="tile none" {at}/>')
        else:
            shade = 0 if high <= low else min(SHADES - 1, int(SHADES * (found.value - low) / (high - low)))
            parts.append(
                f"<g><title>{escape(name)}: {value_text(found)} ({interval_text(found)})</title>"
                f'<rect class="tile shade{shade}" {at}/>'
            )
            if found.mark:
                parts.append(f'<path class="hatch" d="{_hatch(column * TILE + 1, row * TILE + 1, TILE - 2)}"/>')
            ink = "light" if shade > SHADES // 2 else "dark"
            parts.append(
                f'<text class="figure {ink}" x="{column * TILE + TILE / 2:.0f}" y="{row * TILE + 34}" text-anchor="middle">'
                f"{short_text(found, language).removesuffix(' …')}</text>"
            )
        dark = found.value is not None and found.mark != "—" and shade > SHADES // 2
        parts.append(
            f'<text class="code {"light" if dark else "dark"}" x="{column * TILE + TILE / 2:.0f}" y="{row * TILE + 18}" '
            f'text-anchor="middle">{letters[code]}</text></g>'
        )
    return "".join([*parts, "</svg>"])


def line(title: str, points: Sequence[tuple[int, Estimate]], language: Language) -> str:
    """A figure over the years, with its intervals. Nothing for a single year."""
    shown = [(year, each) for year, each in points if each.value is not None and each.mark != "—"]
    if len(shown) < 2:
        return ""
    height, left, bottom = 180, 64, 24
    ends = [end for _, each in shown for end in (each.low, each.high, each.value) if end is not None]
    low, high = min(ends), max(ends)
    margin = (high - low) * 0.08 or abs(high) * 0.08 or 1.0
    low, high = low - margin, high + margin
    first, last = shown[0][0], shown[-1][0]

    def x(year: int) -> float:
        return left + (WIDTH - left - 30) * (year - first) / (last - first)

    def y(value: float) -> float:
        return 8 + (height - bottom - 8) * (high - value) / (high - low)

    parts = [_open(WIDTH, height, title)]
    ticks = _ticks(low, high)
    for tick, text in zip(ticks, tick_texts(ticks, language), strict=True):
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - 10}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{text}</text>')
    path = " ".join(f"{x(year):.1f},{y(each.value or 0.0):.1f}" for year, each in shown)
    parts.append(f'<polyline class="path" points="{path}"/>')
    for year, each in shown:
        top, under = (y(end) if end is not None else y(each.value or 0.0) for end in (each.high, each.low))
        parts.append(f'<line class="whisker" x1="{x(year):.1f}" x2="{x(year):.1f}" y1="{top:.1f}" y2="{under:.1f}"/>')
        parts.append(f'<circle class="point" cx="{x(year):.1f}" cy="{y(each.value or 0.0):.1f}" r="3.5"/>')
        parts.append(f'<text x="{x(year):.1f}" y="{height - 6}" text-anchor="middle">{year}</text>')
    return "".join([*parts, "</svg>"])


def _open(width: int, height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title>"
    )


def _whisker(start: float, end: float, middle: float) -> str:
    top = middle - 4
    return f'<path class="whisker" d="M{start:.1f} {middle:.1f}H{end:.1f}M{start:.1f} {top:.1f}v8M{end:.1f} {top:.1f}v8"/>'


def _hatch(x: int, y: int, side: int) -> str:
    steps = range(8, 2 * side, 8)
    return "".join(f"M{x + max(0, s - side)} {y + min(s, side)}L{x + min(s, side)} {y + max(0, s - side)}" for s in steps)


def _range(figures: Sequence[Estimate]) -> tuple[float, float]:
    """0 and the largest value; the intervals as far as twice the values' range, so that one wide interval hides nothing else."""
    values = [each.value for each in figures if each.value is not None]
    low, high = min(0.0, *values), max(0.0, *values)
    reach = (high - low) or 1.0
    ends = [end for each in figures for end in (each.low, each.high) if end is not None]
    low, high = max(min([low, *ends]), low - reach * 0.5), min(max([high, *ends]), high + reach)
    return low, high if high > low else low + 1.0  # all are exactly 0


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers within the range."""
    raw = (high - low) / 5
    size = 10 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= raw)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def _scale(ends: Sequence[Estimate], language: Language) -> list[str]:
    """What the shades mean, in the empty upper left corner: from the smallest value to the largest."""
    ordered = sorted(ends, key=lambda each: each.value or 0.0)
    least, most = (short_text(each, language).removesuffix(" …") for each in (ordered[0], ordered[-1]))
    parts = [f'<rect class="shade{shade}" x="{1 + 22 * shade}" y="8" width="20" height="10"/>' for shade in range(SHADES)]
    parts.append(f'<text x="1" y="32">{least}</text>')
    parts.append(f'<text x="{22 * SHADES - 1}" y="32" text-anchor="end">{most}</text>')
    return parts


def _cut(label: str) -> str:
    """As much of a label as there is room for; Chinese characters are twice as wide."""
    room = LABEL - 12.0
    for place, character in enumerate(label):
        room -= 12.0 if ord(character) > 0x2E7F else 6.6
        if room < 0:
            return label[: place - 1] + "…"
    return label
