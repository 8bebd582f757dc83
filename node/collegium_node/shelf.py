"""The node's snapshots as its database knows them: which there are, which is current. The rows themselves lie in `snapshots/`.

A snapshot becomes current in the transaction that signs it into the log. Names, ids and dataset names are a public choice of the
steward; row counts are not kept here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from collegium.errors import Refused, public_text
from collegium.party.journal import Journal
from collegium.statements import PolicySnapshot

__all__ = ["Shelf", "Shelved", "add", "listing", "signed"]


@dataclass(frozen=True, slots=True)
class Shelved:
    """One snapshot: its random id, the steward's name for it, the schema version it was prepared for, its datasets.

    `absent`: by dataset, the schema's columns to which nothing was mapped when it was made; public, as the datasets are.
    """

    id: str
    name: str
    time: int
    schema: str
    datasets: tuple[str, ...]
    current: bool
    absent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SIGNED = 50  # a statement holds at most 65,535 bytes
_COLUMNS = "id, name, time, schema, current, datasets"


class Shelf:
    """Looks snapshots up."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def current(self) -> Shelved:
        """The newest snapshot. Raises Refused, reason `no-dataset`, when there is none yet."""
        with self._journal.store.read() as db:
            found = [each for each in listing(db) if each.current]
        if not found:
            raise Refused(public_text("no-dataset"), by="schema", reason="no-dataset")
        return found[0]

    def get(self, identity: str) -> Shelved:
        """The snapshot of a charge. Snapshots are never taken off the list, whatever happens to their folders."""
        with self._journal.store.read() as db:
            return next(each for each in listing(db) if each.id == identity)


def listing(db: sqlite3.Connection) -> list[Shelved]:
    """All snapshots, newest first."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM snapshots ORDER BY time DESC, rowid DESC")  # noqa: S608 (constant columns)
    found = []
    for i, name, time, schema, now, datasets in rows:
        held = json.loads(datasets)  # by dataset, its absent columns; a list of datasets where none was known to be
        absent = {each: tuple(columns) for each, columns in held.items() if columns} if isinstance(held, dict) else {}
        found.append(Shelved(i, name, time, schema, tuple(held), bool(now), absent))
    return found


def add(db: sqlite3.Connection, snapshot: Shelved) -> None:
    """Put a snapshot on the shelf as the current one. The caller signs the new list in the same transaction."""
    db.execute("UPDATE snapshots SET current = 0")
    db.execute(
        f"INSERT INTO snapshots({_COLUMNS}) VALUES (?, ?, ?, ?, 1, ?)",  # noqa: S608 (constant columns)
        (snapshot.id, snapshot.name, snapshot.time, snapshot.schema, _held(snapshot.datasets, snapshot.absent)),
    )


def put_back(db: sqlite3.Connection, snapshot: Shelved) -> None:
    """Put a snapshot on the shelf that a log says was there; not as the current one."""
    db.execute(
        f"INSERT INTO snapshots({_COLUMNS}) VALUES (?, ?, ?, ?, 0, ?)",  # noqa: S608 (constant columns)
        (snapshot.id, snapshot.name, snapshot.time, snapshot.schema, _held(snapshot.datasets, snapshot.absent)),
    )


def lacks(db: sqlite3.Connection, identity: str, datasets: Sequence[str], absent: Mapping[str, Sequence[str]]) -> None:
    """Write down which columns of its datasets a snapshot does not serve."""
    db.execute("UPDATE snapshots SET datasets = ? WHERE id = ?", (_held(datasets, absent), identity))


def signed(db: sqlite3.Connection) -> tuple[PolicySnapshot, ...]:
    """The newest of the list as they are signed into the log with the policy; older ones are in older statements."""
    newest = listing(db)[:SIGNED]
    return tuple(
        PolicySnapshot(
            id=s.id, name=s.name, time=s.time, datasets=s.datasets, current=s.current,
            absent=dict(s.absent) if s.current and s.absent else None,
        )
        for s in newest
    )  # fmt: skip


def _held(datasets: Sequence[str], absent: Mapping[str, Sequence[str]]) -> str:
    names = sorted(datasets)
    return json.dumps({each: list(absent.get(each, ())) for each in names} if absent else names)
