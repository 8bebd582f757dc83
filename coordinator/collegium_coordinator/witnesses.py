"""What `witness list` and `nodes --json` show: who cosigns which log, how far, and how long ago.

Of the coordinator's two logs it knows all; of the log of a node or trustee the newest checkpoint that came with an answer. Read
from the database, whether the coordinator is serving or not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rich import box
from rich.table import Table

from collegium.errors import CollegiumError
from collegium.log.checkpoint import read_checkpoint
from collegium.log.cosign import open_cosignatures
from collegium.registry import Registry
from collegium.statements import Peer
from collegium_coordinator.store import Store

__all__ = ["log_lines", "witness_table"]


def log_lines(
    store: Store, registry: Registry, now: float, *, serving: bool = True, origins: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """One line for each log (of these origins): witnesses, quorum, and the sizes.

    size            entries of the newest checkpoint known here
    confirmed       entries of the newest known checkpoint that the quorum of today has cosigned; `size` where none is needed
    backlog         entries between the two
    age             seconds since that quorum, None before the first and where none is needed
    reachable       witnesses that are connected now; None while nobody serves, because then nobody knows
    """
    lines = []
    present = "SELECT node FROM seen WHERE connected = 1 UNION SELECT name FROM trustees WHERE connected = 1"
    connected = {str(row[0]) for row in store.rows(present)}
    own = {
        registry.registry_log.name: store.row("SELECT checkpoint FROM registry ORDER BY idx DESC LIMIT 1"),
        registry.coordinator_log.name: store.row("SELECT note FROM head"),
    }
    for origin, row in own.items():
        if origins is not None and origin not in origins:
            continue
        cosigned = store.row("SELECT size, time FROM cosigned WHERE origin = ?", (origin,))
        size = read_checkpoint(bytes(row[0])).size if row is not None else 0
        lines.append(_line(registry, origin, size, cosigned, now))
    for node in registry.nodes_at(registry.size, roles=("node", "trustee")):
        if node.log is not None and (origins is None or node.log.name in origins):
            lines.append(_line(registry, node.log.name, *_of_node(store, registry, node.log.vkey, node.log.name), now))
    for line in lines:
        line["reachable"] = len(connected & set(line["witnesses"])) if serving else None
    return lines


def witness_table(lines: Sequence[dict[str, Any]]) -> Table:
    """A line for each log; `up`: witnesses that are connected."""
    table = Table(title="Witnesses", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("log", "witnesses", "quorum", "up", "entries", "backlog", "age"):
        table.add_column(heading, justify="left" if heading in ("log", "witnesses") else "right")
    for line in lines:
        age = "" if line["age"] is None else f"{line['age']:.0f} s"
        table.add_row(
            line["origin"],
            ", ".join(line["witnesses"]) or "none",
            str(line["quorum"]),
            "" if line["reachable"] is None else str(line["reachable"]),
            f"{line['size']:,}",
            f"{line['backlog']:,}",
            age,
        )
    return table


def _line(registry: Registry, origin: str, size: int, cosigned: tuple[Any, ...] | None, now: float) -> dict[str, Any]:
    keys, quorum = registry.witnesses_of(origin)
    confirmed = int(cosigned[0]) if cosigned is not None else 0
    return {
        "origin": origin,
        "witnesses": sorted(keys),
        "quorum": quorum,
        "size": size,
        "confirmed": confirmed if quorum else size,
        "backlog": max(0, size - confirmed) if quorum else 0,
        "age": max(0.0, now - float(cosigned[1])) if cosigned is not None and quorum else None,
    }


def _of_node(store: Store, registry: Registry, vkey: str, origin: str) -> tuple[int, tuple[int, float] | None]:
    """The newest known size of a node's log, and size and time of its newest checkpoint here that has the quorum."""
    row = store.row("SELECT size, entry FROM peers WHERE log = ? ORDER BY size DESC LIMIT 1", (vkey,))
    if row is None:
        return 0, None
    keys, quorum = registry.witnesses_of(origin)
    try:
        times = open_cosignatures(Peer.read(store.entry(int(row[1]))).note, keys.values())
    except CollegiumError:
        return int(row[0]), None
    newest = sorted(times.values(), reverse=True)
    return int(row[0]), (int(row[0]), float(newest[quorum - 1])) if quorum and len(newest) >= quorum else None
