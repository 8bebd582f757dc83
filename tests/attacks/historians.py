"""Operators who change the past: a log in its database is written anew, properly signed by its own keys, while nobody serves it.

What comes out passes every check that the party makes of itself: leaves, root and checkpoint agree. Only others can tell.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from dishonest_node import raised

from collegium.keys import load_signer
from collegium.log.checkpoint import sign_checkpoint
from collegium.log.merkle import leaf_hash, root
from collegium.log.note import Signer, encode_base64
from collegium.statements import Blob, Indicator, LogPlace, Peer, Release
from collegium_coordinator.config import Home as Ministry
from collegium_node.home import Home

__all__ = ["another_figure", "forget_request", "set_back"]

OWN = {"peer": Peer, "indicator": Indicator}


def another_figure(node: Path) -> None:
    """The node's newest release becomes another one, at the same place of its log."""
    keys = Home(node).keys
    with closing(sqlite3.connect(node / "node.db")) as db, db:
        index, note = db.execute("SELECT idx, note FROM entries WHERE kind = 'release' ORDER BY idx DESC LIMIT 1").fetchone()
        body = Release.read(note)
        (payload,) = db.execute("SELECT data FROM blobs WHERE sha256 = ?", (body.payload.sha256,)).fetchone()
        other = raised(payload)
        digest = sha256(other).hexdigest()
        changed = body.model_copy(update={"payload": Blob(sha256=digest, size=len(other))}).sign(load_signer(keys.statements))
        db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (digest, other))
        db.execute("UPDATE named SET sha256 = ? WHERE idx = ?", (digest, index))
        db.execute("UPDATE entries SET note = ?, leaf = ? WHERE idx = ?", (changed, leaf_hash(changed), index))
        log = load_signer(keys.log)
        top, size = _root(db), db.execute("SELECT COUNT(*) FROM entries").fetchone()[0]
        db.execute("UPDATE head SET root = ?, note = ?", (encode_base64(top), sign_checkpoint(log.name, size, top, log)))


def forget_request(ministry: Path, request: str) -> None:
    """A request and all that came of it leave the coordinator's log; what it says itself afterwards is signed for its new place."""
    home = Ministry(ministry)
    statements, log = load_signer(home.statements_key), load_signer(home.log_key)
    with closing(sqlite3.connect(home.database)) as db, db:
        rows = db.execute("SELECT kind, request, entry FROM entries WHERE request <> ? ORDER BY idx", (request,)).fetchall()
        db.execute("DELETE FROM entries")
        for index, (kind, about, note) in enumerate(rows):
            entry = _moved(kind, bytes(note), LogPlace(origin=log.name, index=index), statements)
            db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (index, kind, about, entry, leaf_hash(entry)))
        db.execute("UPDATE head SET size = ?, note = ?", (len(rows), sign_checkpoint(log.name, len(rows), _root(db), log)))
        for table, column in (("answers", "request"), ("indicators", "request"), ("requests", "id")):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (request,))


def set_back(node: Path, backup: Path) -> None:
    """The node's database is an old copy of itself."""
    for file in node.glob("node.db*"):
        file.unlink()
    shutil.copy(backup, node / "node.db")


def _moved(kind: str, note: bytes, place: LogPlace, statements: Signer) -> bytes:
    model = OWN.get(kind)
    if model is None:
        return note
    body = model.read(note)
    return note if body.log == place else body.model_copy(update={"log": place}).sign(statements)


def _root(db: sqlite3.Connection) -> bytes:
    leaves: Sequence[bytes] = [bytes(leaf) for (leaf,) in db.execute("SELECT leaf FROM entries ORDER BY idx")]
    return root(leaves)
