"""The processes of a rehearsal: started with their output in files, watched, and ended by their own signal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from collegium.errors import Failed

__all__ = ["BIN", "Processes", "free_port"]

BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port that nobody listens on. Somebody may take it before we do; then the coordinator says so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """By name. What a host reports is in `reports`, by name; a process that ends by itself is found by `must_live`."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.reports: dict[str, dict[str, Any]] = {}

    def start(self, name: str, command: list[str], *, reports: bool = False) -> int:
        """Start one; its process id. `reports`: its standard output is lines of JSON."""
        if command[0].startswith("collegium"):
            command = [str(BIN / command[0]), *command[1:]]
        with (self._logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 (our own programs)
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if reports else log, stderr=log, env=_environment(),
                start_new_session=True,  # Ctrl-C reaches us alone: we end them in order
            )  # fmt: skip
        self._running[name] = process
        if reports:
            self.reports[name] = {}
            threading.Thread(target=self._listen, args=(name, process), daemon=True).start()
        return process.pid

    def run(self, command: list[str]) -> str:
        """A command to its end; what it wrote. Raises Failed with its own words."""
        done = subprocess.run(  # noqa: S603 (our own programs)
            [str(BIN / command[0]), *command[1:]], capture_output=True, text=True, check=False, env=_environment(), timeout=300
        )
        if done.returncode:
            raise Failed(f"{command[0]} {command[1]}: {done.stdout}{done.stderr}".strip())
        return done.stdout

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def names(self) -> list[str]:
        return list(self._running)

    def total(self, what: str) -> int:
        """The sum of what the hosts last reported under this name."""
        return sum(int(report.get(what, 0)) for report in self.reports.values())

    def must_live(self) -> None:
        """Raises Failed when one has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self._logs / f"{name}.log"
                raise Failed(f"{name} ended with {process.returncode}", place=str(log), remedy="See what it said there.")

    def wait_for_port(self, port: int, seconds: float = 60.0) -> None:
        """Until somebody listens. Raises Failed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.must_live()
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise Failed(f"nothing listens on port {port} after {seconds:g} seconds")

    def kill(self, name: str) -> None:
        """At once, as after a power cut."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def stop(self, seconds: float = 30.0) -> None:
        """All of them, in order; what does not end is killed."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        end = time.monotonic() + seconds
        for process in self._running.values():
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def _listen(self, name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.reports[name].update(json.loads(line))


def _environment() -> dict[str, str]:
    """Ours, without settings that would point a party to another's folder."""
    return {key: value for key, value in os.environ.items() if not key.startswith("COLLEGIUM")}
