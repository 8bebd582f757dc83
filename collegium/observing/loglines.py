"""A service's log on standard error: plain text for people, or one JSON object a line for whoever collects it.

The JSON has the fields of the node's own lines (`collegium.party.lines`) where they say the same: `time` in Unix seconds,
`event`, `logger`, `level`, `request`, `node`, and of an exception `type` and `place`; the sentence is `text`. In both forms a line
written on behalf of a request names it, from `collegium.observing.current`.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Literal, TextIO

from collegium.observing.current import NODE, REQUEST
from collegium.party.lines import place_of

__all__ = ["FORMATS", "JsonLines", "TextLines", "log_to"]

Format = Literal["text", "json"]
FORMATS: tuple[Format, ...] = ("text", "json")


class TextLines(logging.Formatter):
    """`2026-11-22 10:00:00,123 INFO collegium.coordinator.nodes: node univ-a connected`, with the request behind it if any."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        request, line = REQUEST.get(), super().formatMessage(record)
        return f"{line} [{request[:12]}]" if request and request[:12] not in line else line


class JsonLines(logging.Formatter):
    """One object a line, however many lines the text or the traceback has."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {"time": round(record.created, 3), "event": record.name.rpartition(".")[2]}
        for name, value in (("request", REQUEST.get()), ("node", NODE.get())):
            if value:
                line[name] = value
        line |= {"logger": record.name, "level": record.levelname, "text": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            line |= {
                "type": record.exc_info[0].__name__,
                "place": place_of(record.exc_info[2]),
                "trace": self.formatException(record.exc_info),
            }
        return json.dumps(line, ensure_ascii=False)


def log_to(stream: TextIO | None = None, *, form: Format = "text", verbose: bool = False) -> None:
    """Everything that is logged in this process goes to `stream` (standard error). Replaces what was set up before."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
