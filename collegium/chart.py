"""Charts of a table as Vega-Lite: points with error bars, and provinces as tiles. Plain trees; Altair makes objects of them.

Drawn from the published table alone. An interval is always drawn with its point; what has no value is not drawn as a zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collegium.combine import JOINED
from collegium.schema import UNKNOWN
from collegium.table import Coverage, Figure, MeasureInfo
from collegium.tilegrid import LETTERS, PROVINCES, fits
from collegium.view import FactColumn, GroupColumn

if TYPE_CHECKING:
    from collegium.answer import TableView

__all__ = ["MAX_POINTS", "chart_spec", "map_spec", "points", "points_spec"]

VEGA_LITE = "https://vega.github.io/schema/vega-lite/v6.json"  # the name of the format; nothing is fetched
MAX_POINTS = 60
COLOURS = {"reliable": "#1f4e79", "caution": "#c27c0e", "unreliable": "#a9a9a9"}
WORDS = {
    "en": {
        "noise": "Bars are 95 % intervals. Contains privacy noise; not an official statistic.",
        "coverage": "{} of {} universities.",
        "first": "The first {} of {} points.",
        "language": "en",
        "mark": "figure is",
    },
    "zh": {
        "noise": "误差线为 95% 置信区间。含隐私噪声，非法定统计。",
        "coverage": "{}/{} 所高校。",
        "first": "前 {} 个点，共 {} 个。",
        "language": "zh",
        "mark": "可靠性",
    },
}


def points(view: TableView, number: int) -> list[dict[str, Any]]:
    """One dict a point of measure `number`: key, series, value, low, high, mark. Shares and their differences in per cent.

    With keys k1, k2, ...: `key` is the last one's label and `series` those of the others. The row of all universities is left out
    where the table is by facts: beside a sum of everything its parts cannot be read.
    """
    info = view.figures.table.measures[number]
    found = []
    for group, row in view.shown():
        if view.figures.table.facts and group.facts == {}:
            continue
        labels = view.labels(group, row)
        figure = row.figures[number]
        pairs = [(None, figure)] if info.bins is None else list(zip(info.bins, figure.bins or (), strict=False))
        for bin_label, part in pairs:
            if part.value is None:
                continue
            keys = labels if bin_label is None else [*labels, bin_label]
            found.append({"key": keys[-1] if keys else info.label, "series": ", ".join(keys[:-1]), **_numbers(part, info)})
    return found


def chart_spec(view: TableView, number: int = 0) -> dict[str, Any]:
    """A Vega-Lite chart of one measure: a point and its error bar for each row, one panel a series, at most 60 points in all."""
    info = view.figures.table.measures[number]
    return points_spec(points(view, number), info, view.coverage, view.language)


def points_spec(data: list[dict[str, Any]], info: MeasureInfo, coverage: Coverage, language: str) -> dict[str, Any]:
    """The chart of such points as `points` gives. Whole numbers, as years, lie along a line and in their order."""
    words = WORDS[language]
    count = len(data)
    along = _whole_numbers([each["key"] for each in data])
    if along:
        data = [each for each in data if each["key"] != UNKNOWN]
    data = data[:MAX_POINTS]
    order = list(dict.fromkeys(each["key"] for each in data))
    if along:
        order.sort(key=int)
    scale = {"zero": info.kind in ("value", "histogram", "share", "proportion", "ratio")}
    amount = {"type": "quantitative", "title": _title(info, words), "scale": scale}
    axis = {"labelAngle": 0, "labelLimit": 260, "labelOverlap": along}
    key = {"field": "key", "type": "ordinal", "title": None, "sort": order, "axis": axis}
    colour = {
        "field": "mark",
        "type": "nominal",
        "title": words["mark"],
        "scale": {"domain": list(COLOURS), "range": list(COLOURS.values())},
    }
    across, down = ("x", "y") if along else ("y", "x")
    value = {down: {"field": "value", **amount}}
    ends = {down: {"field": "low", **amount}, f"{down}2": {"field": "high"}}
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": ends},
        {"mark": {"type": "point", "filled": True, "size": 60}, "encoding": value},
    ]
    if along:
        layers.insert(0, {"mark": {"type": "line"}, "encoding": {**value, "color": {"value": "#9db4c8"}}})
    shared = {
        across: key,
        "color": colour,
        "tooltip": [{"field": name} for name in ("series", "key", "value", "low", "high", "mark")],
    }
    inner: dict[str, Any] = {"layer": layers, "encoding": shared, "width": 420}
    spec: dict[str, Any] = {
        "$schema": VEGA_LITE,
        "title": {"text": info.label, "subtitle": _subtitle(coverage, words, count), "anchor": "start"},
        "data": {"values": data},
    }
    if any(each["series"] for each in data):
        facet = {"field": "series", "type": "nominal", "title": None, "header": {"labelAnchor": "start"}}
        return spec | {"facet": facet, "columns": 1, "spec": inner}
    return spec | inner


def map_spec(view: TableView, number: int = 0) -> dict[str, Any] | None:
    """A tile for each province, its colour the value; None where the table is not by one key whose codes are provinces.

    None as well where provinces stand together in one group of a national sum: their tiles would look as if nobody had answered.
    """
    labels = _provinces(view)
    if labels is None or view.figures.table.measures[number].bins is not None:
        return None
    if any(JOINED in code for code, _ in _by_code(view, number)):
        return None
    info, words = view.figures.table.measures[number], WORDS[view.language]
    found = {code: figure for code, figure in _by_code(view, number) if code in PROVINCES}
    data: list[dict[str, Any]] = []
    for code, label in labels.items():
        column, line = PROVINCES[code]
        figure = found.get(code, Figure())
        short = _short_name(label) if view.language == "zh" and not label.isascii() else LETTERS[code]
        tile = {"column": column, "row": line, "code": code, "key": label, "short": short}
        data.append(tile | _numbers(figure, info))
    place = {"type": "ordinal", "axis": None}
    position = {"x": {"field": "column", **place}, "y": {"field": "row", **place}}
    amount = {"type": "quantitative", "title": _title(info, words), "scale": {"scheme": "blues", "zero": True}}
    square = {"type": "rect", "stroke": "white", "strokeWidth": 3}
    most = max((tile["value"] for tile in data if tile["value"] is not None), default=0.0)
    ink = {"condition": {"test": f"datum.value !== null && datum.value > {0.6 * most}", "value": "white"}, "value": "#333333"}
    tooltip = [{"field": name} for name in ("key", "value", "low", "high", "mark")]
    return {
        "$schema": VEGA_LITE,
        "title": {"text": info.label, "subtitle": _subtitle(view.coverage, words, 0), "anchor": "start"},
        "data": {"values": data},
        "width": {"step": 46},
        "height": {"step": 46},
        "layer": [
            {"mark": {**square, "fill": "#eeeeee"}, "encoding": position},
            {
                "transform": [{"filter": "datum.value !== null"}],
                "mark": square,
                "encoding": position | {"color": {"field": "value", **amount}, "tooltip": tooltip},
            },
            {"mark": {"type": "text", "fontSize": 10}, "encoding": position | {"text": {"field": "short"}, "color": ink}},
        ],
        "config": {"view": {"stroke": None}},
    }


def _provinces(view: TableView) -> dict[str, str] | None:
    """Code to label of the provinces that the table has one row each of, None if it is not such a table."""
    keys = [column for column in view.figures.view.columns if isinstance(column, GroupColumn | FactColumn)]
    if len(keys) != 1:
        return None
    schema = view.registry.schemas[view.figures.question.schema_id]
    name = keys[0].group if isinstance(keys[0], GroupColumn) else keys[0].fact
    fact, column = schema.facts.get(name), schema.datasets[view.figures.question.dataset].columns.get(name)
    codes = fact.codes if fact is not None else column.codes if column is not None else None
    if codes is None:
        return None
    listed = schema.codes[codes]
    known = {code: text.get(view.language) for code, text in listed.items() if code in PROVINCES}
    return known if fits(known) and len(listed) - len(known) <= 1 else None  # one more may stand for "abroad"


def _by_code(view: TableView, number: int) -> list[tuple[str, Figure]]:
    return [(view.labels(group, row, titles=False)[0], row.figures[number]) for group, row in view.shown()]


def _numbers(figure: Figure, info: MeasureInfo) -> dict[str, Any]:
    scale = 100 if info.percent else 1

    def number(text: str | None) -> float | None:
        return None if text is None else float(text) * scale

    return {"value": number(figure.value), "low": number(figure.low), "high": number(figure.high), "mark": figure.mark}


def _title(info: MeasureInfo, words: dict[str, str]) -> str:
    unit = info.unit_in(words["language"])
    return f"{info.label} ({unit})" if unit else info.label


def _subtitle(coverage: Coverage, words: dict[str, str], count: int) -> list[str]:
    lines = [words["coverage"].format(coverage.answered, coverage.asked), words["noise"]]
    return [*lines, words["first"].format(MAX_POINTS, count)] if count > MAX_POINTS else lines


def _whole_numbers(labels: list[str]) -> bool:
    """Whether the keys are whole numbers such as years, which lie along a line."""
    known = [label for label in labels if label != UNKNOWN]
    return len(known) > 1 and all(label.lstrip("-").isdigit() for label in known)


def _short_name(name: str) -> str:
    """The usual short form of a Chinese province: two characters, of two of them three."""
    return name[:3] if name.startswith(("内蒙", "黑龙")) else name[:2]
