"""A federation of real processes to commit attacks in: every party its own process and its own folder, mutual TLS between them.

    base = Base(folder)                              # founded, joined, honest questions answered; then everybody is stopped
    with base.scene(folder) as scene:                # a copy of it, to be spoilt
        scene.serve("south")                         # honest: what `collegium-node serve` runs
        scene.serve("west", lie="overdraw")          # dishonest: the same with one step changed (dishonest_node.py)
        scene.ask(3500, "south", "west")             # by `collegium ask`
        found = scene.audited()                      # exported by everybody's own command, judged by `collegium audit`
        found.convicts("west", ("A6", "overdrawn"))  # this, of this party, and nothing else of anybody

A process begins as a fork of one that has loaded the programs already: it runs what the installed command runs, two seconds sooner.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from evidence import reverify
from launch import Federation, Ministry, wait_for_port
from nationally import configure
from small import SCHEMA, Said, campus, people, typed_here

from collegium.client import Federation as Client
from collegium.client import connect
from collegium.home import Home

NODES = ("north", "south", "east", "west")
ALICE, BOB = "alice", "bob"
COUNT = "SELECT COUNT(*) AS n FROM graduate WHERE salary >= {}"
BUDGET = '[budget.student]\nperiod = "year"\nrho = 100\nlifetime_rho = 1000\n'
TRUSTEES = ("accounts", "bureau", "council")
BOTH_MODES = ("--release", "both", "--smallest", "2")
LIARS = {"collegium-node": ("dishonest_node",), "collegium-coordinator": ("dishonest_coordinator", "dishonest_sums")}
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["collegium_node.serve", "collegium_node.cli", "collegium_coordinator.cli", "collegium_trustee.cli"])


def _run(program: str, words: Sequence[str], lie: str, log: str) -> None:
    """The life of one process: the command's own `main`, after the one change that a lie is."""
    with Path(log).open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = [program, *words]
    for each in lie.split():
        lies = {name: tell for module in LIARS[program] for name, tell in import_module(module).LIES.items()}
        lies[each](Path(words[-1]))
    import_module(f"{program.replace('-', '_')}.cli").main()


@dataclass(frozen=True)
class Found:
    """What `collegium audit` said: exit code, its JSON, where the evidence is."""

    code: int
    tree: dict[str, Any]
    evidence: tuple[Path, ...]

    def told(self, word: str) -> set[tuple[str, str, str]]:
        """(check, rule, party or the log) of every finding with this word."""
        found = [each for each in self.tree["findings"] if each["word"] == word]
        return {(each["check"], each["rule"], each["party"] or each["log"]) for each in found}

    @property
    def named(self) -> set[str]:
        return {each["party"] for each in self.tree["findings"] if each["party"]}

    def line(self, check: str) -> str:
        """The word of a check's own line."""
        return next(str(each["word"]) for each in self.tree["checks"] if each["check"] == check)

    def convicts(self, party: str, *proven: tuple[str, str]) -> None:
        """One party is named, for exactly this (check, rule), and each piece of evidence stands by itself."""
        self.convict({(check, rule, party) for check, rule in proven})

    def convict(self, proven: set[tuple[str, str, str]]) -> None:
        """The same for several parties: (check, rule, party)."""
        assert self.told("FAIL") == proven, self.tree["findings"]
        assert self.code == self.tree["exit"] == 1
        assert self.named == {party for _, _, party in proven}
        assert {self.line(check) for check, _, _ in proven} == {"FAIL"}
        failed = [each for each in self.tree["findings"] if each["word"] == "FAIL"]
        assert len(self.evidence) == len(failed)
        for finding, folder in zip(failed, self.evidence, strict=True):
            reverify(folder, finding["party"])

    def names_nobody(self, code: int, *warned: tuple[str, str, str]) -> None:
        """No FAIL, this exit code, and these warnings besides that of missing witnesses."""
        assert (self.code, self.named, self.evidence) == (code, set(), ()), self.tree["findings"]
        assert {each for each in self.told("WARN") if each[1] != "unwitnessed"} == set(warned)


class Stage(Federation):
    """`launch.Federation` whose commands run in this process and whose servers are forks."""

    def run(self, *command: str | Path, check: bool = True) -> str:
        said = self.type(*command)
        assert not check or said.code == 0, (command, said)
        return said.out

    def type(self, *command: str | Path) -> Said:
        program, *words = map(str, command)
        return typed_here(program, *words)

    def start(self, key: str, *command: str | Path, lie: str = "") -> None:
        program, *words = map(str, command)
        process = _FORKS.Process(target=_run, args=(program, words, lie, str(self.root / "logs" / f"{key}.log")), daemon=True)
        process.start()
        self._running[key] = process

    @property
    def _running(self) -> dict[str, BaseProcess]:
        return self.processes  # type: ignore[return-value]  # the base class only ever hands them to `kill` and `stop`

    def connected(self) -> set[str]:
        listed = json.loads(self.run("collegium", "nodes", "--json", "--home", self.researcher_home(ALICE)))
        return {node["name"] for node in listed if node["connected"]}

    def until(self, true: Callable[[], object], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"it did not happen; see {self.root / 'logs'}"
            time.sleep(0.05)

    def kill(self, key: str) -> None:
        """The process is gone at once, as after a power cut."""
        process = self._running.pop(key)
        process.kill()
        process.join()

    def stop(self, *keys: str) -> None:
        """SIGTERM to all, or to these."""
        stopped = [self._running.pop(key) for key in keys or tuple(self._running)]
        for process in stopped:
            process.terminate()
        for process in stopped:
            process.join(15)
            if process.is_alive():
                process.kill()
                process.join()


class Scene(Stage):
    """One attack: who serves honestly, who lies, what is asked, and what the audit says afterwards."""

    def coordinate(self, lie: str = "") -> None:
        """Start the coordinator."""
        self.start("coordinator", "collegium-coordinator", "serve", "--home", self.home, lie=lie)
        wait_for_port(self.port)

    def serve(self, *names: str, lie: str = "") -> None:
        """Start nodes; they are connected when this returns."""
        for name in names:
            self.start(name, "collegium-node", "serve", "--home", self.node_home(name), lie=lie)
        self.until(lambda: set(names) <= self.connected())

    def serve_again(self) -> None:
        """Wait until everybody who runs has found the coordinator again."""
        self.until(lambda: {name for name in NODES if name in self._running} <= self.connected())

    def newest_request(self) -> str:
        """The id of the last request in the coordinator's log."""
        with closing(sqlite3.connect(f"file:{self.home / 'coordinator.db'}?mode=ro", uri=True)) as db:
            return str(db.execute("SELECT id FROM requests ORDER BY entry DESC LIMIT 1").fetchone()[0])

    def entrust(self, *names: str) -> None:
        """Start trustees; they have shown their sealing keys when this returns."""
        for name in names:
            self.start(name, "collegium-trustee", "serve", "--home", self.trustee_home(name))
        self.until(lambda: self._ready_trustees() >= len(names))

    def _ready_trustees(self) -> int:
        with connect(self.researcher_home(ALICE)) as line:
            watch = line.watch()
            watch.look()
        return sum(each.role == "trustee" and each.state == "ready" for each in watch.found)

    def ask(self, salary: int, *nodes: str, rho: str = "1", researcher: str = ALICE, more: Sequence[str] = ()) -> Said:
        """A question that the salary makes another one; of these nodes."""
        only = [word for name in nodes for word in ("--node", name)]
        words = ("--rho", rho, "--deadline", "60", "--json", *only, *more, "--home", self.researcher_home(researcher))
        return self.type("collegium", "ask", COUNT.format(salary), *words)

    def answered(self, salary: int, *nodes: str, **more: Any) -> int:
        """How many nodes are in the figure of such a question."""
        said = self.ask(salary, *nodes, **more)
        assert said.code == 0, said
        return int(json.loads(said.out)["tables"][0]["coverage"]["answered"])

    def revoke(self, name: str) -> None:
        """The registrar revokes somebody; the serving coordinator knows it when this returns."""
        before = self._registered()
        self.run("collegium-coordinator", "revoke", name, "--home", self.home)
        self.until(lambda: self._registered() > before)

    def _registered(self) -> int:
        with Client(Home(self.researcher_home(ALICE))) as client:
            return client.registry.size

    def lines(self, party: str, text: str) -> int:
        """How often a process has said something of the kind."""
        file = self.root / "logs" / f"{party}.log"
        return file.read_text(encoding="utf-8").count(text) if file.exists() else 0

    def operate(self, command: str, *words: str | Path, node: str) -> Said:
        """A command of a node's operator."""
        return self.type("collegium-node", *command.split(), *words, "--home", self.node_home(node))

    def export(self, *parties: str, to: str = "logs") -> Path:
        """What each party publishes, by its own command; all of them by default."""
        folder = self.root / to
        for name in self._running:
            if name in NODES:  # its witnesses have cosigned all of its log, and it has written that down
                self.until(lambda name=name: json.loads(self.operate("log status", "--json", node=name).out)["backlog"] == 0)
        there = [name for name in TRUSTEES if self.trustee_home(name).exists()]
        for name in parties or ("coordinator", *NODES, *there):
            program, home = self._where(name)
            self.run(program, "log", "export", folder, "--home", home)
        return folder

    def _where(self, name: str) -> tuple[str, Path]:
        if name == "coordinator":
            return "collegium-coordinator", self.home
        return ("collegium-trustee", self.trustee_home(name)) if name in TRUSTEES else ("collegium-node", self.node_home(name))

    def audit(self, folder: Path) -> Found:
        """`collegium audit` by somebody who has the folder and a trust file, and no connection."""
        where = folder.parent / f"evidence-{folder.name}"
        said = self.type("collegium", "audit", folder, "--policy", self.root / "trust.txt", "--json", "--evidence", where)
        assert said.code in (0, 1, 2), said
        tree = json.loads(said.out)
        return Found(said.code, tree, tuple(map(Path, tree["evidence"])))

    def audited(self) -> Found:
        return self.audit(self.export())

    def __exit__(self, *exception: object) -> None:
        self.stop()


class Base:
    """The federation before any attack: four universities, two researchers, three questions answered, no witnesses.

    With `trustees` there are three of them, the universities take part in national sums too, and one of four may be missing.
    """

    def __init__(self, root: Path, *, trustees: bool = False) -> None:
        stage = Stage(root, Ministry(federation="small", schema=SCHEMA))
        try:
            stage.found()
            if trustees:
                configure(stage, {"dropout": "0.35", "seconds": "10"})
            stage.serve()
            for name in TRUSTEES if trustees else ():
                stage.install_trustee(name)
            for researcher in (ALICE, BOB):
                stage.join(researcher)
            for number, name in enumerate(NODES):
                university = campus(
                    name, people(60, first=100 * number), budget=BUDGET, allow=(ALICE, BOB), release=BOTH_MODES if trustees else ()
                )
                stage.install(university, stage.invite_node(university))
                stage.start_node(name)
            stage.wait_connected(ALICE, len(NODES))
            for researcher, salary in ((ALICE, 3000), (BOB, 3100), (ALICE, 3200)):
                stage.run("collegium", "ask", COUNT.format(salary), "--rho", "1", "--home", stage.researcher_home(researcher))
            stage.run("collegium", "trust", "--out", root / "trust.txt", "--home", stage.researcher_home(ALICE))
            stage.stop(*NODES)  # before the coordinator, which then does not wait for them to come back
            stage.until(lambda: not stage.connected())
        finally:
            stage.stop()
        self._stage = stage

    @contextmanager
    def scene(self, root: Path, *, witnessed: bool = False) -> Iterator[Scene]:
        """A copy in `root`, at the same addresses: one scene at a time."""
        shutil.copytree(self._stage.root, root, ignore=shutil.ignore_patterns("logs"))
        scene = Scene(root, self._stage.ministry)
        scene.port, scene.enrol = self._stage.port, self._stage.enrol
        if witnessed:
            scene.run("collegium-coordinator", "witness", "assign", "--each", "3", "--home", scene.home)
        with scene:
            yield scene
