"""What only a node's log and the coordinator's together show, and what convicts nobody: withdrawals that were not heard of, and
losses that a new log counts too low.
"""

from __future__ import annotations

from collections.abc import Mapping

from collegium.audit.coordinator import CoordinatorReplay
from collegium.audit.node import NodeReplay

__all__ = ["compare"]


def compare(coordinator: CoordinatorReplay, nodes: Mapping[str, NodeReplay]) -> None:
    """After all logs were replayed, before the sums are judged."""
    _withdrawn(coordinator, nodes)
    _lost(coordinator, nodes)


def _withdrawn(coordinator: CoordinatorReplay, nodes: Mapping[str, NodeReplay]) -> None:
    """A7. A figure is marked also where the coordinator's log does not hold the withdrawal of what is in it."""
    newest = {(each.request, each.number): each for each in coordinator.sums}
    for each in newest.values():
        for used in each.used:
            identity = coordinator.log.id_at(used.index)
            at = nodes[used.node].withdrawn.get(identity) if used.node in nodes else None
            if at is not None and identity not in coordinator.withdrawn:
                coordinator.unheard.add(identity)
                text = (
                    f"the newest indicator of a question (entry {each.index}) adds a release that {used.node} has withdrawn "
                    f"(entry {at} of its log); the coordinator's log does not hold the withdrawal"
                )
                coordinator.frame.warn("A7", "unheard", text)


def _lost(coordinator: CoordinatorReplay, nodes: Mapping[str, NodeReplay]) -> None:
    """A6. What a node counts as lost is no less than what its lost log has charged, as far as the coordinator's log holds it.

    A node that begins anew from an old backup knows less than its old log did, so this names nobody.
    """
    for (name, unit), charged in coordinator.former.items():
        counted = nodes[name].ledger.lost.get(unit, 0) if name in nodes else charged
        if counted < charged:
            text = (
                f"{name} counts {counted} nano-rho of {unit} as lost with a log that it had before; the coordinator's log holds "
                f"{charged} that it charged there"
            )
            coordinator.case.findings.warn("A6", name, "lost-less", text)
