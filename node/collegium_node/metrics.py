"""The node's figures for Prometheus: `metrics.prom` in its folder, and a loopback port where `[metrics] listen` names one.

What is in them, and why it may be: counts of answers by verdict (decided by policy and budget before data are touched, and
logged), what of each unit's budget is spent (charges and budgets stand in the signed log), how log, witnesses, registry and
certificate stand, the age of the current snapshot (signed with the policy), requests that wait for the steward.

What is not: how long anything took. A tally takes the longer the more rows there are, so no duration is measured here, and neither
memory nor processor time; open files are. All figures are taken once in `EVERY` seconds, or once in the answer grid where that is
longer, so that watching a counter is no better clock than the answer itself. The coordinator has durations of calls, in coarse
buckets: it sees when an answer comes anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import Counter, Metric

from collegium.observing.exposition import Exposition, ProcessFigures
from collegium.observing.families import gauge, gauges
from collegium.party.lines import Lines
from collegium.party.metrics import EVENTS, Events, PartyFigures
from collegium.v1.node_pb2 import QuestionAnswer
from collegium_node import ledger, shelf
from collegium_node.home import Node
from collegium_node.steward import InForce

__all__ = ["EVERY", "Metrics", "NodeFigures"]

EVERY = 5.0  # seconds
NANO = 10**9
ENDS = ("counted", "left-out", "no-close")
OWN_EVENTS = frozenset({
    "kernel", "not-deleted", "plan-failed", "round-ended", "submitted", "traces-exported", "traces-not-exported", "vectors-deleted",
})  # fmt: skip
VERDICTS = tuple(each.name.lower() for each in QuestionAnswer.DESCRIPTOR.enum_types_by_name["Verdict"].values if each.number)


class Metrics(Exposition):
    """All figures of a serving node.

    Args:
        connected, waiting: as in `PartyFigures`; a process that does not serve gives neither.
        lines: its log; what is counted is counted from there.
    """

    def __init__(
        self,
        node: Node,
        clock: Callable[[], float],
        *,
        lines: Lines | None = None,
        dials: bool = False,
        waiting: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(node.home.metrics_file)
        events = Events("node", self.live, EVENTS | OWN_EVENTS)
        self._answers = Counter("collegium_node_answers", "Answers to questions, by verdict.", ["verdict"], registry=self.live)
        said = "Answers to plans of national sums, by verdict."
        self._submissions = Counter("collegium_node_submissions", said, ["verdict"], registry=self.live)
        said = "National sums that this node submitted to and that have ended, by whether its part is in them."
        self._rounds = Counter("collegium_node_rounds_ended", said, ["how"], registry=self.live)
        for verdict in VERDICTS:
            self._answers.labels(verdict)
            self._submissions.labels(verdict)
        for how in ENDS:
            self._rounds.labels(how)
        if lines is not None:
            lines.listeners += [events, self._count]
        connected = (lambda: events.connected) if dials else None
        for each in (PartyFigures(node, clock, connected=connected, waiting=waiting), NodeFigures(node, clock)):
            self.live.register(each)
        self.live.register(ProcessFigures("handles"))

    def _count(self, event: str, fields: Mapping[str, str | int | bool]) -> None:
        counter = {"answered": self._answers, "submitted": self._submissions}.get(event)
        if counter is not None:
            for verdict in str(fields.get("verdicts", fields.get("verdict", ""))).lower().split():
                if verdict in VERDICTS:
                    counter.labels(verdict).inc()
        elif event == "round-ended" and fields.get("how") in ENDS:
            self._rounds.labels(str(fields["how"])).inc()


class NodeFigures:
    """What only a node has: budgets, snapshot, requests on hold. All of it from the database; a collector."""

    def __init__(self, node: Node, clock: Callable[[], float]) -> None:
        self._node = node
        self._clock = clock
        self._policy = InForce(node.journal)

    def collect(self) -> Iterable[Metric]:
        now, limits = self._clock(), self._policy().figures
        with self._node.store.read() as db:
            spending = [line for line in ledger.spending(db, limits, int(now)) if line.scope == "unit"]
            current = [each for each in shelf.listing(db) if each.current]
            (held,) = db.execute("SELECT COUNT(*) FROM held WHERE state = 'held'").fetchone()
        spent, limit = [], []
        for line in spending:
            for span, used, whole in (("period", line.spent, line.limit), ("lifetime", line.lifetime_spent, line.lifetime)):
                labels = {"unit": line.name, "span": span}
                spent.append((labels, used / NANO))
                limit.append((labels, (whole or 0) / NANO))
        yield gauges("collegium_node_budget_spent_rho", "Charged to a privacy unit, in the current period and ever; signed.", spent)
        yield gauges("collegium_node_budget_rho", "What the steward's policy in force allows; signed.", limit)
        age = max(0.0, now - current[0].time) if current else -1
        yield gauge("collegium_node_snapshot_age_seconds", "Age of the current snapshot; -1 without one.", round(age))
        yield gauge("collegium_node_requests_held", "Requests that wait for the data steward.", held)
