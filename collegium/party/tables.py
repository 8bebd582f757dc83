"""The tables that every party's database has. A party's own tables come after them: see its `store` or `tables`.

Statements end in ";" and nothing else holds one: `collegium.party.store.sql` splits there.
"""

from __future__ import annotations

__all__ = ["LOG", "WITNESSED"]

LOG = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- The log: signed notes in their final order and form. `leaf` is the Merkle leaf hash, `head` the signed checkpoint over all.
CREATE TABLE entries(
    idx INTEGER PRIMARY KEY, kind TEXT NOT NULL, request TEXT NOT NULL, note BLOB NOT NULL, leaf BLOB NOT NULL
) STRICT;
CREATE INDEX entries_kind ON entries(kind, idx);
CREATE INDEX entries_request ON entries(request, idx);
CREATE TABLE head(id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root TEXT NOT NULL, note BLOB NOT NULL) STRICT;

CREATE TABLE blobs(sha256 TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT;

-- Registry entries this party has verified, and the checkpoint over them.
CREATE TABLE registry(idx INTEGER PRIMARY KEY, note BLOB NOT NULL) STRICT;
CREATE TABLE registry_head(
    id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root TEXT NOT NULL, note BLOB NOT NULL
) STRICT;
"""

WITNESSED = """
-- The newest checkpoint of this log that a quorum of its witnesses has cosigned, and when.
CREATE TABLE quorum(id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, time INTEGER NOT NULL, note BLOB NOT NULL) STRICT;

-- Checkpoints of other logs that stand in this one: the largest of each, and the entry that holds it.
CREATE TABLE peers(
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root TEXT NOT NULL, idx INTEGER NOT NULL REFERENCES entries(idx)
) STRICT;

-- Proofs by which other parties are bound to what they have sent here, by the id of the statement.
CREATE TABLE receipts(statement TEXT PRIMARY KEY, origin TEXT NOT NULL, proof BLOB NOT NULL) STRICT;

-- Payloads that are published with the log, once the entry that names them is. The details of requests are none: they may have to
-- be erased.
CREATE TABLE named(sha256 TEXT PRIMARY KEY REFERENCES blobs(sha256) ON DELETE CASCADE, idx INTEGER NOT NULL) STRICT;

-- What this party knows as a witness. A log is its key: a log that is opened anew under another key begins at nothing.
CREATE TABLE witnessed(
    log TEXT PRIMARY KEY, origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, checkpoint BLOB NOT NULL,
    time INTEGER NOT NULL
) STRICT;
-- Signed checkpoints that contradict the one in `witnessed`: evidence, kept for whoever asks.
CREATE TABLE splits(log TEXT NOT NULL, checkpoint BLOB NOT NULL, PRIMARY KEY (log, checkpoint)) STRICT;
"""
