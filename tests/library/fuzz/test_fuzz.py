"""Every parser of strangers' bytes: valid ones are read, and of anything else nothing comes out but the one refusal.

Quick: the seeds, and changes of them chosen by a fixed generator. Long: atheris, which looks for changes that reach new lines.
"""

from __future__ import annotations

import importlib.util
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from targets import TARGETS

SECONDS = int(os.environ.get("COLLEGIUM_FUZZ_SECONDS", "30"))  # of each target
SLOW = {"folder": 60, "state": 60, "bundle": 150}  # changes in the quick test; the others are read in a millisecond
WORDS = (b"\n", b"\n\n", b"0", b"=", " — ".encode(), b'"', b"\\", b"\xff", b"-1", b"9" * 20, b"{", b"", b"")


def changed(seed: bytes, rng: random.Random) -> bytes:
    """One to three places replaced: bits turned, words put in, parts cut out, doubled or swapped."""
    raw = bytearray(seed)
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(raw))
        end = min(len(raw), at + rng.choice((0, 1, 1, 4, 40)))
        match rng.randrange(4):
            case 0 if at < len(raw):
                raw[at] ^= 1 << rng.randrange(8)
            case 1:
                raw[at:end] = raw[at:end] * 2
            case 2:
                raw[at:end] = raw[at:end][::-1]
            case _:
                raw[at:end] = rng.choice(WORDS)
    return bytes(raw)


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_accepted(name: str) -> None:
    for seed in TARGETS[name].seeds:
        assert TARGETS[name].accepts(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_changes_are_read_strictly_or_refused(name: str) -> None:
    target, rng = TARGETS[name], random.Random(name)
    for _ in range(SLOW.get(name, 1000)):
        target.accepts(changed(rng.choice(target.seeds), rng))
    for raw in (b"", b"\n", b"\n\n", b"\x00" * 300, "学".encode() * 40):
        target.accepts(raw)


@pytest.mark.long
@pytest.mark.parametrize("name", TARGETS)
def test_atheris_finds_nothing(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: it has wheels for some systems only (pip install atheris)")
    program = Path(__file__).with_name("fuzz.py")
    flags = [f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/", "-seed=1"]
    done = subprocess.run(
        [sys.executable, program, name, *flags], capture_output=True, text=True, timeout=SECONDS * 4 + 120, check=False
    )
    said = done.stdout + done.stderr
    runs = re.search(r"number_of_executed_units: *(\d+)", said)
    assert done.returncode == 0, said[-4000:]
    assert runs is not None
    assert int(runs[1]) > len(TARGETS[name].seeds), "nothing was tried"
    print(f"{name}: {runs[1]} executions in {SECONDS} s, nothing found")
