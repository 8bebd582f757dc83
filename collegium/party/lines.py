"""What a party writes about itself while it serves: one JSON object a line, with names and figures that are public anyway.

An exception is written as its *type* and *place* only. Its message is never written: a dataframe engine or a database driver
likes to quote the value it stumbled over. The same holds for what libraries log through `logging` and for exceptions nobody caught.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

__all__ = ["Lines", "of_loop", "place_of", "take_over"]


class Lines:
    """Writes log lines to `stream`. Fields are numbers or short words of ours: ids, names of the schema, reason keys."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self.listeners: list[Callable[[str, Mapping[str, str | int | bool]], None]] = []
        """Told of every event, by its name and fields; they only count."""

    def event(self, event: str, /, **fields: str | int | bool) -> None:
        line = {"time": round(self._clock(), 3), "event": event, **fields}
        with self._lock:
            self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._stream.flush()
        for listener in self.listeners:
            listener(event, fields)

    def failure(self, event: str, error: BaseException, /, **fields: str | int | bool) -> None:
        """An exception by its type and the innermost place in the program; never by its message."""
        self.event(event, type=type(error).__name__, place=place_of(error.__traceback__), **fields)


def place_of(trace: TracebackType | None) -> str:
    """`module.py:line` of the innermost frame that is ours, or of the innermost frame at all."""
    place = ours = ""
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        place = f"{path.name}:{trace.tb_lineno}"
        if any(part.startswith("collegium") for part in path.parts[-4:-1]):
            ours = place
        trace = trace.tb_next
    return ours or place


class _Records(logging.Handler):
    """Library log records: who and how bad, not what."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        place = f"{record.filename}:{record.lineno}"
        self._lines.event("library", logger=record.name, level=record.levelname, type=kind, place=place)


def take_over(lines: Lines) -> None:
    """Route every way by which a message could reach the process's output through `lines`. For the serving process only."""
    logging.getLogger().handlers[:] = [_Records(lines)]
    logging.captureWarnings(True)

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        lines.failure("uncaught", error.with_traceback(trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            lines.failure("uncaught", args.exc_value)

    sys.excepthook = uncaught
    threading.excepthook = in_thread
    sys.unraisablehook = lambda args: lines.event("unraisable", type=getattr(args.exc_type, "__name__", ""))


def of_loop(lines: Lines, loop: asyncio.AbstractEventLoop) -> None:
    """The same for exceptions of tasks nobody waited for."""

    def handler(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            lines.failure("task", error)

    loop.set_exception_handler(handler)
