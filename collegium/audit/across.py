"""What only several logs together show: withdrawals that were not heard of, losses that a new log counts too low, and plans and
lists of national sums that the coordinator has given to others and not logged.
"""

from __future__ import annotations

from collections.abc import Mapping

from collegium.audit.coordinator import CoordinatorReplay
from collegium.audit.exhibits import entry_files
from collegium.audit.node import NodeReplay
from collegium.audit.trustee import TrusteeReplay

__all__ = ["compare"]


def compare(coordinator: CoordinatorReplay, nodes: Mapping[str, NodeReplay], trustees: Mapping[str, TrusteeReplay]) -> None:
    """After all logs were replayed, before the sums are judged."""
    for trustee in trustees.values():
        _unlogged(coordinator, trustee)
    for node in nodes.values():
        _unlogged(coordinator, node)
        _too_few(coordinator, node)
    _withdrawn(coordinator, nodes)
    _lost(coordinator, nodes)


def _unlogged(coordinator: CoordinatorReplay, holder: NodeReplay | TrusteeReplay) -> None:
    """A8. The coordinator's log holds, where they say, the plans and lists that it has given to nodes and trustees.

    A list beside the log is the second list of a round: the difference of the two sums is whom one of them leaves out.
    """
    log, mine, findings = coordinator.log, holder.frame.log, coordinator.case.findings
    for index, fact in holder.received:
        findings.ran("A8", log.name)
        if fact.at >= log.size:
            text = f"{mine.name} holds a {fact.kind} of the coordinator for index {fact.at}; the copy of its log ends at {log.size}"
            findings.warn("A8", log.name, "short", text, missing=True)
        elif log.id_at(fact.at) != fact.id:
            text = (
                f"the coordinator signed a {fact.kind} as entry {fact.at} of its log (entry {index} of {mine.name} holds it), and "
                "its log holds another entry there"
            )
            findings.fail(
                "A8", log.name, "not-logged", text, party="coordinator",
                exhibits=lambda index=index, at=fact.at: [*entry_files(mine, index), *entry_files(log, at)],  # type: ignore[misc]
            )  # fmt: skip


def _too_few(coordinator: CoordinatorReplay, node: NodeReplay) -> None:
    """A6. A node charges for no plan that allows fewer universities in the sum than every policy that it had signed."""
    log = node.frame.log
    for charge in node.ledger.charges:
        round_ = coordinator.rounds.by_plan.get(charge.plan) if charge.plan is not None else None
        before = [limits for limits in node.ledger.limits if limits.index < charge.index]
        if round_ is None or not before or any(limits.smallest <= round_.plan.least for limits in before):
            continue
        text = (
            f"{log.name} charged (entry {charge.index}) for a sum of {round_.plan.least} universities, fewer than any of its own "
            f"policies ever allowed ({min(limits.smallest for limits in before)})"
        )
        shown = (before[-1].index, charge.index)
        node.frame.fail(
            "A6", "too-few", text, *shown,
            more=lambda index=round_.index: entry_files(coordinator.log, index),  # type: ignore[misc]
        )  # fmt: skip


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
