"""What `nodes` and `budget` show: read from the database, whether the coordinator is serving or not.

The same trees are printed by `--json`; the tables are drawn from them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.table import Table

from collegium.errors import CollegiumError
from collegium.registry import Registry
from collegium.statements import Policy
from collegium_coordinator.store import Store
from collegium_coordinator.witnesses import log_lines

__all__ = ["budget_table", "budget_tree", "nodes_table", "nodes_tree"]

NANO = 10**9


def nodes_tree(store: Store, registry: Registry, *, serving: bool, now: float) -> list[dict[str, Any]]:
    """All nodes ever registered and all open invitations of nodes. `connected` is None while nobody serves. `log`: `log_lines`."""
    logs = {line["origin"].rpartition("/")[2]: line for line in log_lines(store, registry, now, serving=serving)}
    seen = {row[0]: row for row in store.rows("SELECT node, connected, last, version, snapshot, datasets, registry_size FROM seen")}
    addresses = {str(node): str(address) for node, address in store.rows("SELECT node, address FROM dial")}
    lines: list[dict[str, Any]] = []
    for party in registry.parties():
        if party.role != "node":
            continue
        _, connected, last, version, snapshot, datasets, size = seen.get(party.name, (None, 0, 0, "", "", "[]", 0))
        lines.append(
            {
                "name": party.name,
                "state": "revoked" if party.revoked else "registered",
                "facts": dict(party.facts),
                "enrolment": party.enrolment,
                "connected": bool(connected) if serving else None,
                "last_seen": int(last),
                "version": version,
                "snapshot": snapshot,
                "datasets": json.loads(datasets),
                "registry_size": int(size),
                "dial": addresses.get(party.name, ""),
                "log": None if party.revoked else logs.get(party.name),
            }
        )
    for invited in registry.invitations():
        body = invited.body
        if body.role == "node" and invited.closed is None:
            lines.append({"name": body.name, "state": "invited", "facts": dict(body.facts), "enrolment": body.enrolment})
    return lines


def nodes_table(lines: Sequence[dict[str, Any]], now: float) -> Table:
    """A line for each node. Snapshot ids, versions and addresses are in the tree."""
    table = Table(title="Nodes", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("node", "state", "last seen", "facts", "enrolment", "datasets"):
        table.add_column(
            heading, justify="right" if heading == "enrolment" else "left", no_wrap=heading in ("node", "state", "last seen")
        )
    for line in lines:
        state = line["state"]
        if state == "registered" and line["connected"] is not None:
            state = "connected" if line["connected"] else "offline"
        last = line.get("last_seen", 0)
        table.add_row(
            line["name"],
            state,
            _ago(now - last) if last else "never",
            ", ".join(f"{fact} {code}" for fact, code in sorted(line["facts"].items())),
            f"{line['enrolment']:,}" if line["enrolment"] else "unknown",
            ", ".join(line.get("datasets", [])),
        )
    return table


def budget_tree(store: Store, registry: Registry) -> list[dict[str, Any]]:
    """For each node, privacy unit and period: what this log has recorded as charged, and what the node's policy says.

    All figures are nano-rho. The ledger that counts is the node's: it also holds charges whose answers never arrived here.
    """
    policies: dict[str, dict[str, Any]] = {}
    for node, note in store.rows("SELECT node, policy FROM seen WHERE policy IS NOT NULL"):
        try:
            budgets = Policy.read(bytes(note)).policy.get("budget", {})  # its signature was checked when it came
        except CollegiumError:
            continue
        policies[str(node)] = budgets if isinstance(budgets, dict) else {}
    charged: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for node, unit, period, rho in store.rows(
        "SELECT node, unit, period, SUM(rho) FROM charges GROUP BY node, unit, period ORDER BY node, unit, period"
    ):
        charged.setdefault((node, unit), []).append((period, int(rho)))
    pairs = set(charged) | {(node, unit) for node, budgets in policies.items() for unit in budgets}
    lines = []
    for node, unit in sorted(pairs):
        published = policies.get(node, {}).get(unit)
        published = published if isinstance(published, dict) else {}
        periods = charged.get((node, unit), [])
        lines.append(
            {
                "node": node,
                "revoked": _revoked(registry, node),
                "unit": unit,
                "period": published.get("period"),
                "period_budget": _whole(published.get("rho")),
                "lifetime_budget": _whole(published.get("lifetime")),
                "charged": dict(periods),
                "charged_in_all": sum(rho for _, rho in periods),
            }
        )
    return lines


def budget_table(lines: Sequence[dict[str, Any]]) -> Table:
    """A line for each node, privacy unit and period."""
    table = Table(
        title="Budgets in rho: published by the nodes, charged as recorded in this log", title_justify="left", box=box.SIMPLE_HEAD
    )
    for heading in ("node", "unit", "period", "charged", "of period", "charged in all", "of lifetime"):
        table.add_column(heading, justify="left" if heading in ("node", "unit", "period") else "right")
    for line in lines:
        periods = list(line["charged"].items()) or [(f"per {line['period']}" if line["period"] else "", 0)]
        for number, (period, rho) in enumerate(periods):
            first = number == 0
            table.add_row(
                line["node"] if first else "",
                line["unit"] if first else "",
                period,
                _rho(rho),
                _rho(line["period_budget"]),
                _rho(line["charged_in_all"]) if first else "",
                _rho(line["lifetime_budget"]) if first else "",
            )
    return table


def _revoked(registry: Registry, node: str) -> bool:
    return any(party.name == node and party.revoked for party in registry.parties())


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _rho(nano: int | None) -> str:
    return "not published" if nano is None else f"{nano / NANO:,.6f}".rstrip("0").rstrip(".")


def _ago(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return "just now"


def day_of(seconds: float) -> str:
    """A date for people, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
