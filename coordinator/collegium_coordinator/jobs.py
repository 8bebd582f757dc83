"""One question under way: what every node has said so far, and who waits for news of it.

Kept in memory while somebody works on it; everything in it is read again from the store after a restart.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from collegium.v1.federation_pb2 import Progress
from collegium_coordinator.asked import Asked
from collegium_coordinator.verify import FAILED, HELD, READY, REFUSED, RELEASED

__all__ = ["MISSING", "Job", "replaces"]

MISSING = "missing"
_RANK = {FAILED: 0, REFUSED: 1, HELD: 1, READY: 1, RELEASED: 2}


def replaces(new: str, old: str | None, *, charged: bool = False) -> bool:
    """Whether a newer verdict takes the place of an older one: a release stays for ever, a failure never hides a decision.

    `charged`: a charge for a plan stands behind the older one. A node that is asked again and says no has said it too late: the
    charge stays, and with it the decision that shows it.
    """
    if charged:
        return new == RELEASED
    if new == READY:  # said once: what came of it since (a charge, a refusal of the plan) is not forgotten by saying it again
        return old in (None, FAILED, HELD)
    return old is None or (old != RELEASED and _RANK[new] >= _RANK[old])


class Job:
    """A request and its state. `verdicts[node][number]` is the newest verdict, None before the first."""

    def __init__(self, asked: Asked, *, entry: int, deadline: float, done: bool) -> None:
        self.asked = asked
        self.entry = entry  # of the request, in the coordinator's log
        self.receipt = b""  # the proof of it that nodes get; empty until a checkpoint covers it that may be rested on
        self.deadline = deadline
        self.over = asyncio.Event()  # the first round is over: every node has answered or is missing with a reason
        if done:
            self.over.set()
        self.verdicts: dict[str, list[str | None]] = {node: [None] * len(asked.questions) for node in asked.audience}
        self.running: dict[str, asyncio.Task[None]] = {}
        self.signing = asyncio.Lock()
        self.proving = asyncio.Lock()
        self.heard: dict[str, float] = {}  # when a node last said something, our clock
        self._classes: dict[str, str] = dict.fromkeys(asked.audience, MISSING)
        self._counts: Counter[str] = Counter(self._classes.values())
        self._news = asyncio.Event()

    @property
    def done(self) -> bool:
        return self.over.is_set()

    @property
    def id(self) -> str:
        return self.asked.id

    def apply(self, node: str, outcomes: Iterable[tuple[int, str]]) -> None:
        """Take over verdicts (number, verdict) that are stored, and wake those who wait."""
        verdicts = self.verdicts[node]
        for number, verdict in outcomes:
            if replaces(verdict, verdicts[number]):
                verdicts[number] = verdict
        now = _class_of(verdicts)
        self._counts[self._classes[node]] -= 1
        self._counts[now] += 1
        self._classes[node] = now
        self.wake()

    def state_of(self, node: str) -> str:
        """released, refused, held, ready or missing."""
        return self._classes[node]

    def unanswered(self) -> list[str]:
        """Nodes that may still have something to say by themselves: missing, failed or held."""
        return [node for node, state in self._classes.items() if state in (MISSING, HELD)]

    def never_asked(self) -> list[str]:
        """Nodes without any stored outcome: what is left to do after a restart."""
        return [node for node, verdicts in self.verdicts.items() if None in verdicts]

    def progress(self) -> Progress:
        """The counts of nodes: those that released everything, refused, hold, or are missing."""
        return Progress(
            request_id=self.id,
            asked=len(self._classes),
            released=self._counts[RELEASED],
            refused=self._counts[REFUSED],
            held=self._counts[HELD] + self._counts[READY],
            missing=self._counts[MISSING],
            done=self.done,
        )

    def finished(self, node: str) -> None:
        """The node is not being asked any more."""
        self.running.pop(node, None)
        self.wake()

    def wake(self) -> None:
        """Tell everybody who waits that something changed."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def next_news(self) -> asyncio.Event:
        """Set at the next change after this call. Take it before reading the state, and no change is missed."""
        return self._news


def _class_of(verdicts: list[str | None]) -> str:
    """One word for a node: released only when every question is."""
    if None in verdicts or FAILED in verdicts:
        return MISSING
    for waiting in (HELD, READY):
        if waiting in verdicts:
            return waiting
    return REFUSED if REFUSED in verdicts else RELEASED
