"""`recover`: bring a restored database up to what this node has signed, from a copy of its own log.

A backup has forgotten what came after it: charges, and answers that may be asked for again. The copy has them, so the ledger and
everything else that the database keeps is made again from the entries themselves. What a copy must be stands in
`collegium.party.replay`. If there is none, only a new log is honest (`collegium_node.newlog`).

Not in a copy, and not needed to go on: the details of requests (who asked what for), which come again with the request; and masked
vectors: a plan that this log says was submitted is over for this node.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.national.statements import Submit
from collegium.party import replay as party
from collegium.party.journal import Entry
from collegium.party.replay import Copy, Keep, keep_peer
from collegium.statements import Decision, Policy, Release, Request, Withdrawal
from collegium_node import ledger, shelf, submissions
from collegium_node.home import Node
from collegium_node.ledger import Row
from collegium_node.shelf import Shelved

__all__ = ["replay"]

NEW_LOG = "Find a newer copy, or open a new log with `collegium-node recover --new-log TOKEN`."


def replay(node: Node, source: Path | Copy) -> int:
    """Take over the entries of a copy that the database lacks. How many they were.

    Raises NotVerified or Invalid; the database is then as it was.
    """
    return party.replay(node, source, _KEEP, _about, new_log=NEW_LOG)


def _about(kind: str, statement: str, body: Mapping[str, Any]) -> str:
    """A request and a submission are found by their own ids, everything else by the request's."""
    return statement if kind in ("request", Submit.kind) else str(body.get("request", ""))


def _decision(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, node: Node) -> None:
    said = Decision.read(entry)
    values = (index, said.request, said.number, said.verdict, said.reason or "", said.question or "", said.snapshot or "")
    db.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    if said.plan is not None:
        db.execute("INSERT INTO planned VALUES (?, ?)", (index, said.plan))
    if said.verdict == "hold":
        db.execute("INSERT OR IGNORE INTO held VALUES (?, 'held', ?)", (said.request, said.time))
    elif said.verdict in ("allow", "refuse") and (said.verdict == "allow" or said.reason == "refused-by-steward"):
        state = "allowed" if said.verdict == "allow" else "refused"
        db.execute("UPDATE held SET state = ? WHERE request = ?", (state, said.request))
    elif said.verdict == "charge":
        (note,) = db.execute("SELECT note FROM entries WHERE kind = 'request' AND request = ?", (said.request,)).fetchone()
        row = Row(
            digest=said.plan or said.question or "", snapshot=said.snapshot or "", unit=said.unit or "", period=said.period or "",
            time=said.time, dataset=said.dataset or "", rho=said.rho or 0, researcher=Request.read(note).researcher,
            request=said.request, number=said.number, decision=index,
        )  # fmt: skip
        ledger.insert(db, row)
        if said.plan is not None:
            submissions.begin(db, said.plan, index)


def _submit(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, node: Node) -> None:
    """The plan is answered for ever. Vector and seeds are in no copy of the log: the plan is over, and nothing is hidden anew."""
    body = Submit.read(entry)
    found = submissions.find(db, body.plan)
    if found is None or found.decision != body.decision:
        raise NotVerified("a submission without its charge", place=f"entry {index}")
    submissions.finish(db, body.plan, Entry(index, entry))


def _release(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, node: Node) -> None:
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


def _withdrawal(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, node: Node) -> None:
    db.execute("INSERT INTO withdrawals VALUES (?, ?)", (index, Withdrawal.read(entry).release.index))


def _policy(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, node: Node) -> None:
    """The policy itself is the entry; the snapshots that it lists are put back on the shelf."""
    from collegium_node.snapshot import read_snapshot

    for line in Policy.read(entry).snapshots:
        if not db.execute("SELECT 1 FROM snapshots WHERE id = ?", (line.id,)).fetchone():
            try:
                schema = read_snapshot(node.home.root, line.id).schema
            except CollegiumError:
                schema = ""  # its rows are gone: questions bound to it are refused, and nothing else
            shelf.put_back(db, Shelved(line.id, line.name, line.time, schema, line.datasets, False, {}))
        db.execute("UPDATE snapshots SET current = ? WHERE id = ?", (int(line.current), line.id))
        if line.current and line.absent:  # said when it was made current; a national sum would not show it
            shelf.lacks(db, line.id, line.datasets, line.absent)


def _nothing(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, node: Node) -> None:
    """A request's details come again with the request."""


_KEEP: dict[str, Keep] = {
    "decision": _decision,
    "release": _release,
    Submit.kind: _submit,
    "withdrawal": _withdrawal,
    "peer": keep_peer,
    "policy": _policy,
    "request": _nothing,
}
