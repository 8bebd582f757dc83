"""Durable appends: entries a second through the node's journal against bare SQLite commits of the same bytes, in one run.

    python bench/append.py --rounds 60

Ways, one transaction an entry, all with WAL and synchronous=FULL on the same disk:

- `bare`: INSERT of the entry's bytes into a table of two columns, and COMMIT;
- `floor`: the same and one Ed25519 signature: what any log pays that signs a checkpoint with every commit;
- `keep`: `Journal.write` and `Writer.keep` of the same bytes: leaf hash, row with its indexes, signed checkpoint, COMMIT;
- `sign`: the same with a decision that is built, checked and signed on the spot, as a node does it.

The ways take turns within short rounds, and their order changes from round to round, because a shared disk is faster now and
slower then. Printed: median and quartiles of entries a second, and the median and quartiles of each round's own ratio to `bare`
(the aim for `keep` is 0.7) and its ratio to `floor`: where the disk is fast, the signature alone keeps any log below the aim, and
only the second ratio says what this one adds. A database that has just been opened makes its write-ahead log longer with every
commit, which costs the file system more than writing into a long one: `--settled` measures the latter. With `--folder` on a memory
disk, what remains is the time of the processor.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from collegium.log.note import Signer
from collegium.party.journal import EMPTY_REGISTRY, Journal
from collegium.statements import Decision, LogPlace, RegistryView
from collegium_node.store import open_store

STATEMENTS = Signer.from_seed("bench/ustc/statements", b"\1" * 32)
LOG = Signer.from_seed("bench/ustc", b"\2" * 32)
T = 1_766_000_000


def decision(place: LogPlace, registry: RegistryView) -> Decision:
    """A charge as a node logs it: some 560 bytes signed."""
    return Decision(
        log=place,
        registry=registry,
        time=T,
        request=f"{place.index:064x}",
        number=0,
        question=f"{place.index:064x}",
        verdict="charge",
        snapshot="0123456789abcdef",
        unit="student",
        period="2026",
        dataset="students",
        rho=12_345_678,
    )


def rate(count: int, append: Callable[[int], None]) -> float:
    start = time.perf_counter()
    for index in range(count):
        append(index)
    return count / (time.perf_counter() - start)


def plain(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE entries(idx INTEGER PRIMARY KEY, note BLOB NOT NULL) STRICT")
    return db


def commit(db: sqlite3.Connection, note: bytes) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO entries(note) VALUES (?)", (note,))
    db.execute("COMMIT")


WAYS = ("bare", "floor", "keep", "sign")


class Ways:
    """The four ways, each with its own database in `folder`."""

    def __init__(self, folder: Path, notes: list[bytes]) -> None:
        self.notes = notes
        self.bare_db = plain(folder / "bare.db")
        self.floor_db = plain(folder / "floor.db")
        self.kept = Journal(open_store(folder / "keep.db"), STATEMENTS, LOG, lambda: T)
        self.signed = Journal(open_store(folder / "sign.db"), STATEMENTS, LOG, lambda: T)

    def settle(self, rounds: int) -> None:
        """Append until every write-ahead log has come to its full size; without waiting for the disk."""
        databases = (self.bare_db, self.floor_db, self.kept.store._db, self.signed.store._db)
        for db in databases:
            db.execute("PRAGMA synchronous=OFF")
        for _ in range(rounds):
            for way in WAYS:
                for index in range(len(self.notes)):
                    getattr(self, way)(index)
        for db in databases:
            db.execute("PRAGMA synchronous=FULL")

    def bare(self, index: int) -> None:
        commit(self.bare_db, self.notes[index])

    def floor(self, index: int) -> None:
        LOG.sign(self.notes[index][:80])
        commit(self.floor_db, self.notes[index])

    def keep(self, index: int) -> None:
        with self.kept.write("bench") as writer:
            writer.keep("decision", self.notes[index], request=f"{index:064x}")

    def sign(self, index: int) -> None:
        with self.signed.write("bench") as writer:
            writer.sign(decision(writer.place, writer.registry), request=f"{index:064x}")


def flushes(folder: Path, count: int = 100) -> float:
    """Milliseconds of one write of 4 KiB and its fsync."""
    with (folder / "flush").open("wb") as file:
        start = time.perf_counter()
        for _ in range(count):
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    return (time.perf_counter() - start) / count * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=40, help="appends of each way in each round")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure; the system's temporary one when not given")
    parser.add_argument("--settled", action="store_true", help="begin when the write-ahead logs grow no more")
    args = parser.parse_args()
    notes = [decision(LogPlace(origin=LOG.name, index=index), EMPTY_REGISTRY).sign(STATEMENTS) for index in range(args.entries)]
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        ways = Ways(folder, notes)
        measured: dict[str, list[float]] = {way: [] for way in WAYS}
        if args.settled:
            ways.settle(1200 // args.entries + 1)
        print(f"{args.entries} entries of {len(notes[0])} bytes, {args.rounds} rounds; fsync of 4 KiB: {flushes(folder):.2f} ms")
        for number in range(args.rounds + 1):
            order = list(measured)[number % 4 :] + list(measured)[: number % 4]
            for way in order:
                found = rate(args.entries, getattr(ways, way))
                if number:  # round 0 warms up
                    measured[way].append(found)
        for way, found in measured.items():
            low, middle, high = statistics.quantiles(found, n=4)
            worst, ratio, best = statistics.quantiles([a / b for a, b in zip(found, measured["bare"], strict=True)], n=4)
            to_floor = statistics.median(a / b for a, b in zip(found, measured["floor"], strict=True))
            print(
                f"{way:5} {middle:9.0f} entries/s  ({low:.0f} to {high:.0f})  {ratio:.2f} of bare ({worst:.2f} to {best:.2f})  "
                f"{to_floor:.2f} of floor"
            )


main()
