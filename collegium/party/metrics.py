"""Figures that node and trustee have in common: the log and its witnesses, the registry, the certificate, what was written down.

Names and numbers of the log only; nothing of it is taken from data, and most of it is in the log anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import collegium
from collegium.errors import CollegiumError
from collegium.observing.families import gauge, gauges
from collegium.party.home import Party
from collegium.tls import expires_at

if TYPE_CHECKING:  # a service's dependency, not a researcher's
    from prometheus_client import Metric
    from prometheus_client.registry import CollectorRegistry

__all__ = ["EVENTS", "Events", "PartyFigures"]

EVENTS = frozenset({
    "answered", "broken", "call-failed", "certificate-renewed", "confirmed", "connected", "copy-not-read", "disconnected",
    "library", "own-registration", "policy", "policy-not-signed", "question-failed", "registry", "renewal-failed",
    "researcher-rekeyed", "restored", "serving", "stopped", "task", "uncaught", "unraisable", "witness-silent",
})  # fmt: skip
"""Names of lines that are counted one by one; any other is counted as `other`, so that there are never more labels than these."""


class Events:
    """Counts the lines of a party's log by their name. A listener of `collegium.party.lines.Lines`."""

    def __init__(self, role: str, registry: CollectorRegistry, known: Collection[str] = EVENTS) -> None:
        from prometheus_client import Counter

        self._known = frozenset(known)
        self._count = Counter(f"collegium_{role}_events", "Lines of the log, by their event.", ["event"], registry=registry)
        for event in sorted(self._known | {"other"}):
            self._count.labels(event)  # from the start: when a label first appears says nothing, and a rule finds a zero
        self.connected = False

    def __call__(self, event: str, _fields: Mapping[str, str | int | bool]) -> None:
        self._count.labels(event if event in self._known else "other").inc()
        if event in ("connected", "disconnected", "serving"):
            self.connected = event == "connected"


class PartyFigures:
    """A collector.

    Args:
        connected: whether there is a way to the coordinator now; None where the coordinator is the one who calls.
        waiting: calls that are being worked on or wait for their turn.
    """

    def __init__(
        self, party: Party, clock: Callable[[], float], *, connected: Callable[[], bool] | None, waiting: Callable[[], int] | None
    ) -> None:
        self._party = party
        self._clock = clock
        self._connected = connected
        self._waiting = waiting

    def collect(self) -> Iterable[Metric]:
        party, prefix = self._party, f"collegium_{self._party.home.role}"
        yield gauges(f"{prefix}_info", "The version that runs.", [({"version": collegium.__version__}, 1)])
        yield from self._log(f"{prefix}_log_")
        yield gauge(f"{prefix}_registry_entries", "Entries of the registry that have been verified.", party.members.registry.size)
        yield gauge(f"{prefix}_certificate_days_left", "Days until the TLS certificate expires; negative after.", self._days_left())
        if self._connected is not None:
            yield gauge(f"{prefix}_connected", "1 when the tunnel to the coordinator is open.", int(self._connected()))
        if self._waiting is not None:
            said = "Calls that are being worked on or wait for their turn, when the figures were taken."
            yield gauge(f"{prefix}_calls_in_flight", said, self._waiting())

    def _log(self, prefix: str) -> Iterable[Metric]:
        party = self._party
        with party.store.read() as db:
            refusal = party.permit(db)
        restored = refusal is not None and refusal.reason == "restored"
        figures = party.quorum.figures()
        for name, value, said in (
            ("entries", figures.size, "Entries of the log."),
            (
                "confirmed_entries",
                figures.confirmed,
                "Entries that a quorum of the witnesses has confirmed; all of them for a log without witnesses.",
            ),
            ("backlog_entries", figures.backlog, "Entries that wait for the quorum."),
            (
                "quorum_age_seconds",
                -1 if figures.age is None else figures.age,
                "Seconds since a quorum last confirmed the log; -1 before it ever did, or without witnesses.",
            ),
            (
                "witnesses",
                figures.witnesses,
                "Witnesses that the registry has assigned to the log and that are not revoked.",
            ),
            (
                "witnesses_reachable",
                -1 if figures.reachable is None else figures.reachable,
                "How many of them answered when they were last asked; -1 before any was.",
            ),
            ("quorum_needed", figures.needed, "How many of them must cosign; 0 for a log without witnesses."),
            ("may_sign", int(refusal is None), "1 when nothing speaks against signing."),
            ("restored", int(restored), f"1 when the database is an old copy; run `{party.home.program} recover`."),
        ):
            yield gauge(prefix + name, said, value)

    def _days_left(self) -> float:
        try:
            end = expires_at(self._party.home.keys.certificate.read_bytes())
        except (OSError, CollegiumError):
            return -1.0
        return round((end - self._clock()) / 86_400, 2)
