"""Whoever dies or is cut off, at whichever step of a national sum: a right result or a typed failure, and no second answer.

Eight universities (two may be missing), three trustees, a coordinator, all real processes. One of them is begun so that it kills
itself at a named point of its database, a question is asked, the process is begun again as a person would, and the books of all are
looked at. Cutting is done by a proxy that breaks.

Failure: a wrong sum; more than one charge, submission, list or answer for a plan; a charge without a plan in the coordinator's log;
a request that can neither be finished nor says why; logs that the auditor does not find clean.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tomlkit

sys.path.insert(0, str(Path(__file__).parent))  # small.py and others, shared by the tests of this folder

from breaking import BreakingProxy
from launch import BIN, Federation, environment
from nationally import NODES, PEOPLE, TRUSTEES, charges, exported_all, open_national
from small import RESEARCHER, typed
from withwitnesses import audited, until

from collegium.client import connect
from collegium.log.statement import statement_id
from collegium.national.statements import Close, Plan, Submit, Unmask

HERE = Path(__file__).parent
NODE, TRUSTEE = "cedar", "bureau"
POINTS = ("begin", "commit", "committed")

pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]


class Fault(NamedTuple):
    """Who dies, where. `charged`: whether the charge of the one that dies may be missing (it never took part)."""

    who: str
    point: str
    number: int = 1


NODE_FAULTS = [Fault(NODE, f"{point} {step}") for step in ("plan", "submit", "closed") for point in POINTS]
TRUSTEE_FAULTS = [Fault(TRUSTEE, f"{point} {step}") for step in ("plan", "prepare", "unmask") for point in POINTS]
CHECK_FAULTS = [Fault("drawn", f"{point} check") for point in POINTS]  # whoever the lot falls on: all three die there
COORDINATOR_FAULTS = [Fault("coordinator", POINTS[number % 3], number) for number in range(8, 60, 3)]


class Outcome(NamedTuple):
    """How a question ended: `figure` and the universities in it, or the words of a typed failure."""

    figure: float | None
    answered: int
    text: str


@pytest.fixture(scope="module")
def proxy() -> Iterator[BreakingProxy]:
    with BreakingProxy() as made:
        yield made


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    made = open_national(tmp_path_factory.mktemp("faults"), seconds="8")
    yield made
    made.stop()


class Asked:
    """A question in a process of its own; the same one is fetched until it has an end."""

    salary = 0  # below what anybody earns: every question counts everybody, and no two are the same

    def __init__(self, federation: Federation) -> None:
        type(self).salary += 1
        self.federation, self.home = federation, federation.researcher_home(RESEARCHER)
        self.before = {name: charges(federation, name) for name in NODES}
        self.known: set[str] = set()
        self.known = self.logged()
        sql = f"SELECT COUNT(*) AS n FROM graduate WHERE salary >= {self.salary}"
        words = ["ask", sql, "--rho", "1", "--national", "--deadline", "60", "--json", "--home", str(self.home)]
        self.process = subprocess.Popen(
            [str(BIN / "collegium"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
        )

    def finish(self) -> Outcome:
        """The end of the question, whoever died meanwhile: fetched by its id when the asking process was cut off."""
        if self.process.returncode is None:
            self.process.communicate(timeout=180)
        (identity,) = self.logged()
        end = time.monotonic() + 120
        while True:
            said = typed("collegium", "result", identity, "--wait", "20", "--json", home=self.home, seconds=120)
            tree = json.loads(said.out) if said.out.startswith("{") else {}
            outcome = _read(tree, said.err)
            if outcome.figure is not None or time.monotonic() > end:
                return outcome
            if any(word in outcome.text for word in FINAL):
                return outcome
            time.sleep(1)

    def fresh(self, name: str) -> list[tuple[str, int]]:
        return charges(self.federation, name)[len(self.before[name]) :]

    def logged(self) -> set[str]:
        """Requests that the coordinator's log holds, also while it is down, but for those that were there before this one."""
        with closing(sqlite3.connect(f"file:{self.federation.home / 'coordinator.db'}?mode=ro", uri=True)) as db:
            return {str(identity) for (identity,) in db.execute("SELECT id FROM requests")} - self.known


FINAL = ("no-round", "round-over", "too-few")


def _read(tree: dict[str, Any], err: str) -> Outcome:
    tables = tree.get("tables") or []
    if not tables:
        return Outcome(None, 0, err)
    coverage = tables[0]["coverage"]
    rows = tables[0]["rows"]
    reasons = " ".join(str(each.get("reason", each)) for each in coverage.get("missing", []))
    figure = rows[-1]["n"] if rows and coverage["answered"] else None
    return Outcome(figure, coverage["answered"], reasons)


def begin_dying(federation: Federation, who: str, fault: Fault) -> None:
    role = "coordinator" if who == "coordinator" else "trustee" if who in TRUSTEES else "node"
    home = {"coordinator": federation.home, "trustee": federation.trustee_home(who), "node": federation.node_home(who)}[role]
    federation.kill(who)
    federation.start(who, "python", HERE / "killed.py", role, fault.point, str(fault.number), home)


def begin_again(federation: Federation, who: str) -> None:
    if who == "coordinator":
        federation.serve()
    elif who in TRUSTEES:
        federation.start_trustee(who)
    else:
        federation.start_node(who)


def ready(federation: Federation) -> None:
    """Everybody is connected again."""
    federation.wait_connected(RESEARCHER, len(NODES), 120)
    until(lambda: _trustees(federation) == len(TRUSTEES), 120)


def _trustees(federation: Federation) -> int:
    """Trustees that are connected and have shown a sealing key."""
    with connect(federation.researcher_home(RESEARCHER)) as line:
        watch = line.watch()
        watch.look()
    return sum(each.role == "trustee" and each.state == "ready" for each in watch.found)


def one_answer(federation: Federation, asked: Asked, outcome: Outcome) -> None:
    """The figure is right; for every plan one charge a node, one SUBMIT a node, one CLOSE, one UNMASK a trustee."""
    if outcome.figure is not None:
        assert 6 <= outcome.answered <= len(NODES)
        assert abs(outcome.figure - PEOPLE * outcome.answered) <= 12, outcome
    else:
        assert outcome.text, "a question that has no figure says why"
    books = Books(federation)
    for name in NODES:
        fresh = asked.fresh(name)
        assert len(fresh) <= 1, "one plan, one charge"
        assert {plan for plan, _ in fresh} <= set(books.plans), "a charge is for a plan that is logged"
    assert max(books.closes.values(), default=0) <= 1
    assert max(books.submits.values(), default=0) <= 1
    assert max(books.unmasks.values(), default=0) <= 1


class Books:
    """What the coordinator's log holds of national sums."""

    def __init__(self, federation: Federation) -> None:
        with closing(sqlite3.connect(f"file:{federation.home / 'coordinator.db'}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT kind, entry FROM entries WHERE kind LIKE 'national-%' ORDER BY idx").fetchall()
        notes = [(str(kind), bytes(note)) for kind, note in rows]
        self.plans = {statement_id(note): Plan.read(note) for kind, note in notes if kind == Plan.kind}
        self.closes = Counter(Close.read(note).plan for kind, note in notes if kind == Close.kind)
        submits = (Submit.read(note) for kind, note in notes if kind == Submit.kind)
        self.submits = Counter((each.plan, each.member) for each in submits)
        unmasks = (Unmask.read(note) for kind, note in notes if kind == Unmask.kind)
        self.unmasks = Counter((each.plan, each.trustee) for each in unmasks)


@pytest.mark.parametrize("fault", [*NODE_FAULTS, *TRUSTEE_FAULTS, *CHECK_FAULTS], ids=lambda fault: f"{fault.who}: {fault.point}")
def test_a_party_that_dies(federation: Federation, fault: Fault) -> None:
    dying = list(TRUSTEES) if fault.who == "drawn" else [fault.who]
    ready(federation)
    for who in dying:
        begin_dying(federation, who, fault)
    ready(federation)
    asked = Asked(federation)
    until(lambda: any(federation.processes[who].poll() is not None for who in dying), 100)
    fallen = [who for who in dying if federation.processes[who].poll() is not None]
    for who in fallen:
        federation.processes.pop(who)
        begin_again(federation, who)
    outcome = asked.finish()
    one_answer(federation, asked, outcome)
    assert outcome.figure is not None, outcome  # a node may be missing, a trustee only delays
    for who in set(dying) - set(fallen):
        federation.kill(who)
        begin_again(federation, who)


def test_a_coordinator_that_dies_at_any_of_its_commits(federation: Federation) -> None:
    ended = Counter[str]()
    for fault in COORDINATOR_FAULTS:
        ready(federation)
        begin_dying(federation, "coordinator", fault)
        ready_or_dead(federation)
        asked = Asked(federation)
        until(lambda asked=asked: federation.processes["coordinator"].poll() is not None or asked.process.poll() is not None, 150)
        fell = federation.processes["coordinator"].poll() is not None
        if fell:
            federation.processes.pop("coordinator")
        else:
            federation.kill("coordinator")
        begin_again(federation, "coordinator")
        ready(federation)
        asked.process.communicate(timeout=180)
        if asked.process.returncode != 0 and not asked.logged():
            ended["never taken"] += 1  # it died before it had logged the request: nobody was told otherwise, nothing was paid
            assert all(not asked.fresh(name) for name in NODES)
            continue
        outcome = asked.finish()
        one_answer(federation, asked, outcome)
        ended["a figure" if outcome.figure is not None else outcome.text[:60]] += 1
    print(f"\n{len(COORDINATOR_FAULTS)} deaths of the coordinator: {dict(ended)}")
    assert ended["a figure"] >= len(COORDINATOR_FAULTS) // 2, ended


def ready_or_dead(federation: Federation) -> None:
    end = time.monotonic() + 60
    while federation.processes["coordinator"].poll() is None and time.monotonic() < end:
        try:
            ready(federation)
            return
        except Exception:
            time.sleep(0.2)


@pytest.mark.parametrize("who", [NODE, TRUSTEE])
def test_a_network_that_is_cut_and_mended(federation: Federation, proxy: BreakingProxy, who: str) -> None:
    """Cut at moments all over a round; the party comes back by itself."""
    home = federation.trustee_home(who) if who in TRUSTEES else federation.node_home(who)
    file = home / ("trustee.toml" if who in TRUSTEES else "node.toml")
    settings = tomlkit.parse(file.read_text(encoding="utf-8"))
    settings.setdefault("coordinator", tomlkit.table())["proxy"] = proxy.url
    file.write_text(tomlkit.dumps(settings), encoding="utf-8")
    federation.kill(who)
    begin_again(federation, who)
    ready(federation)
    assert proxy.passed
    for moment in (0.0, 0.3, 0.8, 1.5, 2.5, 4.0):
        ready(federation)
        asked = Asked(federation)
        time.sleep(moment)
        proxy.cut()
        time.sleep(2.0)
        proxy.mend()
        outcome = asked.finish()
        one_answer(federation, asked, outcome)
        assert outcome.figure is not None or any(word in outcome.text for word in FINAL), outcome


def test_afterwards_all_logs_are_clean(federation: Federation, tmp_path: Path) -> None:
    ready(federation)
    found = audited(federation, exported_all(federation, tmp_path / "logs"))
    assert not [each for each in found["findings"] if each["word"] == "FAIL"], json.dumps(found["findings"], indent=1)
