"""kill -9 of a node's process whose witnesses go on: at random moments, and at every step of charge, release, quorum and export.

Failure: an entry for which a receipt left is not in the log, or another one stands there; the ledger is not what the log says;
a question was charged twice or left with two noises; the exported files are not the database's; the node, killed and begun again,
does not go on, or its witnesses call it an old copy of itself.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aftermath import check_folder, check_node
from onenode import NODE, OneNode, Researcher, federation, question
from outside import Outside
from witnessed import NAMES, ORIGIN

from collegium.log.merkle import leaf_hash

RHO = 1_000
AT_ONCE = 6  # new questions in each round; every second one is asked by two requests
WRITES = [f"{at} {what}" for what in ("charge", "release", "reuse", "quorum") for at in ("begin", "commit", "committed")]
STEPS = ["write", "fsync", "rename", "sync", "remove"]
KILLS = 130
SEED = 7

pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]


@dataclass
class Seen:
    """What left the node: payloads by question, and the entries whose receipts came along, by index."""

    payloads: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    entries: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    asked: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)

    def take(self, line: str) -> None:
        said = json.loads(line)
        self.answered.add(said["stem"])
        self.payloads[said["stem"].partition("-")[0]].add(said["payload"])
        for index, leaf in said["entries"]:
            self.entries[index].add(leaf)

    def check(self, entries: list[bytes]) -> None:
        """Nothing acknowledged is lost or was replaced, and no question left with two noises."""
        for index, leaves in self.entries.items():
            assert leaves == {leaf_hash(entries[index]).hex()}
        assert all(len(payloads) == 1 for payloads in self.payloads.values())


def test_a_node_is_killed_and_its_witnesses_go_on(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path / "home")
    one.allow(researcher, rho=10**12)
    for name in NAMES:
        one.ministry.register("node", name)
    one.ministry.assign(ORIGIN, *NAMES, quorum=3)
    one.learn()
    one.node.close()
    folder = tmp_path / "requests"
    folder.mkdir()
    outside, seen, chance = Outside(tmp_path / "witnesses", one.ministry), Seen(), random.Random(SEED)
    died: Counter[str] = Counter()
    began, rounds = time.monotonic(), 0
    while died.total() - died[""] < KILLS:  # "": it had finished before the kill came
        _write(folder, researcher, rounds, seen)
        died += _round(tmp_path, outside.address, seen, chance, rounds)
        entries = check_node(one.home.database)
        seen.check(entries)
        check_folder(tmp_path / "audit" / NODE, entries)
        rounds += 1
    assert _run(tmp_path, outside.address, seen) == ""
    entries = check_node(one.home.database)
    seen.check(entries)
    assert check_folder(tmp_path / "audit" / NODE, entries, one.ministry.logs[NODE].verifier) == len(entries)
    assert seen.answered == seen.asked  # everything was finished, nothing is stuck
    after = OneNode(tmp_path / "home", one.ministry, join=False)
    assert after.charged() == RHO * rounds * AT_ONCE  # and every question paid once
    assert after.node.permit.stopped is None
    assert outside.cosigned > KILLS
    outside.close()
    seconds = time.monotonic() - began
    print(f"\n{dict(died)}: {died.total()} kills in {rounds} rounds, {len(entries)} entries, {seconds:.0f} s")
    assert set(died) - {""} == {"at random", *WRITES, *STEPS}


def _write(folder: Path, researcher: Researcher, number: int, seen: Seen) -> None:
    """New requests. Those that were answered in an earlier round go once more beside them, and then no more."""
    for path in folder.glob("*.note"):
        if path.stem in seen.answered and int(path.stem.partition("-")[0]) < (number - 1) * AT_ONCE:
            path.unlink()
    for each in range(AT_ONCE):
        for copy in range(1 + each % 2):
            asked = researcher.ask(question(RHO, value=number * AT_ONCE + each))
            stem = folder / f"{number * AT_ONCE + each:04}-{copy}"
            stem.with_suffix(".details").write_bytes(asked.details)
            stem.with_suffix(".receipt").write_bytes(asked.receipt)
            stem.with_suffix(".note").write_bytes(asked.note)
            seen.asked.add(stem.name)


def _round(root: Path, address: str, seen: Seen, chance: random.Random, number: int) -> Counter[str]:
    """One child: killed at a random moment, or by itself at the next of the named points. How it died, if it did."""
    if number % 3 == 0:
        return Counter([_run(root, address, seen, kill_after=chance.random() * 0.4)])
    points = [*WRITES, *STEPS]
    point = points[(number - number // 3 - 1) % len(points)]
    # A step that comes once in a run (a quorum written down, the sync of a folder) is met the first time.
    often = {"charge": AT_ONCE, "release": AT_ONCE, "reuse": 2, "quorum": 1}
    most = often.get(point.partition(" ")[2], 4 if point in ("write", "fsync", "rename") else 1)
    return Counter([how] if (how := _run(root, address, seen, point, chance.randint(1, most))) else [])


def _run(root: Path, address: str, seen: Seen, point: str = "", number: int = 0, *, kill_after: float | None = None) -> str:
    """Answer everything in a child and export its log. How it was killed; empty when it came to its end."""
    here = Path(__file__).parent
    command = [
        sys.executable,
        str(here / "watched_child.py"),
        str(root / "home"),
        str(root / "requests"),
        address,
        str(root / "audit"),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen([*command, point, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.stdin.write(b"go\n")
        child.stdin.flush()
        if kill_after is not None:
            time.sleep(kill_after)
            child.send_signal(signal.SIGKILL)
        *lines, _ = child.stdout.read().decode().split("\n")
    assert child.returncode in (0, -signal.SIGKILL)
    done = bool(lines) and lines[-1] == "done"
    for line in lines[: len(lines) - done]:
        seen.take(line)
    return "" if done else point or "at random"
