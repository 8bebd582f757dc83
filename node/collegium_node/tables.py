"""What `budget`, `requests` and `doctor` show. The same figures as plain trees for `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from collegium.accounting import NANO, epsilon_of
from collegium_node.doctor import Finding
from collegium_node.ledger import Spending
from collegium_node.requests import HeldRequest

__all__ = ["budget_table", "budget_tree", "doctor_table", "requests_table", "requests_tree"]


def budget_tree(lines: Sequence[Spending], delta: float) -> list[dict[str, Any]]:
    """Nano-rho throughout; `left` is never below zero. `lifetime_epsilon` states what has been spent ever, at `delta`."""
    return [
        {
            "scope": line.scope,
            "name": line.name,
            "unit": line.unit,
            "period": line.period,
            "spent": line.spent,
            "limit": line.limit,
            "left": max(0, line.limit - line.spent),
            "lifetime_spent": line.lifetime_spent,
            "lifetime": line.lifetime,
            "lifetime_epsilon": float(f"{epsilon_of(line.lifetime_spent, delta):.4g}"),
            "delta": delta,
        }
        for line in lines
    ]


def budget_table(lines: Sequence[Spending], delta: float) -> Table:
    """A line for each budget, limits under it. rho is what adds up; epsilon is what it means at the federation's delta."""
    table = Table(title=f"Privacy budgets: rho (epsilon at delta {delta:g})", title_justify="left")
    for heading in ("budget", "period"):
        table.add_column(heading, no_wrap=True)
    for heading in ("spent", "left", "of", "spent ever", "lifetime"):
        table.add_column(heading, justify="right", min_width=8)
    for line in lines:
        name = line.name if line.scope == "unit" else f"  {line.scope} {line.name}"
        table.add_row(
            name,
            line.period,
            _amount(line.spent, delta),
            _amount(max(0, line.limit - line.spent), delta),
            _amount(line.limit, delta),
            _amount(line.lifetime_spent, delta),
            "" if line.lifetime is None else _amount(line.lifetime, delta),
            style="bold" if line.scope == "unit" else None,
        )
    return table


def requests_tree(lines: Sequence[HeldRequest]) -> list[dict[str, Any]]:
    """Each request with its questions as they were signed."""
    return [
        {
            "id": line.id,
            "state": line.state,
            "time": line.time,
            "researcher": line.researcher,
            "purpose": line.purpose,
            "expiry": line.expiry,
            "rho": line.rho,
            "questions": [question.to_json() for question in line.questions],
        }
        for line in lines
    ]


def requests_table(lines: Sequence[HeldRequest], delta: float) -> Table:
    table = Table(title="Requests that wait for the steward", title_justify="left")
    table.add_column("id", no_wrap=True)  # it is typed again
    for heading in ("state", "asked", "researcher", "datasets", "release", "cost", "purpose"):
        table.add_column(heading)
    for line in lines:
        datasets = ", ".join(sorted({question.dataset for question in line.questions}))
        release = ", ".join(_RELEASES[mode] for mode in sorted({question.mode for question in line.questions}, reverse=True))
        asked = datetime.fromtimestamp(line.time, UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(line.id[:12], line.state, asked, line.researcher, datasets, release, _amount(line.rho, delta), line.purpose)
    return table


_RELEASES = {"per_node": "own figures", "national": "national sum"}


def doctor_table(findings: Sequence[Finding]) -> Table:
    table = Table(title="Hop by hop", title_justify="left")
    for heading in ("", "hop", "found", "what to do"):
        table.add_column(heading)
    marks = {"ok": "ok", "failed": "FAILED", "warning": "look", "skipped": "-"}
    styles = {"ok": None, "failed": "bold red", "warning": "yellow", "skipped": "dim"}
    for finding in findings:
        table.add_row(marks[finding.state], finding.hop, finding.text, finding.remedy, style=styles[finding.state])
    return table


def _amount(nano: int, delta: float) -> str:
    """Four digits of each, for reading; `--json` has the exact nano-rho."""
    return f"{nano / NANO:.4g} ({epsilon_of(nano, delta):.3g})" if nano else "0"
