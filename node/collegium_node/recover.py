"""`recover FOLDER`: bring a restored database up to what this node has signed, from an exported copy of its own log.

A backup has forgotten what came after it: charges, and answers that may be asked for again. The copy has them, signed by this node
and in their order, so the ledger and everything else that the database keeps is made again from the entries themselves. Nothing is
believed for where it came from: the copy must end in a checkpoint that this log's own key has signed, hold exactly the entries of
that checkpoint, begin with the entries of the database, and reach the checkpoint that stopped the node. If there is no such copy,
only a new log is honest (`collegium_node.newlog`).

Not in an exported copy, and not needed to go on: the details of requests (who asked what for), which come again with the request.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.log.checkpoint import open_checkpoint, read_checkpoint
from collegium.log.folder import LogFolder
from collegium.log.merkle import Frontier, leaf_hash
from collegium.log.note import encode_base64
from collegium.log.statement import read_statement, statement_id
from collegium.statements import Decision, Peer, Policy, Release, Request, Withdrawal
from collegium_node import ledger
from collegium_node.home import Node
from collegium_node.ledger import Row

__all__ = ["replay"]

NEW_LOG = "Find a newer copy, or open a new log with `collegium-node recover --new-log TOKEN`."


def replay(node: Node, folder: Path) -> int:
    """Take over the entries of a copy that the database lacks. How many they were.

    1. The copy is one of this very log, signed by its key, and reaches what the node is known to have signed.
    2. It begins with the entries of the database, and its entries are those of its checkpoint.
    3. ONE durable transaction: entries, what the database keeps of each, the copy's checkpoint; and the stop ends.

    Raises NotVerified or Invalid; the database is then as it was.
    """
    copy = LogFolder(folder / node.membership.name if (folder / node.membership.name).is_dir() else folder)
    # (1)
    note = copy.checkpoint()
    head = open_checkpoint(note, node.journal.verifier)
    stopped = node.permit.stopped
    shown = read_checkpoint(stopped).size if stopped is not None else 0
    if head.size < shown:
        text = f"the copy has {head.size} entries, and this node has signed {shown}"
        raise Invalid(text, place=str(folder), remedy=NEW_LOG)
    with node.store.write("recover") as db:
        # (2)
        frontier = Frontier()
        for leaf in _leaves(db):
            frontier.append(leaf)
        ours = frontier.size
        if ours > head.size or _root(copy, ours) != frontier.root():
            raise NotVerified("the copy does not begin with the entries of this database", place=str(folder), remedy=NEW_LOG)
        # (3)
        for index, entry in enumerate(copy.entries(ours, head.size), ours):
            leaf = leaf_hash(entry)
            frontier.append(leaf)
            _take(db, index, entry, leaf, copy, node)
        if (frontier.size, frontier.root()) != (head.size, head.root):
            raise NotVerified("the copy's entries are not those of its checkpoint", place=str(folder))
        if stopped is not None:
            _check_reaches(copy, stopped, head.size)
        root = encode_base64(frontier.root())
        db.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?, ?)", (frontier.size, root, note))
        for statement in copy.receipts():
            receipt = copy.receipt(statement)
            origin = read_checkpoint(receipt.checkpoint).origin
            db.execute("INSERT OR IGNORE INTO receipts VALUES (?, ?, ?)", (statement, origin, receipt.to_bytes()))
        node.permit.release(db)
        # Crash here: the database is as it was before, and still stopped; the same command does it again.
    node.journal.verify()
    return head.size - ours


def _root(copy: LogFolder, size: int) -> bytes:
    """The root over the copy's first entries, from the entries themselves."""
    frontier = Frontier()
    if size:
        for entry in _first(copy, size):
            frontier.append(leaf_hash(entry))
    return frontier.root()


def _first(copy: LogFolder, size: int) -> Iterator[bytes]:
    for index, entry in enumerate(copy.entries()):
        if index == size:
            return
        yield entry


def _check_reaches(copy: LogFolder, stopped: bytes, size: int) -> None:
    """What a witness has shown is a part of the copy; else this log has been split, and no copy makes that good."""
    shown = read_checkpoint(stopped)
    if _root(copy, shown.size) != shown.root:
        raise NotVerified("this log has signed two histories: the copy's and the witness's", place="copy", remedy=NEW_LOG)


def _leaves(db: sqlite3.Connection) -> Iterator[bytes]:
    for (leaf,) in db.execute("SELECT leaf FROM entries ORDER BY idx"):
        yield leaf


def _take(db: sqlite3.Connection, index: int, entry: bytes, leaf: bytes, copy: LogFolder, node: Node) -> None:
    """Keep one entry of the copy as the transaction that first wrote it did."""
    kind, body = read_statement(entry)
    keep = _KEEP.get(kind)
    if keep is None:
        raise Invalid(f"this version does not know entries of the kind {kind}", place=f"entry {index}", remedy="Update it.")
    request = statement_id(entry) if kind == "request" else str(body.get("request", ""))
    db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (index, kind, request, entry, leaf))
    keep(db, index, entry, copy, node)


def _decision(db: sqlite3.Connection, index: int, entry: bytes, copy: LogFolder, node: Node) -> None:
    said = Decision.read(entry)
    values = (index, said.request, said.number, said.verdict, said.reason or "", said.question or "", said.snapshot or "")
    db.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    if said.verdict == "hold":
        db.execute("INSERT OR IGNORE INTO held VALUES (?, 'held', ?)", (said.request, said.time))
    elif said.verdict in ("allow", "refuse") and (said.verdict == "allow" or said.reason == "refused-by-steward"):
        state = "allowed" if said.verdict == "allow" else "refused"
        db.execute("UPDATE held SET state = ? WHERE request = ?", (state, said.request))
    elif said.verdict == "charge":
        (note,) = db.execute("SELECT note FROM entries WHERE kind = 'request' AND request = ?", (said.request,)).fetchone()
        row = Row(
            digest=said.question or "", snapshot=said.snapshot or "", unit=said.unit or "", period=said.period or "",
            time=said.time, dataset=said.dataset or "", rho=said.rho or 0, researcher=Request.read(note).researcher,
            request=said.request, number=said.number, decision=index,
        )  # fmt: skip
        ledger.insert(db, row)


def _release(db: sqlite3.Connection, index: int, entry: bytes, copy: LogFolder, node: Node) -> None:
    body = Release.read(entry)
    try:
        payload = copy.blob(body.payload.sha256)
    except CollegiumError:
        text = "the copy lacks the payload of a release"
        raise Invalid(text, place=f"entry {index}", remedy="Copy the folder again, whole.") from None
    row = ledger.find(db, body.question, body.snapshot)
    if row is None or row.decision != body.decision:
        raise NotVerified("a release without its charge", place=f"entry {index}")
    ledger.release(db, row, index)
    db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (body.payload.sha256, payload))
    db.execute("INSERT OR IGNORE INTO named VALUES (?, ?)", (body.payload.sha256, index))


def _withdrawal(db: sqlite3.Connection, index: int, entry: bytes, copy: LogFolder, node: Node) -> None:
    db.execute("INSERT INTO withdrawals VALUES (?, ?)", (index, Withdrawal.read(entry).release.index))


def _peer(db: sqlite3.Connection, index: int, entry: bytes, copy: LogFolder, node: Node) -> None:
    body = Peer.read(entry)
    db.execute("INSERT OR REPLACE INTO peers VALUES (?, ?, ?, ?)", (body.origin, body.size, body.root, index))


def _policy(db: sqlite3.Connection, index: int, entry: bytes, copy: LogFolder, node: Node) -> None:
    """The policy itself is the entry; the snapshots that it lists are put back on the shelf."""
    from collegium_node.snapshot import read_snapshot

    for line in Policy.read(entry).snapshots:
        if not db.execute("SELECT 1 FROM snapshots WHERE id = ?", (line.id,)).fetchone():
            try:
                schema = read_snapshot(node.home.root, line.id).schema
            except CollegiumError:
                schema = ""  # its rows are gone: questions bound to it are refused, and nothing else
            values = (line.id, line.name, line.time, schema, 0, _json(line.datasets))
            db.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?)", values)
        db.execute("UPDATE snapshots SET current = ? WHERE id = ?", (int(line.current), line.id))


def _nothing(db: sqlite3.Connection, index: int, entry: bytes, copy: LogFolder, node: Node) -> None:
    """A request's details come again with the request."""


def _json(names: tuple[str, ...]) -> str:
    return json.dumps(sorted(names))


_KEEP: dict[str, Callable[..., Any]] = {
    "decision": _decision,
    "release": _release,
    "withdrawal": _withdrawal,
    "peer": _peer,
    "policy": _policy,
    "request": _nothing,
}
