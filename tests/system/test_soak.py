"""Half an hour of a hundred universities: random kills and restarts, mixed questions, three trustees; then everybody's books.

Real processes all: 100 `collegium-node serve`, 3 `collegium-trustee serve`, the coordinator. Two threads ask all the time, in both
release modes, by province and not, new questions and old ones. Every few seconds somebody is killed (-9) or told to stop, and begun
again. Some are left alone, and it is they whose memory and open files are compared.

Failure: an acknowledged request that cannot be finished and does not say why; a charge in a ledger that its log does not show, or
two for one question or plan; a process left alone that goes on growing; logs that the auditor does not find clean.

    SOAK_MINUTES=30 SOAK_NODES=100 (the defaults) make it shorter or smaller, to look at something by hand.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # small.py and others, shared by the tests of this folder

from aftermath import check_coordinator, check_node
from launch import Federation, Ministry, wait_for_port
from nationally import TRUSTEES, configure
from small import RESEARCHER, SCHEMA, campus, people, typed, typed_here
from withwitnesses import audited, until

from collegium.client import Federation as Client
from collegium.errors import CollegiumError, Invalid
from collegium.home import Home

MINUTES, NODES, SEED = float(os.environ.get("SOAK_MINUTES", "30")), int(os.environ.get("SOAK_NODES", "100")), 7
CODES = ("11", "12", "13", "14", "15")
NAMES = tuple(f"univ-{n:03}" for n in range(NODES))
SPARED = NAMES[:6]  # never killed: theirs is the memory that is looked at
PAUSE, BREATH = 6.0, 2.0  # seconds between two kills; between two questions of a thread

pytestmark = [pytest.mark.long, pytest.mark.timeout(60 * (MINUTES + 45))]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Installed by the commands a person would type, but in this process: 400 processes would take longer than what they do."""
    made = Federation(tmp_path_factory.mktemp("soak"), Ministry(federation="small", schema=SCHEMA))
    try:
        made.found()
        configure(made, {"dropout": "0.2", "seconds": "15"})
        made.serve()
        made.join(RESEARCHER)
        for name in TRUSTEES:
            made.install_trustee(name)
            made.start_trustee(name)
        for number, name in enumerate(NAMES):
            _install(made, name, number)
            made.start_node(name)
        made.wait_connected(RESEARCHER, NODES, 600)
        _here("collegium-coordinator", "partition", "--by", "province", "--at-least", str(max(4, NODES // 6)), home=made.home)
        made.run("collegium-coordinator", "witness", "assign", "--each", "3", "--home", made.home)
        for name in NAMES:
            until(lambda name=name: _settled(made, name), 300)
        yield made
    finally:
        made.stop()


def _here(program: str, *words: str | Path, home: Path) -> str:
    said = typed_here(program, *words, home=home)
    assert said.code == 0, said
    return said.out


def _install(federation: Federation, name: str, number: int) -> None:
    home, chosen = federation.node_home(name), campus(name, people(40, first=100 * number), province=CODES[number % len(CODES)])
    facts = ["--fact", f"province={chosen.facts['province']}", "--enrolment", "1000"]
    token = _here("collegium-coordinator", "invite", "node", name, *facts, home=federation.home).strip()
    _here("collegium-node", "init", home=home)
    chosen.write(home)
    (home / "node.toml").write_text(chosen.sources, encoding="utf-8")
    (home / "policy.toml").write_text(chosen.budget, encoding="utf-8")
    _here("collegium-node", "join", token, home=home)
    _here("collegium-node", "snapshot", "first", home=home)
    _here("collegium-node", "allow", "--researcher", RESEARCHER, "--release", "both", "--smallest", "5", home=home)


def _settled(federation: Federation, name: str) -> bool:
    tree = json.loads(typed_here("collegium-node", "log", "status", "--json", home=federation.node_home(name)).out)
    return bool(tree["needed"] and not tree["backlog"] and not tree["restored"])


@dataclass
class Asking:
    """Asks all the time. Every fifth question is an old one."""

    home: Path
    chance: random.Random
    acknowledged: set[str] = field(default_factory=set)
    modes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    stopped: bool = False

    def ask(self) -> None:
        while not self.stopped:
            try:
                with Client(Home(self.home)) as client:
                    while not self.stopped:
                        self._one(client)
            except CollegiumError as error:
                self.errors[type(error).__name__] += 1
                time.sleep(0.5)

    def _one(self, client: Client) -> None:
        number = self.chance.randrange(3000, 3020) if self.chance.random() < 0.2 else self.chance.randrange(3020, 8000)
        by, mode = self.chance.choice(("", "province")), self.chance.choice(("", " RELEASE NATIONAL"))
        columns, group = (f"{by}, ", f" GROUP BY {by}") if by else ("", "")
        sql = f"SELECT {columns}COUNT(*) AS n FROM graduate WHERE salary >= {number}{group}{mode}"
        prepared = client.prepare(sql, rho=0.001)
        client.hand_in(prepared, deadline=20, on_progress=lambda _: self.acknowledged.add(prepared.id))
        self.modes[f"{'national' if mode else 'per node'}{', by province' if by else ''}"] += 1
        client.result(prepared.id, refresh=False, wait=0.5)
        time.sleep(BREATH)

    def finish(self) -> Counter[str]:
        """Every acknowledged request comes to an end: figures, or a reason."""
        ends = Counter[str]()
        with Client(Home(self.home)) as client:
            for identity in sorted(self.acknowledged):
                ends[self._end(client, identity)] += 1
        return ends

    def _end(self, client: Client, identity: str) -> str:
        until_ = time.monotonic() + 120
        while True:
            try:
                answer = client.result(identity, refresh=time.monotonic() < until_ - 100, wait=5)
                return "figures" if answer.coverage.answered else "a reason"
            except Invalid:
                raise  # an acknowledged request is lost
            except CollegiumError as error:
                if time.monotonic() > until_:
                    return f"{type(error).__name__}: {error.reason or error.text[:60]}"
                time.sleep(1)


def _uses(pid: int) -> tuple[float, int]:
    """Resident MiB and open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def test_nothing_is_lost_and_nothing_grows(federation: Federation, tmp_path: Path) -> None:
    chance, kills, uses = random.Random(SEED), Counter[str](), dict[str, list[tuple[float, int]]]()
    asking = Asking(federation.researcher_home(RESEARCHER), random.Random(SEED))
    threads = [threading.Thread(target=asking.ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    began, sampled = time.monotonic(), 0.0
    spared = [*SPARED, TRUSTEES[0]]
    try:
        while (passed := time.monotonic() - began) < 60 * MINUTES:
            time.sleep(PAUSE * (0.5 + chance.random()))
            # The coordinator dies in the first third only: after that its memory is looked at.
            kills[_disturb(federation, chance, coordinator=passed < 20 * MINUTES)] += 1
            if passed > 20 * MINUTES and passed - sampled > 60:
                sampled = passed
                for name in (*spared, "coordinator"):
                    uses.setdefault(name, []).append(_uses(federation.processes[name].pid))
    finally:
        asking.stopped = True
        for thread in threads:
            thread.join()
    federation.wait_connected(RESEARCHER, NODES, 300)
    ends = asking.finish()
    print(f"\n{kills.total()} disturbances {dict(kills)}")
    print(f"{len(asking.acknowledged)} requests {dict(asking.modes)}; ends {dict(ends)}")
    print(f"errors people saw: {dict(asking.errors)}")
    print(
        "the coordinator's uses, minute by minute: "
        + ", ".join(f"{mib:.0f} MiB {files}" for mib, files in uses.get("coordinator", ()))
    )
    print("uses (MiB, files), first and last: " + ", ".join(f"{name} {each[0]} {each[-1]}" for name, each in uses.items() if each))
    assert set(asking.errors) <= {"Offline", "NotReleased", "Failed"}
    for name, each in uses.items():
        if len(each) > 3:
            assert each[-1][1] <= each[0][1] + 30, f"{name} holds ever more files: {each}"
            assert each[-1][0] <= 1.25 * each[0][0] + 40, f"{name} grows: {each}"
    _books(federation)
    found = audited(federation, _exported(federation, tmp_path / "logs"))
    assert found["exit"] == 0, json.dumps(found["findings"], indent=1)


def _disturb(federation: Federation, chance: random.Random, *, coordinator: bool) -> str:
    draw = chance.random()
    if coordinator and draw < 0.06:
        federation.kill("coordinator")
        federation.serve()
        wait_for_port(federation.port)
        return "coordinator killed"
    if draw < 0.18:
        name = chance.choice(TRUSTEES[1:])
        federation.kill(name)
        federation.start_trustee(name)
        return "trustee killed"
    name = chance.choice([each for each in NAMES if each not in SPARED])
    if draw < 0.35:
        process = federation.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        federation.start_node(name)
        return "node told to stop"
    federation.kill(name)
    if draw < 0.45:
        time.sleep(10 * chance.random())
    federation.start_node(name)
    return "node killed"


def _books(federation: Federation) -> None:
    """Ledgers, logs and checkpoints agree; nothing was charged twice."""
    for name in NAMES:
        until(lambda name=name: _settled(federation, name), 120)
        check_node(federation.node_home(name) / "node.db")
    check_coordinator(federation.home / "coordinator.db")


def _exported(federation: Federation, folder: Path) -> Path:
    for name in NAMES:
        _here("collegium-node", "log", "export", folder, home=federation.node_home(name))
    for name in TRUSTEES:
        said: Any = typed("collegium-trustee", "log", "export", folder, home=federation.trustee_home(name))
        assert said.code == 0, said
    said = typed("collegium-coordinator", "log", "export", folder, home=federation.home, seconds=900)
    assert said.code == 0, said
    return folder
