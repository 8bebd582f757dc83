"""kill -9 of a real process while it answers, at random moments.

Failure: an answer left without a charge; a question was charged twice; a question left with two noises; the log does not hold
together; a request cannot be finished afterwards. Not failure: a charge whose answer never left.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
from onenode import OneNode, Researcher, federation, question

from collegium.statements import Decision, Release

RHO = 1_000
AT_ONCE = 12  # questions in each round, every second one asked by two requests


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_kill_9_at_random_moments(tmp_path: Path, kills: int) -> None:
    one, researcher = federation(tmp_path / "home")
    one.allow(researcher, rho=10**12)
    folder = tmp_path / "requests"
    folder.mkdir()
    left: dict[str, set[str]] = defaultdict(set)
    chance = random.Random()
    died = 0
    for number in range(kills):
        _write(folder, researcher, number)
        died += _run(tmp_path / "home", folder, left, kill_after=chance.random() * 0.25)
        _check(one, left)
    assert died > 0
    _run(tmp_path / "home", folder, left, kill_after=None)
    _check(one, left)
    assert len(left) == len(list(folder.glob("*.note")))  # everything was finished, nothing is stuck
    assert one.charged() == RHO * kills * AT_ONCE  # and every question paid once


def _write(folder: Path, researcher: Researcher, number: int) -> None:
    for each in range(AT_ONCE):
        for copy in range(1 + each % 2):
            asked = researcher.ask(question(RHO, value=number * AT_ONCE + each))
            stem = f"{number * AT_ONCE + each:04}-{copy}"
            (folder / f"{stem}.details").write_bytes(asked.details)
            (folder / f"{stem}.receipt").write_bytes(asked.receipt)
            (folder / f"{stem}.note").write_bytes(asked.note)


def _run(home: Path, folder: Path, left: dict[str, set[str]], *, kill_after: float | None) -> bool:
    """Answer everything in a child; whether it was killed before it was done."""
    here = Path(__file__).parent
    command = [sys.executable, str(here / "answering_child.py"), str(home), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(here)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.stdin.write(b"go\n")
        child.stdin.flush()
        if kill_after is not None:
            time.sleep(kill_after)
            child.send_signal(signal.SIGKILL)
        lines = child.stdout.read().decode().splitlines()
    for line in lines:
        if line != "done":
            stem, payload, verdict = line.split()
            assert verdict == "1"
            left[stem].add(payload)
    return "done" not in lines


def _check(one: OneNode, left: dict[str, set[str]]) -> None:
    one.node.journal.verify()
    decisions = [Decision.read(note) for note in one.entries("decision")]
    charges = [d for d in decisions if d.verdict == "charge"]
    assert len({d.question for d in charges}) == len(charges)  # no question was charged twice
    assert sum(d.rho or 0 for d in charges) == one.charged()
    releases = [Release.read(note) for note in one.entries("release")]
    assert len({r.question for r in releases}) == len(releases)  # no question was released twice
    stored = {r.payload.sha256: r for r in releases}
    by_question: dict[str, set[str]] = defaultdict(set)
    for stem, payloads in left.items():
        by_question[stem.split("-")[0]] |= payloads
    for payloads in by_question.values():
        assert len(payloads) == 1  # nothing left with two noises
    for payload in set().union(*by_question.values()) if by_question else ():
        assert any(d.log.index == stored[payload].decision for d in charges)  # what left is stored and paid for
