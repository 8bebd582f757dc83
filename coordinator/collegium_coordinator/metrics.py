"""How the two logs stand with their witnesses, and how far the copies of the nodes' logs reach, for monitoring: a file in
Prometheus's text format, for its textfile collector or `cat`. Names and numbers of logs only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collegium_coordinator.cosigning import Cosigned, Cosigning
from collegium_coordinator.mirror import Mirror
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store
from collegium_coordinator.witnesses import log_lines

__all__ = ["Metrics", "render"]

PREFIX = "collegium_coordinator_"
EVERY = 5.0  # seconds
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
_WHOLE = {
    "copied_logs": "Nodes' logs of which a copy is kept.",
    "copied_entries": "Entries in all of those copies.",
    "copied_bytes": "Bytes of those entries.",
}


def render(lines: list[dict[str, Any]], whole: dict[str, int]) -> str:
    """`lines`: one for each log, with the keys of the table above; `whole`: the figures about copies."""
    text = []
    for name, (key, said) in _OF_LOGS.items():
        text.append(f"# HELP {PREFIX}{name} {said}\n# TYPE {PREFIX}{name} gauge\n")
        for line in lines:
            value = -1 if line[key] is None else round(line[key], 3)
            text.append(f'{PREFIX}{name}{{log="{line["origin"]}"}} {value}\n')
    for name, said in _WHOLE.items():
        text.append(f"# HELP {PREFIX}{name} {said}\n# TYPE {PREFIX}{name} gauge\n{PREFIX}{name} {whole[name]}\n")
    return "".join(text)


class Metrics:
    """Writes the file while `run` runs."""

    def __init__(
        self, path: Path, store: Store, registry: RegistryLog, mirror: Mirror, cosigning: Cosigning, own: list[Cosigned],
        stopped: Callable[[str], bool], *, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._path = path
        self._store, self._registry, self._mirror, self._cosigning, self._own = store, registry, mirror, cosigning, own
        self._stopped = stopped
        self._clock = clock

    async def run(self) -> None:
        """Now and then, until cancelled. A disk that refuses it refuses more important things too, and those say so."""
        while True:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self.write)
            await asyncio.sleep(EVERY)

    def write(self) -> None:
        """Replace the file, whole. A reader never sees half of it; after a crash it is simply old."""
        wanted = {each.own.origin for each in self._own}
        lines = []
        for line in log_lines(self._store, self._registry.registry, self._clock(), origins=wanted):
            origin = line["origin"]
            may = self._cosigning.is_ready(origin) and not self._stopped(origin)
            lines.append({**line, "assigned": len(line["witnesses"]), "may_sign": int(may)})
        logs, entries, weight = self._mirror.totals()
        text = render(lines, {"copied_logs": logs, "copied_entries": entries, "copied_bytes": weight})
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.write_text(text, encoding="ascii")
        temporary.replace(self._path)
