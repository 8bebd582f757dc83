"""What must hold of a log, its database and its exported files after kills, full disks and cut exports; for tests.

Everything is read anew from the files, by a connection of its own: also while the process that wrote them is gone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from collegium.log.checkpoint import open_checkpoint, read_checkpoint
from collegium.log.folder import LogFolder
from collegium.log.merkle import Frontier, leaf_hash, root
from collegium.log.note import Verifier
from collegium.log.statement import statement_id
from collegium.log.tiles import ENTRIES, tiles_of
from collegium.log.tree import LeafHashes, Tree
from collegium.statements import Decision, Release, Request

__all__ = ["Charge", "check_coordinator", "check_folder", "check_node", "replayed"]

Charge = tuple[str, str, str, str, str, str, int, str, int, int, int | None]
"""Digest (of a national sum: id of the plan), snapshot, unit, period, dataset, researcher, nano-rho, request, number, index of the
decision, of the release."""


@contextmanager
def _state(path: Path) -> Iterator[sqlite3.Connection]:
    """One committed state of a database that others may be writing."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60, isolation_level=None)) as db:
        db.execute("BEGIN")
        yield db


def _log(db: sqlite3.Connection, column: str) -> list[bytes]:
    """The entries of a database, after the checks: no gap, leaves and checkpoint are theirs."""
    frontier, entries = Frontier(), []
    for index, (found, entry, leaf) in enumerate(db.execute(f"SELECT idx, {column}, leaf FROM entries ORDER BY idx")):
        assert (found, leaf) == (index, leaf_hash(entry))
        frontier.append(leaf)
        entries.append(bytes(entry))
    head = db.execute("SELECT note FROM head").fetchone()
    assert (head is None) == (not entries)
    if head is not None:
        checkpoint = read_checkpoint(head[0])
        assert (checkpoint.size, checkpoint.root) == (frontier.size, frontier.root())
    return entries


def replayed(entries: list[bytes]) -> list[Charge]:
    """The ledger as the log alone tells it. Fails when a question was charged or released twice on one snapshot."""
    who: dict[str, str] = {}
    charges: dict[tuple[str, str], list[object]] = {}
    for index, entry in enumerate(entries):
        kind = entry.partition(b"\n")[0]
        if kind == b"collegium/v1/request":
            who[statement_id(entry)] = Request.read(entry).researcher
        elif kind == b"collegium/v1/decision" and (said := Decision.read(entry)).verdict == "charge":
            key = (said.plan or said.question or "", said.snapshot or "")
            assert key not in charges, f"entry {index} charges a question a second time"
            charges[key] = [
                *key,
                said.unit,
                said.period,
                said.dataset,
                who[said.request],
                said.rho,
                said.request,
                said.number,
                index,
            ]
        elif kind == b"collegium/v1/release":
            release = Release.read(entry)
            row = charges[release.question, release.snapshot]
            assert len(row) == 10, f"entry {index} releases a question a second time"
            assert row[9] == release.decision
            row.append(index)
    return sorted(tuple([*row, None][:11]) for row in charges.values())  # type: ignore[type-var]


def check_node(database: Path) -> list[bytes]:
    """A node's entries: the log holds together, the ledger is what its own entries say, and every release has its payload."""
    columns = "digest, snapshot, unit, period, dataset, researcher, rho, request, number, decision, release"
    with _state(database) as db:
        entries = _log(db, "note")
        assert sorted(db.execute(f"SELECT {columns} FROM charges")) == replayed(entries)
        kept = {sha256 for (sha256,) in db.execute("SELECT sha256 FROM blobs")}
    assert _payloads(entries) <= kept
    return entries


def check_coordinator(database: Path) -> list[bytes]:
    """The coordinator's entries: the log holds together, and its charges are those of the decisions in it."""
    with _state(database) as db:
        entries = _log(db, "entry")
        charges = sorted(db.execute("SELECT entry, node, rho FROM charges"))
        kept = {sha for (sha,) in db.execute("SELECT sha FROM blobs")}
    read = [(n, Decision.read(each)) for n, each in enumerate(entries) if each.startswith(b"collegium/v1/decision\n")]
    assert charges == [(n, said.log.origin.partition("/")[2], said.rho) for n, said in read if said.verdict == "charge"]
    assert _payloads(entries) <= kept
    return entries


def _payloads(entries: list[bytes]) -> set[str]:
    return {Release.read(each).payload.sha256 for each in entries if each.startswith(b"collegium/v1/release\n")}


def check_folder(folder: Path, entries: list[bytes], log: Verifier | None = None) -> int:
    """An export shows a prefix of the database's entries, tile for tile, with the payloads that they name. How many entries."""
    shown = LogFolder(folder)
    if not shown.exists():  # cut before its first checkpoint
        return 0
    note = shown.checkpoint()
    head = open_checkpoint(note, log) if log is not None else read_checkpoint(note)
    assert list(shown.entries()) == entries[: head.size]
    leaves = [leaf_hash(each) for each in entries[: head.size]]
    assert head.root == root(leaves)
    tree = Tree(LeafHashes(lambda first, count: leaves[first : first + count]))
    for tile in tiles_of(head.size):
        if tile.level != ENTRIES:
            shown.check_tile(tile, tree.hashes(tile.level, tile.first, tile.width))
    assert _payloads(entries[: head.size]) <= set(shown.blobs())
    return head.size
