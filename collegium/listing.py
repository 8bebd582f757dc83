"""Lists on a terminal and as JSON: nodes, requests, the schema."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table as Grid

from collegium.schema import Schema
from collegium.v1.federation_pb2 import NodeLine, RequestLine

__all__ = ["nodes_table", "nodes_tree", "requests_table", "requests_tree", "schema_table"]

SHOWN_CODES = 6


def nodes_tree(lines: Sequence[NodeLine]) -> list[dict[str, Any]]:
    """One object a node."""
    return [
        {
            "name": line.name,
            "facts": dict(line.facts),
            "enrolment": line.enrolment,
            "connected": line.connected,
            "last_seen": line.last_seen,
            "version": line.status.version,
            "snapshot": line.status.snapshot,
            "datasets": list(line.status.datasets),
            "registry_size": line.status.registry_size,
        }
        for line in lines
    ]


def nodes_table(lines: Sequence[NodeLine], facts: Sequence[str], now: float) -> Grid:
    grid = _grid("node", *facts, "enrolment", "connected", "datasets")
    for line in lines:
        seen = "yes" if line.connected else f"no, seen {_ago(now - line.last_seen)}" if line.last_seen else "never"
        grid.add_row(
            line.name, *(line.facts.get(fact, "") for fact in facts), f"{line.enrolment:,}", seen, ", ".join(line.status.datasets)
        )
    return grid


def requests_tree(lines: Sequence[RequestLine]) -> list[dict[str, Any]]:
    """One object a request."""
    return [
        {
            "request": line.request_id,
            "time": line.time,
            "purpose": line.purpose,
            "asked": line.progress.asked,
            "released": line.progress.released,
            "refused": line.progress.refused,
            "held": line.progress.held,
            "missing": line.progress.missing,
            "done": line.progress.done,
        }
        for line in lines
    ]


def requests_table(lines: Sequence[RequestLine]) -> Grid:
    grid = _grid("request", "asked at (UTC)", "answered", "held", "purpose")
    for line in lines:
        at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(line.time))
        progress = line.progress
        grid.add_row(line.request_id[:12], at, f"{progress.released} of {progress.asked}", str(progress.held or ""), line.purpose)
    return grid


def schema_table(schema: Schema, dataset: str, language: str) -> Grid:
    """All datasets, or the columns of one with their codes and bounds."""
    if not dataset:
        grid = _grid("dataset", "what", "person", "unit", "rows/person", "groups/person", "columns")
        for name, each in schema.datasets.items():
            grid.add_row(
                name,
                each.title.get(language),
                each.person,
                each.unit,
                str(each.max_rows),
                str(each.max_groups),
                ", ".join(each.columns),
            )
        grid.add_section()
        for name, fact in schema.facts.items():
            grid.add_row(name, fact.title.get(language), "", "fact of a node", "", "", "free to group by")
        return grid
    grid = _grid("column", "what", "type", "values")
    for name, column in schema.datasets[dataset].columns.items():
        if column.is_number:
            values = f"{column.min} to {column.max} {column.unit} in steps of {column.step}"
        else:
            known = [f"{code} {text.get(language)}" for code, text in schema.values(column).items()]
            more = f", … ({len(known)} codes)" if len(known) > SHOWN_CODES else ""
            values = ", ".join(known[:SHOWN_CODES]) + more
        grid.add_row(name, column.title.get(language), column.type, values)
    return grid


def _grid(*columns: str) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        grid.add_column(column)
    return grid


def _ago(seconds: float) -> str:
    for size, word in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {word}{'s' if count > 1 else ''} ago"
    return "a moment ago"
