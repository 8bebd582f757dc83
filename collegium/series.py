"""A saved question over the years.

A value that has been asked is never asked twice: its figures are fetched, which is free, also after the universities have made new
snapshots. Only a value that was never asked costs anything, and only when the asker says so.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from collegium.across import check_ratios
from collegium.answer import NOISE, Answer, TableView
from collegium.chart import points, points_spec
from collegium.errors import Invalid
from collegium.present import optional
from collegium.questions import LOOK_BACK, fetch
from collegium.saved import Saved
from collegium.show import WORDS, figure_text, interval_text, unit_text

if TYPE_CHECKING:
    from collegium.client import Federation
    from collegium.statements import Request

__all__ = ["Point", "Series", "series"]


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a series. `asked` says whether it was asked now, at its cost; `answer` None: it never was."""

    value: str
    answer: Answer | None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """A saved question over the values of one of its places: a question for each value, one cost each."""

    name: str
    title: str
    points: tuple[Point, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Values that have no figures: never asked, or not answered yet."""
        return tuple(each.value for each in self.points if each.answer is None or not each.answer.verified.figures)

    def rows(self, question: int = 0) -> list[dict[str, Any]]:
        """As `TableView.rows`, with the value in front. Values without figures have no row."""
        return [
            {self.name: each.value, **row}
            for each in self.points
            if each.answer is not None and each.value not in self.missing
            for row in _tables(each.answer)[question].rows()
        ]

    def to_csv(self, question: int = 0) -> str:
        """Comma-separated, with a byte order mark for spreadsheet programs."""
        rows = self.rows(question)
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]) if rows else [self.name], lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
        return "\ufeff" + buffer.getvalue()

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "over": self.name,
            "missing": list(self.missing),
            "note": NOISE,
            "points": [
                {
                    "value": each.value,
                    "request": each.answer.id if each.answer is not None else None,
                    "asked_now": each.asked,
                    "tables": each.answer.to_json()["tables"] if each.answer is not None else [],
                    "ratios": each.answer.to_json()["ratios"] if each.answer is not None else [],
                }
                for each in self.points
            ],
        }

    def chart(self, question: int = 0, measure: int = 0) -> Any:
        """An Altair chart of one measure over the values, one panel a row of the table. Needs altair."""
        data, last = [], None
        for each in self.points:
            if each.answer is not None and each.value not in self.missing:
                last = _tables(each.answer)[question]
                for point in points(last, measure):
                    keys = [point["series"], point["key"]] if last.keys else []
                    data.append(point | {"key": each.value, "series": ", ".join(key for key in keys if key)})
        if last is None:
            raise Invalid("there is no figure to draw", place="chart", remedy="Ask first.")
        spec = points_spec(data, last.figures.table.measures[measure], last.coverage, last.language)
        return optional("altair").Chart.from_dict(spec)

    def renderable(self) -> RenderableType:
        """For a terminal: one table a question."""
        known = [each for each in self.points if each.value not in self.missing]
        parts: list[RenderableType] = [Text(self.title, style="bold")]
        for question in range(len(_tables(known[0].answer)) if known and known[0].answer is not None else 0):
            parts.append(self._grid(question, known))
        if self.missing:
            parts.append(Text(f"no figures for {self.name} = {', '.join(self.missing)}; --ask asks for them", style="yellow"))
        asked = [each.value for each in self.points if each.asked]
        parts.append(
            Text(f"asked now, each at its own cost: {', '.join(asked)}" if asked else "nothing was asked: no cost", style="dim")
        )
        parts.append(Text(NOISE, style="dim"))
        return Group(*parts)

    def _grid(self, question: int, known: Sequence[Point]) -> Grid:
        grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        assert known[0].answer is not None
        first = _tables(known[0].answer)[question]
        measures = [(place, info) for place, info in enumerate(first.figures.table.measures) if info.bins is None]
        for heading in (self.name, *first.headings):
            grid.add_column(heading)
        for _, info in measures:
            grid.add_column(info.label + unit_text(info, first.language), justify="right")
            grid.add_column(WORDS[first.language]["interval"], justify="right", style="dim")
        for each in known:
            assert each.answer is not None
            view = _tables(each.answer)[question]
            for group, row in view.shown():
                texts = [
                    text
                    for place, info in measures
                    for text in (figure_text(row.figures[place], info), interval_text(row.figures[place], info, view.language))
                ]
                grid.add_row(each.value, *view.labels(group, row), *texts)
        return grid

    def __str__(self) -> str:
        buffer = io.StringIO()
        Console(file=buffer, width=100, color_system=None, legacy_windows=False, force_jupyter=False).print(self.renderable())
        return buffer.getvalue().rstrip("\n")


def series(
    federation: Federation,
    saved: Saved,
    name: str,
    values: Sequence[str],
    *,
    ask: bool = False,
    others: dict[str, str] | None = None,
) -> Series:
    """The figures of a saved question for each value of `name`.

    What was asked before is found by its questions' digests and its audience, and fetched. With `ask`, the rest is asked now.

    Raises:
        Invalid: the file has no such place, or a statement is not understood; nothing was asked.
    """
    prepared = []
    for value in values:
        settings = saved.settings({**(others or {}), name: value})
        prepared.append(federation.prepare(*settings.pop("statements"), **settings))
    for each in prepared:
        check_ratios(saved.ratios, each.questions, each.views)
    known: dict[bytes, Answer] = {}
    wanted = {_same(each.request) for each in prepared}
    for line in federation.requests(LOOK_BACK):
        if wanted <= set(known):
            break
        found = fetch(federation, line)
        if found.answer is not None and found.answer.verified.figures:
            known.setdefault(_same(found.answer.verified.request), found.answer)  # the newest first
    made = []
    for value, each in zip(values, prepared, strict=True):
        old = known.get(_same(each.request))
        if old is None and ask:
            made.append(Point(value, replace(federation.submit(each), ratios=saved.ratios), asked=True))
        else:
            made.append(Point(value, None if old is None else replace(old, ratios=saved.ratios)))
    return Series(name, saved.title_in(federation.language), tuple(made))


def _tables(answer: Answer) -> list[TableView]:
    """Of the statements, and then of the quotients of two of them."""
    return [*answer.tables, *answer.quotients]


def _same(request: Request) -> bytes:
    """What two requests share that ask the same: questions with their cost, how they are shown, and whom they ask.

    Canonical JSON, because a request that has just been made and one that was read back differ in the order of their parts.
    """
    tree = {
        "questions": [question.digest for question in request.questions],
        "views": list(request.views),
        "audience": None if request.audience is None else list(request.audience),
        "facts": None if request.facts is None else {fact: list(codes) for fact, codes in request.facts.items()},
    }
    return json.dumps(tree, sort_keys=True).encode()
