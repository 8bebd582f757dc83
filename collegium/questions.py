"""Earlier questions with their figures, as they are now. No university is asked again, so it costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from collegium.answer import Answer
from collegium.errors import CollegiumError
from collegium.show import figure_text, interval_text, unit_text

if TYPE_CHECKING:
    from collegium.client import Federation
    from collegium.v1.federation_pb2 import RequestLine

__all__ = ["LOOK_BACK", "Earlier", "earlier", "fetch", "questions_tree", "questions_view"]

LOOK_BACK = 200  # requests
SHOWN_ROWS = 6


@dataclass(frozen=True, slots=True)
class Earlier:
    """One request of this researcher; `answer` is None where it could not be fetched or does not verify, and `trouble` says why."""

    id: str
    time: int
    purpose: str
    answer: Answer | None
    trouble: str = ""

    @property
    def sql(self) -> str:
        """The statements as they were typed, "" when their text has been erased or there was none."""
        details = self.answer.verified.details if self.answer is not None else None
        return (details.sql or "") if details is not None else ""


def earlier(federation: Federation, limit: int = 20, *, containing: str = "") -> Iterator[Earlier]:
    """The newest requests with their figures as they are now; no university is asked again.

    With `containing`, only those that have it in statement or purpose, in any case.
    """
    for line in federation.requests(LOOK_BACK if containing else limit):
        found = fetch(federation, line)
        if containing.casefold() in f"{found.sql}\n{found.purpose}".casefold():
            yield found


def fetch(federation: Federation, line: RequestLine) -> Earlier:
    """One request with its figures, or the trouble there was."""
    try:
        answer = federation.result(line.request_id, refresh=False, wait=0.0)
    except CollegiumError as error:
        return Earlier(line.request_id, line.time, line.purpose, None, str(error))
    return Earlier(line.request_id, line.time, line.purpose, answer)


def questions_tree(found: Sequence[Earlier]) -> list[dict[str, Any]]:
    """One object a request, with its whole answer."""
    return [
        {
            "request": each.id,
            "time": each.time,
            "purpose": each.purpose,
            "sql": each.sql or None,
            "trouble": each.trouble or None,
            "answer": each.answer.to_json() if each.answer is not None else None,
        }
        for each in found
    ]


def questions_view(found: Sequence[Earlier]) -> RenderableType:
    """For a terminal: what was asked, when, and the first figures."""
    parts: list[RenderableType] = []
    for each in found:
        at = datetime.fromtimestamp(each.time, UTC).strftime("%Y-%m-%d %H:%M")
        parts.append(Text(f"{each.id[:12]}  {at}  {each.purpose}", style="bold"))
        parts.append(Text(each.sql or "(the statement's text is not kept)", style="dim"))
        if each.answer is None or not each.answer.verified.figures:
            parts.append(Text(each.trouble or "There is no figure yet.", style="yellow"))
        else:
            parts += [_first_rows(each.answer, number) for number in range(len(each.answer.tables))]
        parts.append(Text(""))
    return Group(*parts) if parts else Text("There is none.")


def _first_rows(answer: Answer, number: int) -> Grid:
    view = answer.tables[number]
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    measures = [(place, info) for place, info in enumerate(view.figures.table.measures) if info.bins is None]
    for heading in view.headings:
        grid.add_column(heading)
    for _, info in measures:
        grid.add_column(info.label + unit_text(info, view.language), justify="right")
    shown = view.shown()
    for group, row in shown[:SHOWN_ROWS]:
        cells = (
            f"{figure_text(row.figures[place], info)} ({interval_text(row.figures[place], info, view.language)})"
            for place, info in measures
        )
        grid.add_row(*view.labels(group, row), *cells)
    if len(shown) > SHOWN_ROWS:
        grid.caption = f"{len(shown) - SHOWN_ROWS} more rows: collegium result {answer.id[:12]}"
    return grid
