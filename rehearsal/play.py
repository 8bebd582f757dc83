"""The phases of a rehearsal, one after another. `run`, then `end` whatever happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from collegium.client import connect
from collegium.errors import CollegiumError, Failed
from rehearsal.asking import NATIONAL, PER_NODE, Truth, ask
from rehearsal.country import RESEARCHER, TRUSTEES, Country
from rehearsal.processes import BIN, Processes, free_port
from rehearsal.report import Report
from rehearsal.usage import free_memory, usage

__all__ = ["Play"]

FILES_A_NODE = 5  # database, its two companions, the connection, and one in reserve
MEMORY_A_NODE = 2.5  # MiB at its host and the coordinator together, after some questions
PATIENCE = 600.0  # seconds for everybody to connect


class Play:
    """One rehearsal.

    Args:
        root: an empty folder with `logs/` in it.
        tunnels: universities with a tunnel of their own; None for as many as open files and memory allow.
        files: open files that a process may have.
    """

    def __init__(
        self, root: Path, console: Console, *, nodes: int, tunnels: int | None, hosts: int, persons: int, witnesses: int,
        epsilon: str, restart: bool, files: int,
    ) -> None:  # fmt: skip
        self._console = console
        self._country = Country(root, f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
        self._processes = Processes(root / "logs")
        self._nodes, self._hosts, self._persons, self._witnesses = nodes, max(1, min(hosts, nodes)), persons, witnesses
        self._epsilon, self._restart = epsilon, restart
        most = min((files - 200) // FILES_A_NODE * self._hosts, files - 200, int(free_memory() / MEMORY_A_NODE))
        self._tunnels = max(0, min(nodes, most if tunnels is None else tunnels))
        self._bound = most
        self.report = Report(nodes=nodes, tunnels=self._tunnels, witnesses=witnesses)

    def run(self) -> None:
        """All phases. Raises CollegiumError when one cannot be played."""
        with self._phase("found the federation, register everybody"):
            self._country.found()
            for count in self._country.register(self._nodes, witnesses=self._witnesses):
                if count % 500 == 0:
                    self._say(f"{count} of {self._nodes} universities are registered")
        with self._phase("start the coordinator"):
            self._start_coordinator()
        before = usage(self._processes.pid("coordinator")).memory
        with self._phase("open the universities"):
            self._start_hosts()
        with self._phase("all connected, greeted and noted"):
            self._until_connected()
        if self._tunnels == self._nodes:
            self.report.per_tunnel_kib = (usage(self._processes.pid("coordinator")).memory - before) * 1024 / self._tunnels
        national = (BIN / "collegium-trustee").exists()
        if national:
            try:
                with self._phase("three trustees join and serve"):
                    self._start_trustees()
            except CollegiumError as error:
                self.report.troubles.append(str(error))
        truth = Truth(self._nodes, self._persons)
        self._ask(PER_NODE, truth)
        if self.report.trustees:
            self._ask(NATIONAL, truth)
        if self._restart:
            with self._phase("the coordinator is killed and started; everybody is back"):
                self._processes.kill("coordinator")
                self._start_coordinator()
                self._until_connected()

    def end(self) -> None:
        """Note what the processes have used, and end them."""
        for name in self._processes.names():
            self.report.processes[name] = usage(self._processes.pid(name))
        self.report.real = self._real()
        self._say("ending")
        self._processes.stop()

    # -- phases ----------------------------------------------------------------------------------------------------------------

    def _start_coordinator(self) -> None:
        home = str(self._country.ministry.path)
        if self._tunnels == self._nodes:
            self._processes.start("coordinator", ["collegium-coordinator", "serve", "--home", home])
        else:
            inside = [str(self._tunnels), str(self._nodes - self._tunnels), str(self._persons)]
            country = [str(self._country.root), self._country.main, self._country.enrolment]
            self._processes.start("coordinator", [sys.executable, "-m", "rehearsal.within", *country, *inside], reports=True)
        self._processes.wait_for_port(int(self._country.main.rpartition(":")[2]), 300.0)

    def _start_hosts(self) -> None:
        each = -(-self._tunnels // self._hosts) if self._tunnels else 0
        for first in range(0, self._tunnels, each or 1):
            count = min(each, self._tunnels - first)
            country = [str(self._country.root), self._country.main, self._country.enrolment]
            command = [sys.executable, "-m", "rehearsal.host", *country, str(first), str(count), str(self._persons)]
            self._processes.start(f"host-{first}", command, reports=True)
        self._wait(lambda: self._processes.total("open"), self._nodes, "universities are open")

    def _until_connected(self) -> None:
        with connect(self._country.researcher.path) as federation:
            self._wait(lambda: sum(node.connected for node in federation.nodes()), self._nodes, "universities are connected", 2.0)

    def _start_trustees(self) -> None:
        """By the commands that an institution would type."""
        ministry = str(self._country.ministry.path)
        registry = ["--home", ministry, "--registry", str(self._country.registry_key)]
        for name in TRUSTEES:
            home = str(self._country.trustee(name))
            token = self._processes.run(["collegium-coordinator", "invite", "trustee", name, *registry]).strip()
            self._processes.run(["collegium-trustee", "init", "--home", home])
            self._processes.run(["collegium-trustee", "join", token, "--home", home])
            self._processes.start(name, ["collegium-trustee", "serve", "--home", home])
        self.report.trustees = len(TRUSTEES)
        self._processes.run(["collegium-coordinator", "partition", "--by", "province", "--at-least", "30", *registry])
        time.sleep(5)  # they dial, are taught the registry, and cosign

    def _ask(self, statements: tuple[str, ...], truth: Truth) -> None:
        with connect(self._country.researcher.path) as federation:
            for sql in statements:
                self._console.print(f"[dim]{sql}[/]")
                said = [0.0]

                def heard(answered: int, asked: int, said: list[float] = said) -> None:
                    if time.monotonic() - said[0] > 5.0:
                        said[0] = time.monotonic()
                        self._say(f"{answered} of {asked} have answered")

                try:
                    self.report.asked.append(ask(federation, sql, self._epsilon, truth, heard))
                except CollegiumError as error:
                    self.report.troubles.append(f"{sql}: {error}")
                    self._say(f"not answered: {error}")

    # -- inside ----------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._console.print(f"[bold]{name}[/]")
        began = time.monotonic()
        try:
            yield
        finally:
            self.report.phases[name] = time.monotonic() - began

    def _wait(self, count: Callable[[], int], wanted: int, what: str, every: float = 1.0) -> None:
        end, told = time.monotonic() + PATIENCE, -1
        while (now := count()) < wanted:
            self._processes.must_live()
            if time.monotonic() > end:
                raise Failed(f"only {now} of {wanted} {what}", place=str(self._country.root / "logs"))
            if now != told:
                self._say(f"{now} of {wanted} {what}")
            told = now
            time.sleep(every)

    def _say(self, text: str) -> None:
        self._console.print(f"  {text}", style="dim")

    def _real(self) -> list[tuple[str, str]]:
        inside, three = self._nodes - self._tunnels, self.report.trustees
        return [
            (
                "coordinator",
                "its own parts beside universities" if inside else "`collegium-coordinator serve`, a process",
            ),
            (
                "registry",
                f"every entry signed and verified; {RESEARCHER} and {self._nodes} universities are registered by the registrar's"
                " and the enrolment's own code, without the line between them",
            ),
            (
                "universities with a tunnel of their own",
                f"{self._tunnels} of {self._nodes} (this machine bears {self._bound}): mutual TLS, {self._hosts} processes, each"
                " university with keys, log, ledger, database, policy and threads of its own",
            ),
            ("universities in the coordinator's process", f"{inside}: the same servicer, no TLS and no gRPC between"),
            ("registry at the universities", "verified once in each process and shared, not once by each university"),
            ("rows", f"invented, 8 kinds of campus, about {self._persons} persons; the node's own preparation, tally and noise"),
            ("witnesses of the universities' logs", f"{self._witnesses} other universities each" if self._witnesses else "none"),
            ("trustees", f"{three} processes of `collegium-trustee`" if three else "none: no national question was asked"),
            ("network", "loopback: no delay, no loss"),
        ]
