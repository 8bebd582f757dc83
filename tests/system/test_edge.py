"""The edge of a budget under a crowd, and a node that is killed again and again: through real processes, TLS and tunnels.

Failure: more or less than fits is granted; something left that no charge covers; one question leaves with two different noises; a
question that can never be answered again after a kill. Not failure: a charge whose answer never left.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from launch import Federation
from small import RESEARCHER, campus, charged, node_budget, open_small, people, typed

from collegium.answer import Answer
from collegium.asking import Prepared
from collegium.client import Federation as Client
from collegium.errors import CollegiumError
from collegium.home import Home
from collegium.statements import Decision, Release
from collegium_node.store import open_store

EDGE, KILLED = "univ-a", "univ-b"
EACH = 10_000_000  # nano-rho of one question
FITS, CROWD = 37, 100

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # what is quick of it: tests/node/test_kill.py


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """One node whose budget covers 37 questions and a half, and one with plenty."""
    narrow = f'[budget.student]\nperiod = "year"\nrho = {EACH * FITS / 1e9 + EACH / 2e9}\nlifetime_rho = 1000\n'
    edge, killed = campus(EDGE, people(200), budget=narrow), campus(KILLED, people(3000))
    opened = open_small(tmp_path_factory.mktemp("federation"), edge, killed)
    yield opened
    opened.stop()


@pytest.fixture
def client(federation: Federation) -> Iterator[Client]:
    with Client(Home(federation.researcher_home(RESEARCHER))) as client:
        yield client


def question(client: Client, node: str, number: int) -> Prepared:
    """The question of this number: different numbers, different questions, all of the same cost."""
    return client.prepare(f"SELECT COUNT(*) AS n FROM graduate WHERE salary >= {number}", rho=EACH / 1e9, nodes=[node])


def test_a_hundred_at_once_at_the_edge_are_granted_exactly_what_fits(federation: Federation, client: Client) -> None:
    crowd = [question(client, EDGE, number) for number in range(CROWD)]
    with ThreadPoolExecutor(CROWD) as pool:
        progress = list(pool.map(lambda prepared: client.hand_in(prepared, deadline=120), crowd))
    assert all(each.done for each in progress)
    assert sum(each.released for each in progress) == FITS
    assert sum(each.refused for each in progress) == CROWD - FITS
    assert charged(federation, EDGE) == FITS * EACH
    assert node_budget(federation, EDGE) == FITS * EACH  # by the steward's own command
    refused = next(prepared for prepared, each in zip(crowd, progress, strict=True) if each.refused)
    assert "budget" in client.result(refused.id, refresh=False).missing[EDGE]
    # What was granted is given again for nothing; what was refused blocks nobody: the half that is left buys a cheaper question.
    granted = next(number for number, each in enumerate(progress) if each.released)
    again = question(client, EDGE, granted)
    assert client.hand_in(again).released == 1
    cheaper = client.prepare("SELECT COUNT(*) AS n FROM graduate", rho=EACH / 2e9, nodes=[EDGE])
    assert client.hand_in(cheaper).released == 1
    assert charged(federation, EDGE) == FITS * EACH + EACH // 2
    said = typed("collegium-coordinator", "budget", "--json", home=federation.home)
    assert str(FITS * EACH + EACH // 2) in said.out  # and the ministry's record of charges says the same


class Stream:
    """Researchers who ask one question after the other, some of them twice, until stopped; every figure that arrived is kept."""

    def __init__(self, federation: Federation, hands: int = 3) -> None:
        self._home = Home(federation.researcher_home(RESEARCHER))
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(hands)]
        self._lock = threading.Lock()
        self.asked: list[Prepared] = []
        self.left: dict[str, set[bytes]] = defaultdict(set)  # by digest: payloads that reached the researcher
        self.broken: list[Exception] = []

    def __enter__(self) -> Stream:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def keep(self, answer: Answer) -> bool:
        """Remember what came; whether anything did."""
        for release in answer.bundle.releases:
            body = Release.read(release)
            with self._lock:
                self.left[body.question].add(answer.bundle.blobs[body.payload.sha256])
        return bool(answer.bundle.releases)

    def wait_for_news(self) -> None:
        """Until one more question has been answered."""
        seen = len(self.left)
        while len(self.left) == seen and not self.broken:
            time.sleep(0.01)

    def _run(self) -> None:
        chance = random.Random()
        try:
            with Client(self._home) as client:
                while not self._stop.is_set():
                    with suppress(CollegiumError):  # the node is down just now: asked again at the end
                        self.keep(client.submit(self._next(client, chance), deadline=2))
        except Exception as error:
            self.broken.append(error)

    def _next(self, client: Client, chance: random.Random) -> Prepared:
        """A new question, or an old one in a new request."""
        with self._lock:
            new = not self.asked or chance.random() < 0.7
            prepared = question(client, KILLED, len(self.asked) if new else chance.randrange(len(self.asked)))
            if new:
                self.asked.append(prepared)
        return prepared


@pytest.mark.parametrize("kills", [pytest.param(50, marks=pytest.mark.timeout(1200))])  # six: tests/node/test_kill.py
def test_a_node_killed_at_random_moments_pays_for_all_that_left(federation: Federation, client: Client, kills: int) -> None:
    chance, torn = random.Random(), 0
    with Stream(federation) as stream:
        for number in range(kills):
            if number % 4 != 3:  # every fourth time it dies while it starts
                stream.wait_for_news()
            time.sleep(chance.random() * 0.3)
            federation.kill(KILLED)
            torn += charged_and_not_released(federation)
            federation.start_node(KILLED)
        stream.wait_for_news()
    assert not stream.broken
    federation.wait_connected(RESEARCHER, 2)
    for prepared in stream.asked:  # nothing is stuck: each request is finished on the row that paid for it
        assert stream.keep(client.result(prepared.id, wait=30))
    assert len(stream.left) == len(stream.asked) > kills
    assert all(len(payloads) == 1 for payloads in stream.left.values())  # nothing left with two noises
    assert charged_and_not_released(federation) == 0
    assert torn > 0 or kills < 50  # some died between charge and answer, or this proves little
    _covers(federation, stream)


def charged_and_not_released(federation: Federation) -> int:
    """Questions that a killed node had charged and not yet answered."""
    with closing(sqlite3.connect(federation.node_home(KILLED) / "node.db")) as db:
        return int(db.execute("SELECT COUNT(*) FROM charges WHERE release IS NULL").fetchone()[0])


def _covers(federation: Federation, stream: Stream) -> None:
    """The node's log: one charge and one release a question, and everything that left is among them."""
    store = open_store(federation.node_home(KILLED) / "node.db")
    try:
        with store.read() as db:
            notes = db.execute("SELECT kind, note FROM entries WHERE kind IN ('decision', 'release') ORDER BY idx").fetchall()
            blobs = dict(db.execute("SELECT sha256, data FROM blobs").fetchall())
    finally:
        store.close()
    decisions = [Decision.read(note) for kind, note in notes if kind == "decision"]
    charges = {body.log.index: body for body in decisions if body.verdict == "charge"}
    releases = [Release.read(note) for kind, note in notes if kind == "release"]
    digests = [body.question for body in charges.values()]
    assert len(set(digests)) == len(digests)  # nobody paid twice
    assert sum(body.rho or 0 for body in charges.values()) == charged(federation, KILLED) == EACH * len(digests)
    kept = {body.question: body for body in releases}
    assert len(kept) == len(releases)  # one release a question, for ever
    for digest, payloads in stream.left.items():
        body = kept[digest]
        assert {blobs[body.payload.sha256]} == payloads
        assert charges[body.decision].question == digest
    log = (federation.root / "logs" / f"{KILLED}.log").read_text(encoding="utf-8")
    assert all(json.loads(line) for line in log.splitlines() if line.endswith("}"))
