"""Figures for Prometheus: one set of collectors, shown as a file for the textfile collector and, if wanted, on a loopback port.

Both show what was taken at the last look, every few seconds, however often somebody reads: who reads a thousand times a second
sees no finer when a counter moved than who reads once. On a node this is what keeps the figures from being a clock of its tallies.

Trusted with nothing; who reads the port or the file learns what this service's collectors say, and they take no row, no exact
figure, no name of a person, no purpose and no SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from collegium.errors import CollegiumError, Failed
from collegium.observing.settings import host_and_port

if TYPE_CHECKING:  # a service's dependency, not a researcher's
    from prometheus_client import Metric
    from prometheus_client.registry import Collector, CollectorRegistry

__all__ = ["Exposition", "ProcessFigures"]

HANDLES = frozenset({"process_open_fds", "process_max_fds", "process_start_time_seconds"})
"""What of the process says nothing about how much it holds or has computed."""


class Exposition:
    """All figures of one process. Make metrics with `registry=exposition.live`, or add a collector; then `write` or `keep`."""

    def __init__(self, file: Path, collectors: Iterable[Collector] = ()) -> None:
        from prometheus_client.registry import CollectorRegistry

        self._file = file
        self.live: CollectorRegistry = CollectorRegistry(auto_describe=False)
        for each in collectors:
            self.live.register(each)
        self._taken: tuple[Metric, ...] = ()
        self._shown = CollectorRegistry(auto_describe=False)
        self._shown.register(self)
        self._server: Any = None
        self._writing = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        """What was taken at the last look."""
        return self._taken

    def text(self) -> str:
        """The figures of the last look in Prometheus's text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._shown).decode("utf-8")

    def write(self) -> None:
        """Look, and replace the file, whole. A reader never sees half of it; after a crash it is simply old."""
        with self._writing:
            self._taken = tuple(self.live.collect())
            temporary = self._file.with_suffix(f".{os.getpid()}")
            temporary.write_text(self.text(), encoding="utf-8")
            temporary.replace(self._file)

    async def keep(self, every: float) -> None:
        """Now and then, until cancelled. A disk that refuses it refuses more important things too, and those say so."""
        while True:
            with contextlib.suppress(OSError, CollegiumError):
                await asyncio.to_thread(self.write)
            await asyncio.sleep(every)

    def opened(self, address: str) -> Self:
        """Itself, with its port open if an address is given."""
        if address:
            self.listen(address)
        return self

    def listen(self, address: str) -> int:
        """Serve them under /metrics on a loopback address until `close`; the port. Raises Failed when it is taken."""
        from prometheus_client import start_http_server

        host, port = host_and_port(address)
        try:
            self._server, _ = start_http_server(port, host, registry=self._shown)
        except OSError as error:
            raise Failed(
                f"the port for metrics cannot be opened: {error.strerror}", place=address, remedy="Choose another in [metrics]."
            ) from None
        return int(self._server.server_port)

    def close(self) -> None:
        """Close the port, if there is one."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class ProcessFigures:
    """Memory, processor time and open files of this process, by the operating system.

    `handles`: open files and the start alone. A process that holds rows grows with them and computes the longer the more there
    are, so its memory and processor time are figures of its rows; whoever runs the machine sees them there.
    """

    def __init__(self, what: Literal["all", "handles"]) -> None:
        from prometheus_client import ProcessCollector

        self._found = ProcessCollector(registry=None)
        self._all = what == "all"

    def collect(self) -> Iterable[Metric]:
        return [each for each in self._found.collect() if self._all or each.name in HANDLES]
