"""Twenty universities that witness each other's logs, five hundred questions by two researchers, and then the auditor.

Everything that an ordinary year brings is in it: counts, means, sums, histograms, medians, groups, the same question again,
refusals by policy, budget and dataset, requests that a steward holds and then allows or refuses, a withdrawal.

Failure: a FAIL, or a word about missing evidence, where nobody cheated; a check that looked at nothing; a question that the
exported logs do not hold.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # small.py, shared by the tests of this folder

from launch import Federation, Ministry
from small import RESEARCHER, SCHEMA, SOURCES, Said, campus, people, typed

from collegium.answer import Answer
from collegium.audit.verdict import CHECKS
from collegium.client import Federation as Client
from collegium.home import Home
from collegium.log.folder import LogFolder
from collegium.statements import Decision, Request

SECOND = "chen-jie"
NAMES = [f"univ-{n:02}" for n in range(1, 21)]
TIGHT, STRICT, CAREFUL = NAMES[-3:]  # a budget that ends, a rule for one researcher only, a steward who looks at each request
QUESTIONS, LATER = 500, 12
PERSONS = 60

pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]


def policy(name: str) -> str:
    """What the steward of a university writes: everything is allowed, but at the three with something special."""
    rho = 0.4 if name == TIGHT else 1000
    budget = f'[budget.student]\nperiod = "year"\nrho = {rho}\nlifetime_rho = 100000\n'
    who = {RESEARCHER: "allow"} if name == STRICT else {RESEARCHER: "allow", SECOND: "hold" if name == CAREFUL else "allow"}
    rules = [f'[[allow]]\nresearcher = "{each}"\ndatasets = "*"\nmode = "{mode}"\n' for each, mode in who.items()]
    return budget + "".join(rules)


@dataclass
class World:
    """The federation, what was asked there, and what came back."""

    federation: Federation
    answers: list[Answer] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # by what took them

    def client(self, researcher: str) -> Client:
        return Client(Home(self.federation.researcher_home(researcher)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    federation = Federation(tmp_path_factory.mktemp("twenty"), Ministry(federation="small", schema=SCHEMA))
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as environment, federation:
        for threads in ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):  # twenty nodes share a few cores
            environment.setenv(threads, "1")
        federation.found()
        federation.serve()
        for researcher in (RESEARCHER, SECOND):
            federation.join(researcher)
        universities = [
            campus(
                name, people(PERSONS, first=100 * n), province="11" if n % 2 else "31", budget=policy(name), allow=(),
                sources=f"[limits]\nmax_parallel = 2\n{SOURCES}",
            )
            for n, name in enumerate(NAMES)
        ]  # fmt: skip
        tokens = [federation.invite_node(each) for each in universities]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(federation.install, universities, tokens))
        for name in NAMES:
            federation.start_node(name)
        federation.wait_connected(RESEARCHER, len(NAMES), seconds=180)
        federation.run("collegium-coordinator", "witness", "assign", "--each", "3", "--home", federation.home)
        for name in NAMES:
            settled(federation, name)
        yield World(federation, seconds={"start": time.monotonic() - began})


def settled(federation: Federation, node: str, seconds: float = 180.0) -> None:
    """Wait until the witnesses have confirmed everything in a node's log."""
    end = time.monotonic() + seconds
    while True:
        tree = json.loads(typed("collegium-node", "log", "status", "--json", home=federation.node_home(node)).out)
        if tree["needed"] and tree["backlog"] == 0:
            return
        assert time.monotonic() < end, (node, tree)
        time.sleep(0.2)


# ---------------------------------------------------------------- what is asked


ONE_PROVINCE = "SELECT COUNT(*) AS n FROM graduate WHERE province = '{province}' AND salary >= {salary}"
"""Goes to half of the universities, so it shares a request with no other kind."""


def statements(chance: random.Random) -> Iterator[str]:
    """Questions without end. Few of them are the same."""
    kinds = (
        "SELECT field, COUNT(*) AS n FROM graduate WHERE salary >= {salary} GROUP BY field",
        "SELECT AVG(gpa) AS mean FROM graduate WHERE salary < {salary}",
        "SELECT SUM(salary) AS payroll, COUNT(*) AS n FROM graduate WHERE gpa >= {gpa}",
        "SELECT HISTOGRAM(salary, 0, 2000, 4000, 6000, 20000) AS pay FROM graduate WHERE gpa < {gpa}",
        "SELECT MEDIAN(salary) AS middle FROM graduate WHERE gpa >= {gpa}",
        "SELECT province, COUNT(DISTINCT student_id) AS persons FROM graduate WHERE salary >= {salary} GROUP BY province",
        "SELECT field, AVG(salary >= {salary}) AS share FROM graduate GROUP BY field",
        "SELECT field, VARIANCE(gpa) AS spread FROM graduate WHERE salary < {salary} GROUP BY field",
        "SELECT AVG(days) AS days FROM visit WHERE days >= {days}",  # nobody serves this dataset
    )
    while True:
        values = {"salary": chance.randrange(2000, 9000), "gpa": chance.randrange(400) / 100, "days": chance.randrange(366)}
        yield chance.choice(kinds[:-1] if chance.random() < 0.97 else kinds[-1:]).format(**values)


def requests(count: int, seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """(researcher, statements) of requests that hold `count` questions together; every fifth one repeats an earlier one."""
    chance = random.Random(seed)
    more, found, left = statements(chance), [], count
    while left:
        asked = tuple(next(more) for _ in range(min(left, chance.randint(1, 8))))
        if chance.random() < 0.1:
            asked = (ONE_PROVINCE.format(province=chance.choice(("11", "31")), salary=chance.randrange(2000, 9000)),)
        if found and chance.random() < 0.2 and len(earlier := chance.choice(found)[1]) <= left:
            asked = earlier
        found.append((chance.choice((RESEARCHER, SECOND)), asked))
        left -= len(asked)
    return found


def ask_all(world: World, asked: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    """Both researchers at once, each one request after the other."""

    def one(researcher: str) -> list[Answer]:
        with world.client(researcher) as client:
            # A hundredth of a rho a request: the tight budget ends on the way, the others hold.
            return [client.ask(*words, rho=0.01, deadline=120) for who, words in asked if who == researcher]

    with ThreadPoolExecutor(2) as pool:
        for answers in pool.map(one, (RESEARCHER, SECOND)):
            world.answers += answers


# ---------------------------------------------------------------- what is shown


def exported(federation: Federation, folder: Path) -> Path:
    for name in NAMES:
        settled(federation, name)
    for name in NAMES:
        said = typed("collegium-node", "log", "export", folder, home=federation.node_home(name), seconds=600)
        assert said.code == 0, said
        assert "left out" not in said.out
    said = typed("collegium-coordinator", "log", "export", folder, home=federation.home, seconds=600)
    assert said.code == 0, said
    said = typed("collegium", "trust", "--out", folder.parent / "trust.txt", home=federation.researcher_home(RESEARCHER))
    assert said.code == 0, said
    return folder


def audit(folder: Path, *words: str | Path) -> Said:
    """`collegium audit [show|report] FOLDER` with the options that follow."""
    command = [words[0], *[folder]] if words and words[0] in ("show", "report") else [folder]
    rest = words[len(command) - 1 :]
    return typed("collegium", "audit", *command, "--policy", folder.parent / "trust.txt", *rest, seconds=600)


def clean(said: Said) -> dict[str, Any]:
    """The auditor's JSON of a federation in which nobody cheated and nothing is missing."""
    tree: dict[str, Any] = json.loads(said.out)
    assert (said.code, tree["exit"]) == (0, 0), json.dumps(tree["findings"], indent=1)
    assert [each["word"] for each in tree["findings"]] == [], json.dumps(tree["findings"], indent=1)
    assert {each["check"]: each["word"] for each in tree["checks"]} == dict.fromkeys(CHECKS, "PASS")
    assert {each["log"] for each in tree["logs"]} == {"registry", "coordinator", *NAMES}
    return tree


def logged(folder: Path, log: str, kind: str) -> list[bytes]:
    return [entry for entry in LogFolder(folder / log).entries() if entry.startswith(f"collegium/v1/{kind}\n".encode())]


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported logs of all, after the five hundred questions, what the stewards said, and a withdrawal."""
    federation, began = world.federation, time.monotonic()
    ask_all(world, requests(QUESTIONS, seed=1))
    world.seconds["questions"] = time.monotonic() - began
    _steward_decides(world)
    _a_release_is_withdrawn(world)
    began = time.monotonic()
    found = exported(federation, tmp_path_factory.mktemp("audited") / "logs")
    world.seconds["export"] = time.monotonic() - began
    return found


def _steward_decides(world: World) -> None:
    """Of the held requests one is refused, one waits on, and the others are allowed and answered late."""
    home = world.federation.node_home(CAREFUL)
    served = {each.id for each in world.answers if all(asked.dataset == "graduate" for asked in each.verified.request.questions)}
    held = [each["id"] for each in json.loads(typed("collegium-node", "requests", "--json", home=home).out) if each["id"] in served]
    assert len(held) >= 6
    for number, each in enumerate(held[1:6]):
        assert typed("collegium-node", "allow" if number else "refuse", each, home=home).code == 0
    with world.client(SECOND) as client:
        for each in held[2:6]:
            assert CAREFUL not in client.result(each, wait=60).missing
        assert "steward" in client.result(held[1], wait=60).missing[CAREFUL]


def _a_release_is_withdrawn(world: World) -> None:
    """Found wrong by the university: the next revision of the figure is without it, and says so."""
    answer = next(each for each in world.answers if each.views and NAMES[0] not in each.missing and not each.free)
    said = typed("collegium-node", "withdraw", answer.id, "--reason", "wrong-upload", home=world.federation.node_home(NAMES[0]))
    assert said.code == 0, said
    owner = next(who for who in (RESEARCHER, SECOND) if who == answer.verified.request.researcher)
    end = time.monotonic() + 120
    with world.client(owner) as client:
        while NAMES[0] not in (again := client.result(answer.id, wait=30)).missing:
            assert time.monotonic() < end  # a node that has released is asked again after a minute
            time.sleep(1)
    assert again.missing[NAMES[0]] == "withdrew its release"


def test_five_hundred_questions_are_in_the_logs(world: World, folder: Path) -> None:
    assert sum(len(Request.read(entry).questions) for entry in logged(folder, "coordinator", "request")) == QUESTIONS
    verdicts: Counter[tuple[str, str]] = Counter()
    for name in NAMES:
        for entry in logged(folder, name, "decision"):
            said = Decision.read(entry)
            verdicts[said.verdict, said.reason or ""] += 1
    print(f"\n{world.seconds} {dict(verdicts)}")
    expected = {
        ("charge", ""), ("reuse", ""), ("hold", "held"), ("allow", ""), ("refuse", "refused-by-steward"), ("refuse", "not-allowed"),
        ("refuse", "budget-period"), ("refuse", "no-dataset"),
    }  # fmt: skip
    assert set(verdicts) == expected
    assert sum(count for (verdict, _), count in verdicts.items() if verdict == "charge") > 10 * len(NAMES)
    assert len(logged(folder, NAMES[0], "withdrawal")) >= 1


def test_the_audit_is_clean_and_every_check_has_looked_at_something(folder: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    said = audit(folder, "--evidence", tmp_path / "evidence")
    print(f"\n{said.out.splitlines()[0]} {time.monotonic() - began:.1f} s")
    assert said.code == 0, said.out
    lines = dict(re.findall(r"^PASS  (A\d+) +.*: ([\d,]+) looked at in \d+ logs?$", said.out, re.MULTILINE))
    assert list(lines) == list(CHECKS)
    assert all(int(count.replace(",", "")) > 0 for count in lines.values())
    logs = re.findall(r"^PASS  log (\S+): ([\d,]+) entries$", said.out, re.MULTILINE)
    assert {name for name, _ in logs} == {"registry", "coordinator", *NAMES}
    assert not (tmp_path / "evidence").exists()
    clean(audit(folder, "--json", "--evidence", tmp_path / "evidence"))


def test_the_auditor_reads_questions_costs_and_budgets(world: World, folder: Path, tmp_path: Path) -> None:
    said = audit(folder, "show", "--json")
    assert said.code == 0, said.err
    story = json.loads(said.out)
    assert len(story["questions"]) == QUESTIONS
    assert audit(folder, "show").code == 0
    assert audit(folder, "report", "--out", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(name in page for name in (*NAMES, RESEARCHER, SECOND))
    assert "<svg" in page


def test_what_has_grown_since_the_last_audit_is_clean_too(world: World, folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    before = clean(audit(folder, "--json", "--keep", state, "--evidence", tmp_path / "evidence"))
    ask_all(world, requests(LATER, seed=2))
    exported(world.federation, folder)
    after = clean(audit(folder, "--json", "--since", state, "--evidence", tmp_path / "evidence"))
    grown = {each["log"]: each["size"] for each in after["logs"]}
    assert all(grown[each["log"]] > each["size"] for each in before["logs"] if each["log"] not in ("registry", TIGHT))
    assert audit(folder, "--fast", "--since", state, "--evidence", tmp_path / "evidence").code == 0
