"""`recover`: bring a restored database up to what this node has signed, from a copy of its own log.

The copy is the coordinator's (`mirrored`), or an exported folder such as an auditor's. A backup has forgotten what came after it:
charges, and answers that may be asked for again. The copy has them, signed by this node and in their order, so the ledger and
everything else that the database keeps is made again from the entries themselves. Nothing is believed for where it came from: the
copy must end in a checkpoint that this log's own key has signed, hold exactly the entries of that checkpoint, begin with the
entries of the database, and reach the checkpoint that stopped the node. If there is no such copy, only a new log is honest
(`collegium_node.newlog`).

Not in a copy, and not needed to go on: the details of requests (who asked what for), which come again with the request.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.log.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from collegium.log.folder import LogFolder
from collegium.log.merkle import Frontier, leaf_hash
from collegium.log.note import encode_base64
from collegium.log.statement import read_statement, statement_id
from collegium.statements import Decision, Peer, Policy, Release, Request, Withdrawal
from collegium_node import ledger
from collegium_node.home import Node
from collegium_node.ledger import Row

__all__ = ["Copy", "replay"]

NEW_LOG = "Find a newer copy, or open a new log with `collegium-node recover --new-log TOKEN`."


class Copy(Protocol):
    """Somebody's copy of this log. Nothing it gives is believed."""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        ...

    def checkpoint(self) -> bytes: ...
    def entries(self, first: int) -> Iterator[bytes]:
        """Those from index `first` on, up to the checkpoint."""
        ...

    def blob(self, sha256: str) -> bytes:
        """Raises CollegiumError when it is not there."""
        ...

    def receipts(self) -> Iterable[tuple[str, str, bytes]]:
        """(statement id, origin, receipt) of proofs that others gave this node."""
        ...


class _Folder:
    """An exported folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._log = LogFolder(folder / name if (folder / name).is_dir() else folder)
        self.place = str(folder)
        self.checkpoint, self.blob, self.entries = self._log.checkpoint, self._log.blob, self._log.entries

    def receipts(self) -> Iterator[tuple[str, str, bytes]]:
        for statement in self._log.receipts():
            receipt = self._log.receipt(statement)
            yield statement, read_checkpoint(receipt.checkpoint).origin, receipt.to_bytes()


def replay(node: Node, source: Path | Copy) -> int:
    """Take over the entries of a copy that the database lacks. How many they were.

    1. The copy is one of this very log, signed by its key, and reaches what the node is known to have signed.
    2. The entries of the database, followed by those that it lacks, are exactly the copy's tree; and what stopped the node is a
       part of it.
    3. ONE durable transaction: entries, what the database keeps of each, the copy's checkpoint; and the stop ends.

    Raises NotVerified or Invalid; the database is then as it was.
    """
    copy: Copy = _Folder(source, node.membership.name) if isinstance(source, Path) else source
    # (1)
    note = copy.checkpoint()
    head = open_checkpoint(note, node.journal.verifier)
    stopped = node.permit.stopped
    shown = read_checkpoint(stopped) if stopped is not None else None
    if shown is not None and head.size < shown.size:
        text = f"the copy has {head.size} entries, and this node has signed {shown.size}"
        raise Invalid(text, place=copy.place, remedy=NEW_LOG)
    with node.store.write("recover") as db:
        # (2)
        frontier, reached = Frontier(), shown is None
        for leaf in _leaves(db):
            frontier.append(leaf)
            reached = reached or _is(frontier, shown)
        ours = frontier.size
        if ours > head.size:
            text = f"the copy has {head.size} entries, and this database {ours}: there is nothing to take over"
            raise Invalid(text, place=copy.place, remedy="Start `collegium-node serve`.")
        begun = frontier.copy()
        for entry in copy.entries(ours):
            frontier.append(leaf_hash(entry))
            reached = reached or _is(frontier, shown)
        if not _is(frontier, head):
            text = "the copy does not begin with the entries of this database, or its entries are not those of its checkpoint"
            raise NotVerified(text, place=copy.place, remedy=NEW_LOG)
        if not reached:
            raise NotVerified("this log has signed two histories: the copy's and the witness's", place="copy", remedy=NEW_LOG)
        # (3)
        for index, entry in enumerate(copy.entries(ours), ours):
            leaf = leaf_hash(entry)
            begun.append(leaf)
            _take(db, index, entry, leaf, copy, node)
        if not _is(begun, head):
            raise NotVerified("the copy has changed while it was read", place=copy.place, remedy="Try again.")
        root = encode_base64(frontier.root())
        db.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?, ?)", (frontier.size, root, note))
        for row in copy.receipts():
            db.execute("INSERT OR IGNORE INTO receipts VALUES (?, ?, ?)", row)
        node.permit.release(db)
        # Crash here: the database is as it was before, and still stopped; the same command does it again.
    node.journal.verify()
    return head.size - ours


def _is(frontier: Frontier, tree: Checkpoint | None) -> bool:
    return tree is not None and frontier.size == tree.size and frontier.root() == tree.root


def _leaves(db: sqlite3.Connection) -> Iterator[bytes]:
    for (leaf,) in db.execute("SELECT leaf FROM entries ORDER BY idx"):
        yield leaf


def _take(db: sqlite3.Connection, index: int, entry: bytes, leaf: bytes, copy: Copy, node: Node) -> None:
    """Keep one entry of the copy as the transaction that first wrote it did."""
    kind, body = read_statement(entry)
    keep = _KEEP.get(kind)
    if keep is None:
        raise Invalid(f"this version does not know entries of the kind {kind}", place=f"entry {index}", remedy="Update it.")
    request = statement_id(entry) if kind == "request" else str(body.get("request", ""))
    db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (index, kind, request, entry, leaf))
    keep(db, index, entry, copy, node)


def _decision(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, node: Node) -> None:
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


def _peer(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, node: Node) -> None:
    body = Peer.read(entry)
    db.execute("INSERT OR REPLACE INTO peers VALUES (?, ?, ?, ?)", (body.origin, body.size, body.root, index))


def _policy(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, node: Node) -> None:
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


def _nothing(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, node: Node) -> None:
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
