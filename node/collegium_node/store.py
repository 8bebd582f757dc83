"""What a node's database holds beside its log: the ledger, what was decided, released and withdrawn, requests that wait, snapshots,
and what was sent into national sums.

Trusted with the budget and with every answer. An attacker who can write it can overspend and is found out by anyone who holds an
older checkpoint; one who can read it sees what was released anyway, and who asked for what purpose, but no row and no true count.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from collegium.log.statement import read_statement
from collegium.party.store import Fault, Store, no_fault, sql
from collegium.party.tables import LOG, WITNESSED

__all__ = ["STEPS", "open_store"]

# Statements end in ";" and nothing else holds one: `sql` splits there.
FORMAT_1 = """
-- The ledger. The primary key is the promise: a question is charged once on a snapshot, for ever.
CREATE TABLE charges(
    digest TEXT NOT NULL, snapshot TEXT NOT NULL, unit TEXT NOT NULL, period TEXT NOT NULL, time INTEGER NOT NULL,
    dataset TEXT NOT NULL, researcher TEXT NOT NULL, rho INTEGER NOT NULL CHECK (rho > 0),
    request TEXT NOT NULL, number INTEGER NOT NULL, decision INTEGER NOT NULL REFERENCES entries(idx),
    release INTEGER REFERENCES entries(idx),
    PRIMARY KEY (digest, snapshot)
) STRICT;
CREATE INDEX charges_unit ON charges(unit, time);

-- An index over decision entries, so that a repeated request finds what was decided on it.
CREATE TABLE decisions(
    idx INTEGER PRIMARY KEY REFERENCES entries(idx), request TEXT NOT NULL, number INTEGER NOT NULL,
    verdict TEXT NOT NULL, reason TEXT NOT NULL, digest TEXT NOT NULL, snapshot TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_request ON decisions(request, number, idx);

CREATE TABLE withdrawals(idx INTEGER PRIMARY KEY REFERENCES entries(idx), release INTEGER NOT NULL REFERENCES entries(idx)) STRICT;

-- Requests that wait for the steward: held, allowed or refused.
CREATE TABLE held(request TEXT PRIMARY KEY, state TEXT NOT NULL, time INTEGER NOT NULL) STRICT;

CREATE TABLE snapshots(
    id TEXT PRIMARY KEY, name TEXT NOT NULL, time INTEGER NOT NULL, schema TEXT NOT NULL, current INTEGER NOT NULL,
    datasets TEXT NOT NULL
) STRICT;
"""

FORMAT_3 = """
-- Rounds of national sums, by the id of the plan. The primary key is the promise: a plan is charged once and answered once, ever.
CREATE TABLE rounds(
    plan TEXT PRIMARY KEY, decision INTEGER NOT NULL UNIQUE REFERENCES entries(idx),
    submit INTEGER UNIQUE REFERENCES entries(idx), statement TEXT UNIQUE
) STRICT;

-- What goes out with a SUBMIT, and the salt of its commitment: until some days after the deadline.
CREATE TABLE submissions(
    plan TEXT PRIMARY KEY REFERENCES rounds(plan), deadline INTEGER NOT NULL, sealed BLOB NOT NULL, vector BLOB NOT NULL,
    salt BLOB NOT NULL
) STRICT;

-- Which plan a decision is about: the charge for it, or its refusal.
CREATE TABLE planned(idx INTEGER PRIMARY KEY REFERENCES entries(idx), plan TEXT NOT NULL) STRICT;

-- Every CLOSE that the coordinator has shown for a plan. Two of one plan convict it, so both are kept.
CREATE TABLE closes(statement TEXT PRIMARY KEY, plan TEXT NOT NULL, note BLOB NOT NULL) STRICT;
"""


def _format_2(db: sqlite3.Connection) -> None:
    """Witnesses; and which entry names which tally, for a database of format 1 that has some."""
    sql(WITNESSED)(db)
    for index, note in db.execute("SELECT idx, note FROM entries WHERE kind = 'release' ORDER BY idx").fetchall():
        sha256 = read_statement(note)[1]["payload"]["sha256"]
        db.execute("INSERT OR IGNORE INTO named VALUES (?, ?)", (sha256, index))


STEPS = (sql(LOG, FORMAT_1), _format_2, sql(FORMAT_3))
"""STEPS[n] takes a database from format n to n + 1."""


def open_store(path: Path, *, fault: Fault = no_fault) -> Store:
    """The database of one node."""
    return Store(path, STEPS, program="collegium-node", fault=fault)
