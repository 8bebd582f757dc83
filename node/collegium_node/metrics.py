"""How the log stands with its witnesses, for monitoring: a file in Prometheus's text format, for its textfile collector or `cat`.

Names and numbers of the log only; nothing of it is taken from data, and most of it is in the log anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from collegium_node.home import Node
from collegium_node.quorum import Figures

__all__ = ["keep", "render", "write"]

PREFIX = "collegium_node_log_"
_HELP = {
    "entries": "Entries of this node's log.",
    "confirmed_entries": "Entries that a quorum of the witnesses has confirmed; all of them for a log without witnesses.",
    "backlog_entries": "Entries that wait for the quorum.",
    "quorum_age_seconds": "Seconds since a quorum last confirmed the log; -1 before it ever did, or without witnesses.",
    "witnesses": "Witnesses that the registry has assigned to the log and that are not revoked.",
    "witnesses_reachable": "How many of them answered when they were last asked; -1 before any was.",
    "quorum_needed": "How many of them must cosign; 0 for a log without witnesses.",
    "may_sign": "1 when nothing speaks against signing.",
    "restored": "1 when the node has stopped because its database is an old copy; then run `collegium-node recover`.",
}


def render(figures: Figures, *, may_sign: bool, restored: bool) -> str:
    values = {
        "entries": figures.size,
        "confirmed_entries": figures.confirmed,
        "backlog_entries": figures.backlog,
        "quorum_age_seconds": -1 if figures.age is None else figures.age,
        "witnesses": figures.witnesses,
        "witnesses_reachable": -1 if figures.reachable is None else figures.reachable,
        "quorum_needed": figures.needed,
        "may_sign": int(may_sign),
        "restored": int(restored),
    }
    return "".join(
        f"# HELP {PREFIX}{name} {_HELP[name]}\n# TYPE {PREFIX}{name} gauge\n{PREFIX}{name} {value}\n"
        for name, value in values.items()
    )


def write(node: Node) -> None:
    """Replace the file, whole. A reader never sees half of it; after a crash it is simply old."""
    with node.store.read() as db:
        refusal = node.permit(db)
    restored = refusal is not None and refusal.reason == "restored"
    text = render(node.quorum.figures(), may_sign=refusal is None, restored=restored)
    temporary = node.home.metrics_file.with_suffix(f".{os.getpid()}")
    temporary.write_text(text, encoding="ascii")
    temporary.replace(Path(node.home.metrics_file))


async def keep(node: Node, *, every: float) -> None:
    """Write it now and then, until cancelled. A disk that refuses it refuses more important things too, and those say so."""
    while True:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(write, node)
        await asyncio.sleep(every)
