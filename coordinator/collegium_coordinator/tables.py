"""The tables of the coordinator's database, by the format that brought them. What they hold is described in `store`."""

from __future__ import annotations

__all__ = ["FORMAT", "SINCE_1", "SINCE_2", "SINCE_3"]

FORMAT = 3

SINCE_1 = """
CREATE TABLE registry (
    idx INTEGER PRIMARY KEY, entry BLOB NOT NULL, leaf BLOB NOT NULL, checkpoint BLOB NOT NULL
) STRICT;
CREATE TABLE entries (
    idx INTEGER PRIMARY KEY, kind TEXT NOT NULL, request TEXT NOT NULL, entry BLOB NOT NULL, leaf BLOB NOT NULL UNIQUE
) STRICT;
CREATE INDEX entries_by_request ON entries (request, kind);
CREATE TABLE blobs (sha TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE requests (
    id TEXT PRIMARY KEY, entry INTEGER NOT NULL, researcher TEXT NOT NULL, time INTEGER NOT NULL, expiry INTEGER NOT NULL,
    received REAL NOT NULL, details TEXT NOT NULL, purpose TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX requests_by_researcher ON requests (researcher, received DESC);
CREATE INDEX requests_by_expiry ON requests (expiry);
CREATE TABLE answers (
    request TEXT NOT NULL, number INTEGER NOT NULL, node TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL,
    decision INTEGER, release INTEGER, release_id TEXT, payload TEXT, time REAL NOT NULL, PRIMARY KEY (request, number, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_release ON answers (release_id);
CREATE TABLE withdrawals (release_id TEXT PRIMARY KEY, node TEXT NOT NULL, entry INTEGER NOT NULL) STRICT;
CREATE TABLE charges (
    entry INTEGER PRIMARY KEY, node TEXT NOT NULL, unit TEXT NOT NULL, period TEXT NOT NULL, dataset TEXT NOT NULL,
    researcher TEXT NOT NULL, rho INTEGER NOT NULL
) STRICT;
CREATE TABLE indicators (
    request TEXT NOT NULL, number INTEGER NOT NULL, revision INTEGER NOT NULL, entry INTEGER NOT NULL, inputs TEXT NOT NULL,
    PRIMARY KEY (request, number, revision)
) STRICT, WITHOUT ROWID;
CREATE TABLE joins (invitation TEXT PRIMARY KEY, registration TEXT NOT NULL, csr TEXT NOT NULL) STRICT;
CREATE TABLE certificates (fingerprint TEXT PRIMARY KEY, name TEXT NOT NULL, registration INTEGER NOT NULL) STRICT;
CREATE TABLE seen (
    node TEXT PRIMARY KEY, connected INTEGER NOT NULL, last INTEGER NOT NULL, version TEXT NOT NULL DEFAULT '',
    snapshot TEXT NOT NULL DEFAULT '', datasets TEXT NOT NULL DEFAULT '[]', registry_size INTEGER NOT NULL DEFAULT 0, policy BLOB
) STRICT;
CREATE TABLE dial (node TEXT PRIMARY KEY, address TEXT NOT NULL) STRICT;
"""

SINCE_2 = """
CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, note BLOB NOT NULL) STRICT;
CREATE TABLE cosigned (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, time REAL NOT NULL, note BLOB NOT NULL) STRICT;
CREATE TABLE peers (
    log TEXT NOT NULL, size INTEGER NOT NULL, root TEXT NOT NULL, entry INTEGER NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (log, size, root)
) STRICT, WITHOUT ROWID;
CREATE TABLE receipts (statement TEXT PRIMARY KEY, receipt BLOB NOT NULL) STRICT;
"""
"""What a database of format 1 lacks."""

SINCE_3 = """
CREATE TABLE rounds (
    id INTEGER PRIMARY KEY, request TEXT NOT NULL, number INTEGER NOT NULL, place INTEGER NOT NULL, codes TEXT NOT NULL,
    question TEXT NOT NULL, members TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', began REAL NOT NULL,
    plan TEXT UNIQUE, entry INTEGER, roster TEXT, checkpoint TEXT, deadline INTEGER,
    closing INTEGER, result INTEGER, reuses INTEGER, UNIQUE (request, number, place)
) STRICT;
CREATE INDEX rounds_by_question ON rounds (question, members, state);
CREATE TABLE submissions (
    plan TEXT NOT NULL, member INTEGER NOT NULL, node TEXT NOT NULL, reason TEXT NOT NULL, submit TEXT, entry INTEGER,
    decision INTEGER, snapshot TEXT, vector TEXT, sealed BLOB, told INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (plan, member)
) STRICT, WITHOUT ROWID;
CREATE INDEX submissions_by_node ON submissions (node, told);
CREATE TABLE trusteed (
    plan TEXT NOT NULL, kind TEXT NOT NULL, trustee INTEGER NOT NULL, entry INTEGER NOT NULL, payload TEXT NOT NULL,
    PRIMARY KEY (plan, kind, trustee)
) STRICT, WITHOUT ROWID;
CREATE TABLE vectors (sha TEXT PRIMARY KEY, plan TEXT NOT NULL, size INTEGER NOT NULL, time REAL NOT NULL) STRICT;
CREATE TABLE trustees (
    name TEXT PRIMARY KEY, connected INTEGER NOT NULL, last INTEGER NOT NULL, version TEXT NOT NULL, registry_size INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_by_node ON answers (node, verdict);
"""
"""What a database of format 2 lacks: national sums, and the way to what one node owes without reading what all have answered."""
