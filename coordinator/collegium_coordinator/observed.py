"""What is counted, timed and traced while questions are answered. Only counts; nothing here decides anything.

Durations are of whole calls and whole rounds, and go into histograms as the end of their bucket: neither the counts nor the sum
tell how long one node took for one question. The coordinator itself sees when each answer comes, which a node that minds puts on
its answer grid; who reads these figures sees less.

    question                    from the request being logged until every node has answered or is missing; the root
      accept                    logging the request, after its checks
      fan-out                   the first round
        ask                     one node, asked until it has said something final; one span each, those asked later as well
      round: STATE              a try at the next step of a national round, by the state it begins with (`roundstore`)
      sign                      making and signing what is new of the indicators
        combine                 one question's table from its releases
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import Counter, Histogram

from collegium.errors import PUBLIC_TEXTS
from collegium.observing.current import working_for
from collegium.observing.families import COARSE, coarse
from collegium.observing.spans import Span, Tracing, named, root

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from collegium_coordinator.jobs import Job
    from collegium_coordinator.roundstore import RoundRow
    from collegium_coordinator.verify import Outcome

__all__ = ["REASONS", "VERDICTS", "Observed"]

T = TypeVar("T")
PREFIX = "collegium_coordinator"
VERDICTS = ("released", "ready", "refused", "held", "failed")
REASONS = frozenset(PUBLIC_TEXTS) | {
    "bad-answer", "deadline", "offline", "not-logged", "withdrawn", "no-group", "no-round", "unmasking", "other",
}  # fmt: skip
"""Reasons that have a counter of their own; a new one is counted as `other` until it stands here."""


class Observed:
    """One for a process. Without tracing only figures are kept. `clock`: Unix time; `monotonic` measures durations."""

    def __init__(
        self,
        tracing: Tracing | None = None,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tracing = tracing if tracing is not None else Tracing()
        self._clock = clock
        self._monotonic = monotonic
        self._requests = Counter(f"{PREFIX}_requests", "Requests logged since the start.", registry=None)
        self._answers = Counter(
            f"{PREFIX}_answers", "Answers of nodes to questions, verified and stored, by verdict.", ["verdict"], registry=None
        )
        self._missing = Counter(
            f"{PREFIX}_unreleased", "Those of them that are no release, by the reason given.", ["reason"], registry=None
        )
        self._asks = _seconds("ask", "Asking one node, until it has said something final or is given up.")
        self._rounds = _seconds("question", "From a request's first round of questions until its end.")
        self._signs = _seconds("sign", "Making and signing what is new of a request's figures, witnesses included.")
        for verdict in VERDICTS:
            self._answers.labels(verdict)
        for reason in sorted(REASONS):
            self._missing.labels(reason)

    @property
    def collectors(self) -> list[Collector]:
        return [self._requests, self._answers, self._missing, self._asks, self._rounds, self._signs]

    @contextmanager
    def accepting(self, request: str) -> Iterator[None]:
        """A new request is logged."""
        with working_for(request), self.tracing.span(request, "accept"):
            yield
        self._requests.inc()

    async def round(self, job: Job, work: Callable[[], Awaitable[T]]) -> T:
        """The first round of a request."""
        start, began = self._clock(), self._monotonic()
        about = {"questions": len(job.asked.questions), "nodes": len(job.asked.audience)}
        with working_for(job.id), self.tracing.span(job.id, "fan-out", id=named(job.id, "fan-out"), parent=root(job.id), **about):
            result = await work()
        self._rounds.observe(coarse(self._monotonic() - began))
        if self.tracing.on:
            self.tracing.over(Span(job.id, "question", root(job.id), None, start, self._clock(), about))
        return result

    async def asking(self, job: Job, node: str, work: Callable[[], Awaitable[T]]) -> T:
        """One node is asked."""
        began = self._monotonic()
        with working_for(job.id, node), self.tracing.span(job.id, "ask", node=node) as about:
            result = await work()
            if self.tracing.on:
                about["state"] = job.state_of(node)
        self._asks.observe(coarse(self._monotonic() - began))
        return result

    @contextmanager
    def stepping(self, request: str, row: RoundRow) -> Iterator[None]:
        """One try at the next step of a round of a national sum."""
        with working_for(request), self.tracing.span(request, f"round: {row.state}", question=row.number, round=row.place):
            yield

    def answered(self, outcomes: Iterable[Outcome]) -> None:
        """What a node has said is stored."""
        for outcome in outcomes:
            self._answers.labels(outcome.verdict if outcome.verdict in VERDICTS else "failed").inc()
            if outcome.reason:
                self._missing.labels(outcome.reason if outcome.reason in REASONS else "other").inc()

    @contextmanager
    def signing(self, request: str) -> Iterator[None]:
        """Figures are made."""
        began = self._monotonic()
        with working_for(request), self.tracing.span(request, "sign"):
            yield
        self._signs.observe(coarse(self._monotonic() - began))


def _seconds(name: str, said: str) -> Histogram:
    return Histogram(f"{PREFIX}_{name}_seconds", said, buckets=COARSE, registry=None)
