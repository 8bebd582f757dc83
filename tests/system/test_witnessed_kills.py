"""kill -9 of nodes, the coordinator and exporters in a running federation whose logs have witnesses, while questions are asked.

Some die at random moments, some by their own hand at a named point (`killed.py`): around the charge, the release, the quorum that
is written down, a witness that has remembered and not yet cosigned, any commit of the coordinator, any step of an export. The rest
of the two hundred kills are those of tests/node/test_watched_kills.py, one node's process with its witnesses outside.

Failure: a statement that a researcher has received, or for which a receipt left, is not in its log, or another one stands in its
place; a log, its ledger and its exported files do not agree; a question was charged twice on one snapshot, or left with two noises;
a request that was acknowledged is lost or cannot be finished; the auditor finds a contradiction. Not failure: a charge whose answer
had to be fetched again; a request that nobody acknowledged.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # small.py, shared by the tests of this folder

from aftermath import check_coordinator, check_folder, check_node, replayed
from launch import BIN, Federation, environment, free_port, wait_for_port
from small import RESEARCHER, campus, open_small, people, typed

from collegium.answer import Answer
from collegium.asking import Prepared
from collegium.client import Federation as Client
from collegium.errors import CollegiumError, Invalid
from collegium.home import Home
from collegium.log.note import Verifier
from collegium.log.receipt import verify_receipt
from collegium.log.statement import statement_id
from collegium.statements import Decision, Indicator, Release

NAMES = ("north", "south", "east", "west")
SEED = 11
WRITES = [f"{at} {what}" for what in ("charge", "release", "quorum", "witness") for at in ("begin", "commit", "committed")]
STEPS = ["write", "fsync", "rename", "sync"]
ROUNDS = {"node": 2 * len(WRITES), "coordinator": 6, "exporter": 14}
KILLS = 70  # at least; a round of a node or of the coordinator kills twice or three times
HERE = Path(__file__).parent

pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Four universities, one of them listening; every log has three witnesses, two of which must cosign."""
    port = free_port()
    universities = [campus(name, people(60, first=100 * n), listens=port if name == "west" else 0) for n, name in enumerate(NAMES)]
    made = open_small(tmp_path_factory.mktemp("killed"), *universities, ports={"west": port})
    try:
        made.run("collegium-coordinator", "witness", "assign", "--each", "3", "--home", made.home)
        for name in NAMES:
            until(lambda name=name: backlog(made, name) == 0)
        yield made
    finally:
        made.stop()


def until(true: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def backlog(federation: Federation, node: str) -> int | None:
    """Entries that wait for the witnesses; None before they are assigned."""
    tree = json.loads(typed("collegium-node", "log", "status", "--json", home=federation.node_home(node)).out)
    return tree["backlog"] if tree["needed"] == 2 else None


# ---------------------------------------------------------------- questions


@dataclass
class Asking:
    """Asks all the time, in threads, and keeps what came back. Every fourth question is an earlier one, asked again."""

    home: Path
    chance: random.Random
    asked: dict[str, Prepared] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    stopped: bool = False

    def ask(self) -> None:
        """One thread's work. Whatever breaks is a typed error, and the next question is asked on a new line."""
        while not self.stopped:
            try:
                with Client(Home(self.home)) as client:
                    while not self.stopped:
                        self._one(client)
                        time.sleep(0.1)
            except CollegiumError as error:
                self.errors[type(error).__name__] += 1
                time.sleep(0.1)

    def _one(self, client: Client) -> None:
        salary = self.chance.randrange(3000, 3040 if self.chance.random() < 0.25 else 90_000) % 9000
        sql = f"SELECT field, COUNT(*) AS n FROM graduate WHERE salary >= {salary} GROUP BY field"
        prepared = client.prepare(sql, rho=0.001)
        self.asked[prepared.id] = prepared
        client.hand_in(prepared, deadline=3, on_progress=lambda _: self.acknowledged.add(prepared.id))
        self.answers.append(client.result(prepared.id, wait=0.5))

    def finish(self) -> int:
        """Fetch the figures of all requests until every university is in them, and how many requests there are."""
        with Client(Home(self.home)) as client:
            for identity in self.acknowledged:
                until(lambda identity=identity: self._whole(client, identity))
        return len(self.acknowledged)

    def _whole(self, client: Client, identity: str) -> bool:
        try:
            answer = client.result(identity, refresh=False, wait=0)
            if not answer.views or answer.missing:
                answer = client.result(identity, wait=10)
        except Invalid:
            raise  # an acknowledged request is lost
        except CollegiumError as error:
            self.errors[type(error).__name__] += 1
            return False
        self.answers.append(answer)
        return bool(answer.views) and not answer.missing


# ---------------------------------------------------------------- kills


@dataclass
class Killing:
    federation: Federation
    chance: random.Random
    folder: Path  # where exporters write
    kills: Counter[str] = field(default_factory=Counter)

    def node(self, number: int) -> None:
        """Killed at a random moment; begun again to die at a named point; begun again, sometimes killed while it starts; begun."""
        name, point = self.chance.choice(NAMES), WRITES[number % len(WRITES)]
        time.sleep(self.chance.random())
        self._kill(name, "node, at random")
        self.federation.start(
            name, "python", HERE / "killed.py", "node", point, str(self.chance.randint(1, 6)), self.federation.node_home(name)
        )
        self._dies(name, f"node, {point}")
        if number % 4 == 0:
            self.federation.start_node(name)
            time.sleep(self.chance.random() * 3)
            self._kill(name, "node, while it starts")
        check_node(self.federation.node_home(name) / "node.db")
        told = self._told(name)
        self.federation.start_node(name)
        until(lambda: self._told(name) > told)

    def coordinator(self, number: int) -> None:
        point = ("begin", "commit", "committed")[number % 3]
        time.sleep(self.chance.random())
        self._kill("coordinator", "coordinator, at random")
        self.federation.start(
            "coordinator", "python", HERE / "killed.py", "coordinator", point, str(self.chance.randint(1, 40)), self.federation.home
        )
        self._dies("coordinator", f"coordinator, {point}")
        check_coordinator(self.federation.home / "coordinator.db")
        self.federation.serve()
        wait_for_port(self.federation.port)

    def exporter(self, number: int) -> None:
        """At a random moment of the installed command, or at a step of its disk."""
        ministry = number % 2 == 0
        home = self.federation.home if ministry else self.federation.node_home(self.chance.choice(NAMES))
        if number % 5 == 4:
            program = str(BIN / ("collegium-coordinator" if ministry else "collegium-node"))
            command, how = [program, "log", "export", str(self.folder), "--home", str(home)], "exporter, at random"
        else:
            step, most = STEPS[number % len(STEPS)], 3 if number % 4 else 12
            what = "coordinator-export" if ministry else "node-export"
            words = [what, step, str(self.chance.randint(1, most)), str(home), str(self.folder)]
            command, how = [sys.executable, str(HERE / "killed.py"), *words], f"exporter, {step}"
        with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as process:
            if how.endswith("random"):
                time.sleep(0.5 + self.chance.random())
                process.kill()
            code = process.wait(120)
        assert code in (0, -signal.SIGKILL), "an export beside the serving process failed"
        self.kills[how] += code != 0
        log = "coordinator" if ministry else home.name
        check = check_coordinator(home / "coordinator.db") if ministry else check_node(home / "node.db")
        check_folder(self.folder / log, check)

    def _kill(self, key: str, how: str) -> None:
        assert self.federation.processes[key].poll() is None, f"{key} had ended by itself"
        self.federation.kill(key)
        self.kills[how] += 1

    def _dies(self, key: str, how: str) -> None:
        """Wait until a process has killed itself; one that does not reach its point in time is killed like the others."""
        process = self.federation.processes.pop(key)
        try:
            assert process.wait(30) == -signal.SIGKILL, f"{key} ended by itself"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            how = f"{how.partition(',')[0]}, at random"
        self.kills[how] += 1

    def _told(self, name: str) -> int:
        """How often this node has had its witnesses' word after a start."""
        return (self.federation.root / "logs" / f"{name}.log").read_text(encoding="utf-8").count('"confirmed"')


def test_nothing_acknowledged_is_lost_when_parties_are_killed(federation: Federation, tmp_path: Path) -> None:
    began = time.monotonic()
    asking = Asking(federation.researcher_home(RESEARCHER), random.Random(SEED))
    killing = Killing(federation, random.Random(SEED), tmp_path / "cut")
    threads = [threading.Thread(target=asking.ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    plan = [(kind, number) for kind, count in ROUNDS.items() for number in range(count)]
    random.Random(SEED).shuffle(plan)
    try:
        for kind, number in plan:
            getattr(killing, kind)(number)
        live = _audited(federation, _exported(federation, tmp_path / "live" / "logs", settled=False))
        assert "FAIL" not in {each["word"] for each in live["findings"]}, json.dumps(live["findings"], indent=1)
    finally:
        asking.stopped = True
        for thread in threads:
            thread.join()
    seconds = time.monotonic() - began
    federation.wait_connected(RESEARCHER, len(NAMES), seconds=120)
    asked = asking.finish()
    figures = f"{asked} requests, {len(asking.answers)} answers, {dict(asking.errors)}, {seconds:.0f} s with kills"
    print(f"\n{killing.kills.total()} kills: {dict(sorted(killing.kills.items()))}; {figures}")
    assert killing.kills.total() >= KILLS
    assert set(asking.errors) <= {"Offline", "NotReleased", "Failed"}  # what a person may see while parties are down
    folder = _exported(federation, tmp_path / "logs")
    logs = _logs_agree(federation, folder)
    _exported(federation, killing.folder)  # what the kills have left is gone on with
    assert all(check_folder(killing.folder / name, entries) == len(entries) for name, entries in logs.items())
    _nothing_is_lost(asking, logs)
    found = _audited(federation, folder)
    assert (found["exit"], found["findings"]) == (0, []), json.dumps(found["findings"], indent=1)


def _exported(federation: Federation, folder: Path, *, settled: bool = True) -> Path:
    """All logs: when nothing waits for a witness any more, or as they are while questions are asked."""
    for name in NAMES:
        if settled:
            until(lambda name=name: backlog(federation, name) == 0)
        assert typed("collegium-node", "log", "export", folder, home=federation.node_home(name), seconds=600).code == 0
    assert typed("collegium-coordinator", "log", "export", folder, home=federation.home, seconds=600).code == 0
    return folder


def _logs_agree(federation: Federation, folder: Path) -> dict[str, list[bytes]]:
    """Database, ledger and exported files of every party agree, in full. The entries of each log."""
    logs = {name: check_node(federation.node_home(name) / "node.db") for name in NAMES}
    logs["coordinator"] = check_coordinator(federation.home / "coordinator.db")
    for name, entries in logs.items():
        assert check_folder(folder / name, entries) == len(entries)
    return logs


def _nothing_is_lost(asking: Asking, logs: dict[str, list[bytes]]) -> None:
    """Whatever a researcher has in hand stands in the log of its author, where it says and where its receipt says."""
    requests = {statement_id(each) for each in logs["coordinator"] if each.startswith(b"collegium/v1/request\n")}
    assert asking.acknowledged <= requests <= set(asking.asked)
    noises: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    proven = 0
    for answer in asking.answers:
        bundle = answer.bundle
        for read, notes in ((Decision, bundle.decisions), (Release, bundle.releases), (Indicator, bundle.indicators)):
            for note in notes:
                place = read.read(note).log  # type: ignore[attr-defined]
                log = place.origin.partition("/")[2]
                assert logs[log][place.index] == note
                proof = bundle.receipts.get(statement_id(note))
                if proof is not None:
                    key = _log_key(answer, log)
                    assert verify_receipt(proof, note, key).index == place.index
                    proven += 1
        for note in bundle.releases:
            release = Release.read(note)
            noises[release.log.origin, release.question, release.snapshot].add(release.payload.sha256)
    assert proven > 10 * len(asking.acknowledged)
    assert all(len(payloads) == 1 for payloads in noises.values())
    paid = {(log, digest, snapshot) for log in NAMES for digest, snapshot, *_ in replayed(logs[log])}
    assert {(origin.partition("/")[2], *rest) for origin, *rest in noises} <= paid
    digests = {identity: asking.asked[identity].questions[0].digest for identity in requests}
    assert len(set(digests.values())) < len(digests)  # some were asked again
    assert {digests[each] for each in asking.acknowledged} <= {digest for _, digest, _ in paid} <= set(digests.values())


def _log_key(answer: Answer, log: str) -> Verifier:
    registry = answer.registry
    key = registry.coordinator_log if log == "coordinator" else registry.party(log).log
    assert key is not None
    return key


def _audited(federation: Federation, folder: Path) -> dict[str, Any]:
    trust = folder.parent / "trust.txt"
    assert typed("collegium", "trust", "--out", trust, home=federation.researcher_home(RESEARCHER)).code == 0
    words = "--policy", trust, "--json", "--evidence", folder.parent / "evidence"
    said = typed("collegium", "audit", folder, *words, seconds=600)
    tree: dict[str, Any] = json.loads(said.out)
    assert {each["log"] for each in tree["logs"]} == {"registry", "coordinator", *NAMES}
    return tree
