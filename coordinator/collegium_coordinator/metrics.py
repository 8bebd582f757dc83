"""The coordinator's figures for Prometheus: `metrics.prom` in its home, and a loopback port where `[metrics] listen` names one.

Names and numbers of logs, connections and queues, and how many answers of which verdict came. No node has a label of its own (there
may be thousands; `collegium nodes --watch` shows each), no researcher and no request. What budgets have paid is in the signed log
for `collegium-coordinator budget`, node by node; here it would be one series for each node and unit, so it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import Metric

import collegium
from collegium.errors import Offline
from collegium.observing.exposition import Exposition, ProcessFigures
from collegium.observing.families import gauge, gauges
from collegium_coordinator.cosigning import Cosigned, Cosigning
from collegium_coordinator.fanout import Fanout
from collegium_coordinator.mirror import Mirror
from collegium_coordinator.nodes import Nodes
from collegium_coordinator.observed import PREFIX, Observed
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.roundstore import SETTLED
from collegium_coordinator.store import Store
from collegium_coordinator.witnesses import log_lines

__all__ = ["EVERY", "LogFigures", "Metrics", "RoundFigures", "WorkFigures"]

EVERY = 5.0  # seconds
ROUND_STATES = ("new", "planned", "open", "collected", "closed", "unmasked", "done", "failed")
"""As in `roundstore`."""
ROUND_FAILURES = ("no-trustees", "few-nodes", "no-round")
_OF_LOGS = {
    "log_entries": ("size", "Entries of the log."),
    "log_confirmed_entries": ("confirmed", "Entries that a quorum of the witnesses has confirmed; all of them without witnesses."),
    "log_backlog_entries": ("backlog", "Entries that wait for the quorum."),
    "log_quorum_age_seconds": ("age", "Seconds since a quorum last confirmed the log; -1 before it did, or without witnesses."),
    "log_witnesses": ("assigned", "Witnesses that the registry has assigned to the log and that are not revoked."),
    "log_witnesses_reachable": ("reachable", "How many of them are connected."),
    "log_quorum_needed": ("quorum", "How many of them must cosign; 0 for a log without witnesses."),
    "log_may_sign": ("may_sign", "1 when nothing speaks against signing."),
}


class LogFigures:
    """How the two logs stand with their witnesses, and how far the copies of the nodes' logs reach. A collector."""

    def __init__(
        self, store: Store, registry: RegistryLog, mirror: Mirror, cosigning: Cosigning, own: list[Cosigned],
        stopped: Callable[[str], bool], *, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._store, self._registry, self._mirror, self._cosigning, self._own = store, registry, mirror, cosigning, own
        self._stopped = stopped
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        lines = []
        for line in log_lines(self._store, self._registry.registry, self._clock(), origins={each.own.origin for each in self._own}):
            origin = line["origin"]
            may = self._cosigning.is_ready(origin) and not self._stopped(origin)
            lines.append({**line, "assigned": len(line["witnesses"]), "may_sign": int(may)})
        for name, (key, said) in _OF_LOGS.items():
            samples = [({"log": line["origin"]}, -1 if line[key] is None else round(line[key], 3)) for line in lines]
            yield gauges(f"{PREFIX}_{name}", said, samples)
        logs, entries, weight = self._mirror.totals()
        yield gauge(f"{PREFIX}_copied_logs", "Nodes' logs of which a copy is kept.", logs)
        yield gauge(f"{PREFIX}_copied_entries", "Entries in all of those copies.", entries)
        yield gauge(f"{PREFIX}_copied_bytes", "Bytes of those entries.", weight)


class WorkFigures:
    """Who is there, and what waits. A collector.

    Args:
        days_left: until the coordinator's own certificate expires.
        calls: calls in flight on all tunnels, both directions.
    """

    def __init__(
        self,
        registry: RegistryLog,
        nodes: Nodes,
        fanout: Fanout,
        *,
        days_left: Callable[[], float],
        calls: Callable[[], int],
    ) -> None:
        self._registry, self._nodes, self._fanout = registry, nodes, fanout
        self._days_left = days_left
        self._calls = calls

    def collect(self) -> Iterable[Metric]:
        registry = self._registry.registry
        registered = [party.name for party in registry.nodes()]
        connected = sum(map(self._nodes.connected, registered))
        yield gauges(f"{PREFIX}_info", "The version that runs.", [({"version": collegium.__version__}, 1)])
        states = [({"state": "connected"}, connected), ({"state": "offline"}, len(registered) - connected)]
        yield gauges(f"{PREFIX}_nodes", "Registered nodes that are not revoked, by whether they are connected.", states)
        yield gauge(f"{PREFIX}_nodes_behind", "Connected nodes that have not yet verified the newest registry.", self._behind())
        yield gauge(f"{PREFIX}_registry_entries", "Entries of the registry.", self._registry.size)
        yield gauge(f"{PREFIX}_certificate_days_left", "Days until the coordinator's own certificate expires.", self._days_left())
        yield gauge(f"{PREFIX}_calls_in_flight", "Calls on all tunnels that have not ended, in both directions.", self._calls())
        load = self._fanout.load()
        yield gauge(f"{PREFIX}_requests_running", "Requests of which the first round is not over.", load.requests)
        yield gauge(f"{PREFIX}_asks_running", "Nodes being asked or waiting for their turn, over all requests.", load.asks)
        yield gauge(f"{PREFIX}_answers_waiting", "Answers that wait to be written to the database.", load.unwritten)

    def _behind(self) -> int:
        found = 0
        for name in self._nodes.names():
            try:
                found += self._nodes.get(name).known < self._registry.size
            except Offline:  # gone since
                continue
        return found


class RoundFigures:
    """Rounds of national sums, their trustees, and what is kept of them. A collector; all of it is in the database."""

    def __init__(self, store: Store, registry: RegistryLog, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        rows = self._store.rows("SELECT state, COUNT(*), MIN(began) FROM rounds GROUP BY state")
        found = {str(state): (int(count), float(began)) for state, count, began in rows}
        counts = [({"state": state}, found.get(state, (0, 0.0))[0]) for state in ROUND_STATES]
        yield gauges(f"{PREFIX}_rounds", "Rounds of national sums, by state, all that ever were.", counts)
        reasons = dict(self._store.rows("SELECT reason, COUNT(*) FROM rounds WHERE state = 'failed' GROUP BY reason"))
        failed = [({"reason": reason}, int(reasons.pop(reason, 0))) for reason in ROUND_FAILURES]
        failed.append(({"reason": "other"}, sum(map(int, reasons.values()))))
        yield gauges(f"{PREFIX}_rounds_failed", "Failed rounds, by reason, all that ever were.", failed)
        oldest = min((began for state, (_, began) in found.items() if state not in SETTLED), default=None)
        age = 0.0 if oldest is None else round(max(0.0, self._clock() - oldest), 1)
        yield gauge(
            f"{PREFIX}_round_oldest_seconds", "Age of the oldest round that is neither done nor failed; 0 without one.", age
        )
        ((kept, weight),) = self._store.rows("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM vectors")
        yield gauge(f"{PREFIX}_vectors", "Masked vectors that are kept.", kept)
        yield gauge(f"{PREFIX}_vectors_bytes", "Bytes of them.", weight)
        registered = {party.name for party in self._registry.registry.trustees()}
        here = {str(row[0]) for row in self._store.rows("SELECT name FROM trustees WHERE connected = 1")} & registered
        states = [({"state": "connected"}, len(here)), ({"state": "offline"}, len(registered) - len(here))]
        yield gauges(f"{PREFIX}_trustees", "Registered trustees that are not revoked, by whether they are connected.", states)


class Metrics(Exposition):
    """All figures of a serving coordinator."""

    def __init__(self, file: Path, observed: Observed, logs: LogFigures, work: WorkFigures, rounds: RoundFigures) -> None:
        super().__init__(file, [*observed.collectors, logs, work, rounds, ProcessFigures("all")])
