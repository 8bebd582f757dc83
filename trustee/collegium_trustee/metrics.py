"""The trustee's figures for Prometheus: `metrics.prom` in its folder, and a loopback port where `[metrics] listen` names one.

Counts and names that stand in signed logs anyway, the steps of rounds by name, and what the process takes of its machine: a trustee
holds no row, and what it holds of a round (seeds, masks) goes by the length of a list that the coordinator has published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import Metric

from collegium.observing.exposition import Exposition, ProcessFigures
from collegium.observing.families import gauge, gauges
from collegium.party.lines import Lines
from collegium.party.metrics import EVENTS, Events, PartyFigures
from collegium_trustee.home import Trustee

__all__ = ["EVERY", "Metrics", "RoundFigures"]

EVERY = 5.0  # seconds
STEPS = frozenset({
    "prepared", "unmasked", "checked", "rounds-abandoned", "sealing-key", "sealing-key-deleted", "not-wiped-yet", "not-kept",
})  # fmt: skip


class Metrics(Exposition):
    """All figures of a serving trustee. `waiting` as in `PartyFigures`; what is counted is counted from its `lines`."""

    def __init__(self, trustee: Trustee, clock: Callable[[], float], *, lines: Lines, waiting: Callable[[], int]) -> None:
        super().__init__(trustee.home.metrics_file)
        events = Events("trustee", self.live, EVENTS | STEPS)
        lines.listeners.append(events)
        self.live.register(PartyFigures(trustee, clock, connected=lambda: events.connected, waiting=waiting))
        self.live.register(RoundFigures(trustee, clock))
        self.live.register(ProcessFigures("all"))


class RoundFigures:
    """Rounds and sealing keys, from the database; a collector."""

    def __init__(self, trustee: Trustee, clock: Callable[[], float]) -> None:
        self._trustee = trustee
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        with self._trustee.store.read() as db:
            rounds = db.execute(
                "SELECT COALESCE(SUM(close IS NULL AND over = 0), 0), COALESCE(SUM(close IS NOT NULL), 0),"
                " COALESCE(SUM(close IS NULL AND over = 1), 0) FROM rounds"
            ).fetchone()
            (seeds,) = db.execute("SELECT COUNT(DISTINCT plan) FROM seeds").fetchone()
            (until,) = db.execute("SELECT MAX(until) FROM sealing WHERE idx IN (SELECT idx FROM secrets)").fetchone()
        states = [({"state": state}, count) for state, count in zip(("open", "answered", "abandoned"), rounds, strict=True)]
        yield gauges("collegium_trustee_rounds", "Rounds: waiting for a close, answered, ended without a close.", states)
        yield gauge("collegium_trustee_rounds_with_seeds", "Rounds of which seeds are kept, until UNMASK.", seeds)
        left = -1.0 if until is None else round((until - self._clock()) / 86_400, 2)
        yield gauge("collegium_trustee_sealing_key_days_left", "Days the newest sealing key serves; -1 without one.", left)
