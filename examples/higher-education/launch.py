"""A whole federation on one machine, each party a real process with its own folder: for the demonstration and the system tests.

Everything is done with the commands a person would type; nothing reaches into a party's files.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent


class Trouble(RuntimeError):
    """A command failed; its own words are in the text."""


@dataclass
class University:
    """A node to start: name, public facts, the [sources] and [datasets] of its node.toml, a function that writes its data."""

    name: str
    facts: dict[str, str]
    enrolment: int
    sources: str
    write: Callable[[Path], None]
    budget: str = '[budget.student]\nperiod = "year"\nepsilon = 20\nlifetime_epsilon = 100\n'
    coordinator: str = ""  # the body of node.toml's [coordinator]
    allow: Sequence[str] = field(default_factory=tuple)  # researchers
    release: Sequence[str] = field(default_factory=tuple)  # more words of `allow`, such as --release both --smallest 4


@dataclass
class Ministry:
    """What the launcher needs to know of the coordinator."""

    federation: str
    schema: Path
    delta: str = "1e-6"


class Federation:
    """Folders under `root`: ministry/, nodes/NAME/, trustees/NAME/, researchers/NAME/, logs/. Stop it, or use it in a `with`."""

    def __init__(self, root: Path, ministry: Ministry, *, say: Callable[[str], None] = lambda text: None) -> None:
        self.root = root
        self.ministry = ministry
        self.say = say
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.port, self.enrol = free_port(), free_port()
        (root / "logs").mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Federation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def home(self) -> Path:
        return self.root / "ministry"

    def node_home(self, name: str) -> Path:
        return self.root / "nodes" / name

    def trustee_home(self, name: str) -> Path:
        return self.root / "trustees" / name

    def researcher_home(self, name: str) -> Path:
        return self.root / "researchers" / name

    # The ministry

    def found(self) -> None:
        self.run(
            "collegium-coordinator", "init", "--home", self.home, "--federation", self.ministry.federation,
            "--schema", self.ministry.schema, "--delta", self.ministry.delta, "--host", "127.0.0.1",
            "--listen", f"127.0.0.1:{self.port}", "--enrol", f"127.0.0.1:{self.enrol}",
        )  # fmt: skip

    def serve(self) -> None:
        self.start("coordinator", "collegium-coordinator", "serve", "--home", self.home)
        wait_for_port(self.port)

    def invite_node(self, university: University) -> str:
        facts = [part for fact, code in university.facts.items() for part in ("--fact", f"{fact}={code}")]
        enrolment = "--enrolment", str(university.enrolment)
        return self.run("collegium-coordinator", "invite", "node", university.name, *facts, *enrolment, "--home", self.home).strip()

    def invite_researcher(self, name: str) -> str:
        return self.run("collegium-coordinator", "invite", "researcher", name, "--home", self.home).strip()

    # The universities

    def install(self, university: University, token: str) -> None:
        """A node from nothing to ready: init, data, join, snapshot, policy."""
        home = self.node_home(university.name)
        self.run("collegium-node", "init", "--home", home)
        university.write(home)
        settings = f"[coordinator]\n{university.coordinator}\n\n" if university.coordinator else ""
        (home / "node.toml").write_text(settings + university.sources, encoding="utf-8")
        (home / "policy.toml").write_text(university.budget, encoding="utf-8")
        self.run("collegium-node", "join", token, "--home", home)
        self.run("collegium-node", "snapshot", "first", "--home", home)
        for researcher in university.allow:
            self.run("collegium-node", "allow", "--researcher", researcher, *university.release, "--home", home)

    def start_node(self, name: str) -> None:
        self.start(name, "collegium-node", "serve", "--home", self.node_home(name))

    def open(self, universities: Sequence[University], researchers: Sequence[str], trustees: Sequence[str] = ()) -> None:
        """Found, serve, let everybody join, start nodes and trustees, wait until all nodes are connected."""
        self.found()
        self.serve()
        for researcher in researchers:
            self.join(researcher)
        tokens = {each.name: self.invite_node(each) for each in universities}

        def bring_up(each: University) -> None:
            self.install(each, tokens[each.name])
            self.start_node(each.name)
            self.say(f"  {each.name} is up")

        def bring_up_trustee(name: str) -> None:
            self.install_trustee(name)
            self.start_trustee(name)

        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            list(pool.map(bring_up, universities))
            list(pool.map(bring_up_trustee, trustees))
        if researchers:
            self.wait_connected(researchers[0], len(universities))

    # The trustees

    def install_trustee(self, name: str) -> None:
        token = self.run("collegium-coordinator", "invite", "trustee", name, "--home", self.home).strip()
        self.run("collegium-trustee", "init", "--home", self.trustee_home(name))
        self.run("collegium-trustee", "join", token, "--home", self.trustee_home(name))

    def start_trustee(self, name: str) -> None:
        self.start(name, "collegium-trustee", "serve", "--home", self.trustee_home(name))

    # The researchers

    def join(self, name: str) -> None:
        self.run("collegium", "join", self.invite_researcher(name), "--home", self.researcher_home(name))

    def ask(self, researcher: str, *arguments: str | Path, check: bool = True) -> str:
        return self.run("collegium", "ask", *arguments, "--home", self.researcher_home(researcher), check=check)

    def wait_connected(self, researcher: str, count: int, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while True:
            listed: list[dict[str, Any]] = json.loads(
                self.run("collegium", "nodes", "--json", "--home", self.researcher_home(researcher))
            )
            if sum(bool(node["connected"]) for node in listed) >= count:
                return
            if time.monotonic() > end:
                raise Trouble(f"only {listed} after {seconds:g} seconds; see {self.root / 'logs'}")
            time.sleep(0.3)

    # Processes

    def run(self, *command: str | Path, check: bool = True) -> str:
        """A command's standard output. Raises Trouble with what it said when it failed."""
        program, *rest = map(str, command)
        done = subprocess.run([str(BIN / program), *rest], capture_output=True, text=True, check=False, env=environment())
        if check and done.returncode != 0:
            raise Trouble(f"{' '.join(map(str, command))[:200]}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self, key: str, *command: str | Path) -> None:
        program, *rest = map(str, command)
        with (self.root / "logs" / f"{key}.log").open("ab") as log:
            self.processes[key] = subprocess.Popen(
                [str(BIN / program), *rest], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment()
            )

    def kill(self, key: str) -> None:
        """The process is gone at once, as after a power cut."""
        process = self.processes.pop(key)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


def environment() -> dict[str, str]:
    """The parent's, without settings that would point a party to another's folder."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COLLEGIUM")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while True:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > end:
            raise Trouble(f"nothing listens on port {port} after {seconds:g} seconds")
        time.sleep(0.1)


def fresh(folder: Path) -> Path:
    """An empty folder of this name; what an earlier run left in it is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
