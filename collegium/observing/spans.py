"""The life of a question as a trace: who worked on it when.

Nothing travels for it. The id of a request is a digest that every party has, so the trace's id is its first half (16 bytes) and the
id of the root span the 8 bytes after it: what coordinator, nodes and trustees record of one question is one trace wherever it is
collected, and no message carries a field that a dishonest party could fill.

A span says a name, two times, and attributes that are public anyway: numbers of questions and nodes, names of nodes, verdicts. No
purpose, no SQL, no researcher, no error text.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from collegium.observing.current import SPAN

__all__ = ["Attributes", "Sink", "Span", "Tracing", "fresh", "named", "root", "trace_of"]

Attributes = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Span:
    """One piece of work. `request`: its id in hexadecimal; times in Unix seconds; `parent` None for the root of the trace."""

    request: str
    name: str
    id: bytes
    parent: bytes | None
    start: float
    end: float
    attributes: Attributes = field(default_factory=dict)


Sink = Callable[[Span], None]
"""Takes a span when it is over; from any thread."""


def trace_of(request: str) -> bytes:
    """The 16 bytes that all spans of a request share: the first half of its id."""
    return bytes.fromhex(request)[:16]


def root(request: str) -> bytes:
    """The root span's 8 bytes: those of the request's id after the trace's."""
    return bytes.fromhex(request)[16:24]


def named(request: str, name: str) -> bytes:
    """The id of a span of which a request has one: any party can name it as the parent of its own."""
    return hashlib.sha256(f"collegium/v1/span\n{request}\n{name}\n".encode()).digest()[:8]


def fresh() -> bytes:
    """An id for a span that nobody else has to name."""
    return os.urandom(8)


class Tracing:
    """Makes spans and hands them to `sink`; without one it costs a comparison and does nothing."""

    def __init__(self, sink: Sink | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._sink = sink
        self._clock = clock

    @property
    def on(self) -> bool:
        return self._sink is not None

    @contextmanager
    def span(
        self, request: str, name: str, *, id: bytes | None = None, parent: bytes | None = None, **attributes: str | int
    ) -> Iterator[dict[str, str | int]]:
        """The block as a span, also when it raises. Its parent: the one given, else the span around it, else the root.

        Yields the attributes, to which the block may add.
        """
        if self._sink is None:
            yield {}
            return
        around = SPAN.get()
        above = parent or (around[1] if around is not None and around[0] == request else root(request))
        own, start = id or fresh(), self._clock()
        before = SPAN.set((request, own))
        try:
            yield attributes
        finally:
            SPAN.reset(before)
            self._sink(Span(request, name, own, above, start, self._clock(), attributes))

    def over(self, span: Span) -> None:
        """A span that was timed elsewhere."""
        if self._sink is not None:
            self._sink(span)
