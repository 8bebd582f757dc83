"""The eight steps of an answer as spans of its question's trace, for an operator who has turned that on.

Nothing leaves the node for it unless `[traces] export = true` stands in node.toml *and* the environment names a collector, as for
every OpenTelemetry program. A step that touches rows takes the longer the more there are, so times are a side door, and it is as
narrow as the front door: every time is on the grid on which the answer itself leaves (`[limits] answer_grid_ms`, at least a
second), counted from the moment the call came; spans begin earlier and end later than the steps did, by less than one grid; and
they are made only when the answer has left. So whoever reads the collector has no better clock than whoever asked. A span says
the number of the step and of the question in its request. No verdict of a row, no size, no name, no error.

How it works: `service` opens a call, the answer path says `steps.at(n)` where step n begins and `steps.of(request)` when it knows
whose call it is. Without an open call both do nothing.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from collegium.observing.spans import Sink, Span, fresh, named

__all__ = ["GRID_AT_LEAST", "OFF", "Steps", "at", "of"]

GRID_AT_LEAST = 1000  # milliseconds
FAN_OUT = "fan-out"
"""The coordinator's span below which a node's are shown; its id follows from the request's."""


@dataclass(slots=True)
class _Call:
    """One call: of which request, and when which step of which question began, on the monotonic clock."""

    now: Callable[[], float]
    request: str = ""
    marks: list[tuple[int, int, float]] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)


_CALL: ContextVar[_Call | None] = ContextVar("call", default=None)


def of(request: str) -> None:
    """The call is for this request: said once its signature has been verified; a call that never says it leaves no span."""
    call = _CALL.get()
    if call is not None:
        call.request = request


def at(step: int, question: int = -1) -> None:
    """Step `step` begins, of this question of the request; -1: of all of them."""
    call = _CALL.get()
    if call is not None:
        with call.guard:
            call.marks.append((step, question, call.now()))


class Steps:
    """Makes the spans and hands them to `sink`; without one it does nothing. `grid` in seconds."""

    def __init__(
        self,
        sink: Sink | None = None,
        *,
        grid: float = GRID_AT_LEAST / 1000,
        node: str = "",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._grid = grid
        self._node = node
        self._clock = clock
        self._monotonic = monotonic

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """The block is one call, from its arrival until its answer leaves."""
        if self._sink is None:
            yield
            return
        call, began, start = _Call(self._monotonic), self._monotonic(), self._clock()
        before = _CALL.set(call)
        try:
            yield
        finally:
            _CALL.reset(before)
            if call.request:
                with call.guard:  # a caller who hung up leaves the work running; its later steps are in no span
                    marks = list(call.marks)
                for span in self._spans(name, call.request, marks, began, self._monotonic(), start):
                    self._sink(span)

    def _spans(
        self, name: str, request: str, marks: list[tuple[int, int, float]], began: float, ended: float, start: float
    ) -> Iterator[Span]:
        # The answer leaves a moment after its line of the grid: that line is the end, not the one after it.
        last = math.ceil((ended - began) / self._grid - 0.1)

        def early(moment: float) -> float:
            return start + min(last, math.floor((moment - began) / self._grid)) * self._grid

        def late(moment: float) -> float:
            return start + min(last, math.ceil((moment - began) / self._grid)) * self._grid

        whole = fresh()
        yield Span(request, name, whole, named(request, FAN_OUT), start, start + last * self._grid, {"node": self._node})
        for (step, question, moment), (_, _, after) in zip(marks, [*marks[1:], (0, 0, ended)], strict=True):
            about: dict[str, str | int] = {"node": self._node, "step": step}
            if question >= 0:
                about["question"] = question
            yield Span(request, f"step {step}", fresh(), whole, early(moment), late(after), about)


OFF = Steps()
"""For a node that exports nothing."""
