"""How long an audit takes, against what it cannot do without: the same signatures verified and the same bytes hashed, on all cores.

    python bench/audit.py --entries 1000000

Writes a federation with witnesses once (under --folder, or the system's temporary folder): requests, decisions, releases,
indicators, and the checkpoints of other logs, signed and cosigned as real ones are. Then, in one run: the floor, the whole audit,
the structural audit. Everything is read once before, so that the page cache is warm for all of them.

    floor (whole)   every distinct entry's Ed25519 verification with `cryptography`, and SHA-256 of every entry, on all cores
    floor (fast)    reading the bundles and SHA-256 of every entry; beside it, of whole files at once

Seconds are wall clock. CPU seconds of all processes stand beside them: on a machine that others use, only their ratio means
anything. A question costs the audit some milliseconds beyond its signatures (its layout, its national table), whatever the number
of nodes: --nodes changes the ratio.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from collegium.audit.case import Log
from collegium.audit.opening import find_heads, open_case
from collegium.audit.run import audit
from collegium.audit.verdict import Code, Findings
from collegium.log.folder import LogFolder
from collegium.log.merkle import leaf_hash
from collegium.log.note import Verifier, split_note
from collegium.log.trust import Trust

FLAT = 8  # every eighth question is not grouped
CHUNK = 4096


def make(folder: Path, entries: int, nodes: int) -> None:
    """The federation's folders and trust file, unless they are there."""
    if (folder / "trust.txt").exists():
        return
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests/library/audit"))
    from madefed import World, question

    started = time.perf_counter()
    world = World([f"node-{number:04d}" for number in range(nodes)], witnesses=True, receipts=False, budget=10**15)
    asked = 0
    while sum(log.size for log in world.logs) < entries:
        world.ask("rita", question(salt=asked, by_sex=asked % FLAT != 0))
        asked += 1
    world.export(folder)
    (folder / "trust.txt").write_text(world.trust().to_text(), encoding="utf-8")
    print(f"made {asked} questions to {nodes} nodes in {time.perf_counter() - started:.0f} s")


def verify_and_hash(
    path: str, first: int, size: int, keys: dict[tuple[str, bytes], bytes], skip: set[bytes]
) -> tuple[float, float, int, int]:
    """Seconds of verifying, seconds of hashing, signatures and bytes of one chunk. Reading and parsing are not in the seconds."""
    publics = {name: Ed25519PublicKey.from_public_bytes(raw) for name, raw in keys.items()}
    entries, work = [], []
    for at, entry in zip(range(min(CHUNK, size - first)), LogFolder(Path(path)).entries(first, size), strict=False):
        entries.append(entry)
        if skip[at]:
            continue
        text, lines = split_note(entry)
        work += [(publics[name, key], body, text.encode()) for name, key, body in lines if (name, key) in publics]
    start, busy = time.perf_counter(), time.process_time()
    for public, signature, message in work:
        public.verify(signature, message)
    middle = time.perf_counter()
    for entry in entries:
        sha256(entry).digest()
    return middle - start, time.perf_counter() - middle, time.process_time() - busy, len(work), sum(map(len, entries))


def read_and_hash(path: str, first: int, size: int, whole: bool) -> float:
    """Seconds of reading one chunk's bundles and hashing each entry, or each file as a whole."""
    folder = LogFolder(Path(path))
    start = time.perf_counter()
    if whole:
        from collegium.log.tiles import ENTRIES, WIDTH, Tile

        for number in range(first // WIDTH, -(-min(first + CHUNK, size) // WIDTH)):
            tile = Tile(ENTRIES, number, min(WIDTH, size - number * WIDTH))
            sha256((folder.path / tile.path).read_bytes()).digest()
    else:
        for index, entry in zip(range(first, min(first + CHUNK, size)), folder.entries(first, size), strict=False):
            del index
            sha256(entry).digest()
    return time.perf_counter() - start


def floors(folder: Path, trust: Trust, cores: int) -> dict[str, Any]:
    """The floors, each as busy seconds of all cores divided by their number."""
    case = open_case(folder, trust, Findings())
    logs = sorted(find_heads(case, folder), key=lambda log: log.name == "coordinator")
    keys = {(key.name, Verifier(key.name, key.raw).key_id): key.raw for key in case.keys}
    chunks = [(str(log.folder.path), first, log.size) for log in logs for first in range(0, log.size, CHUNK)]
    skips = _copies(logs)
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        columns = list(zip(*chunks, strict=True))
        list(pool.map(read_and_hash, *columns, [True] * len(chunks)))  # warm
        jobs = [pool.submit(verify_and_hash, *chunk, keys, skip) for chunk, skip in zip(chunks, skips, strict=True)]
        rows = [job.result() for job in jobs]
        each = list(pool.map(read_and_hash, *columns, [False] * len(chunks)))
        files = list(pool.map(read_and_hash, *columns, [True] * len(chunks)))
    return {
        "verify": sum(row[0] for row in rows) / cores,
        "hash": sum(row[1] for row in rows) / cores,
        "cpu": sum(row[2] for row in rows),
        "signatures": sum(row[3] for row in rows),
        "bytes": sum(row[4] for row in rows),
        "read each": sum(each) / cores,
        "read files": sum(files) / cores,
    }


def _copies(logs: list[Log]) -> list[bytes]:
    """For each chunk, which entries stand in an earlier log: they are verified once, in the floor as in the audit."""
    seen: set[bytes] = set()
    skips = []
    for log in sorted(logs, key=lambda log: log.name == "coordinator"):
        for first in range(0, log.size, CHUNK):
            skip = bytearray()
            for leaf in (leaf_hash(entry) for entry in islice(log.folder.entries(first, log.size), CHUNK)):
                skip.append(leaf in seen)
                seen.add(leaf)
            skips.append(bytes(skip))
    return skips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=None, help="where the federation is kept between runs")
    parser.add_argument("--rounds", type=int, default=1, help="floor, audit and structural audit, this many times in turn")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.gettempdir()) / f"collegium-audit-{options.entries}-{options.nodes}"
    make(folder, options.entries, options.nodes)
    trust = Trust.parse((folder / "trust.txt").read_bytes())
    rows = [measure(folder, trust, options.cores) for _ in range(options.rounds)]
    for each in rows:
        each.say()
    if len(rows) > 1:
        print("median of the rounds' own ratios:")
        for what in ("whole", "whole by CPU", "fast", "fast to whole files"):
            print(f"{what:30}{statistics.median(each.ratios[what] for each in rows):8.2f}")


@dataclass(frozen=True)
class Round:
    """The floor, the whole audit and the structural one, one after the other. Seconds."""

    floor: dict[str, Any]
    entries: int
    signatures: int
    whole: float
    cpu: float
    fast: float
    fast_cpu: float

    @property
    def base(self) -> float:
        return float(self.floor["verify"] + self.floor["hash"])

    @property
    def ratios(self) -> dict[str, float]:
        return {
            "whole": self.whole / self.base,
            "whole by CPU": self.cpu / self.floor["cpu"],
            "fast": self.fast / self.floor["read each"],
            "fast to whole files": self.fast / self.floor["read files"],
        }

    def say(self) -> None:
        floor, ratios = self.floor, self.ratios
        print(f"{self.entries:,} entries, {floor['bytes']:,} bytes")
        print(f"signatures of distinct entries: {self.signatures:,} by the audit, {floor['signatures']:,} in the floor")
        seconds = f"({floor['verify']:.1f} + {floor['hash']:.2f})"
        print(f"{'floor: verify and hash':30}{self.base:8.1f} s  {seconds}  CPU {floor['cpu']:.1f} s")
        busy = f"CPU {self.cpu:.1f} s, ratio {ratios['whole by CPU']:.2f}"
        print(f"{'audit':30}{self.whole:8.1f} s  ratio {ratios['whole']:.2f}  {busy}")
        print(f"{'floor: read, hash each entry':30}{floor['read each']:8.2f} s  (whole files at once: {floor['read files']:.2f} s)")
        other = f"(to whole files: {ratios['fast to whole files']:.2f})"
        print(f"{'audit --fast':30}{self.fast:8.2f} s  ratio {ratios['fast']:.2f}  {other}  CPU {self.fast_cpu:.1f} s", flush=True)


def measure(folder: Path, trust: Trust, cores: int) -> Round:
    floor = floors(folder, trust, cores)
    start, busy = time.perf_counter(), _cpu()
    whole = audit(folder, trust, workers=cores)
    seconds, cpu = time.perf_counter() - start, _cpu() - busy
    assert whole.findings.code is Code.CLEAN, whole.findings.list[:5]
    start, busy = time.perf_counter(), _cpu()
    assert audit(folder, trust, fast=True, workers=cores).findings.code is Code.CLEAN
    fast, fast_cpu = time.perf_counter() - start, _cpu() - busy
    return Round(floor, whole.case.entries, whole.case.signatures, seconds, cpu, fast, fast_cpu)


def _cpu() -> float:
    """CPU seconds of this process and of all its finished children."""
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


if __name__ == "__main__":
    main()
