"""Bring a restored database up to what this party has signed, from a copy of its own log.

The copy is the coordinator's (`mirrored`), or an exported folder such as an auditor's. A backup has forgotten what came after it.
The copy has it, signed by this party and in its order, so what the database keeps beside the log is made again from the entries
themselves. Nothing is believed for where it came from: the copy must end in a checkpoint that this log's own key has signed, hold
exactly the entries of that checkpoint, begin with the entries of the database, and reach the checkpoint that stopped the party. If
there is no such copy, only a new log is honest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from collegium.errors import Invalid, NotVerified
from collegium.log.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from collegium.log.folder import LogFolder
from collegium.log.merkle import Frontier, leaf_hash
from collegium.log.note import encode_base64
from collegium.log.statement import read_statement, statement_id
from collegium.party.home import Opened
from collegium.statements import Peer

__all__ = ["About", "Copy", "Keep", "keep_peer", "replay"]


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
        """(statement id, origin, receipt) of proofs that others gave this party."""
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


Keep = Callable[[sqlite3.Connection, int, bytes, Copy, Any], None]
"""(database, index, entry, copy, opened party): write what the transaction that first added this entry wrote beside it."""

About = Callable[[str, str, Mapping[str, Any]], str]
"""(kind, statement id, body) to the id by which the journal finds the entry: column `request` of the table of entries."""


def replay(party: Opened[Any], source: Path | Copy, keep: Mapping[str, Keep], about: About, *, new_log: str) -> int:
    """Take over the entries of a copy that the database lacks. How many they were.

    Args:
        keep: by kind of entry. A copy with an entry of another kind is refused.
        about: under which id an entry is found.
        new_log: what an operator can do when there is no better copy, for messages.

    1. The copy is one of this very log, signed by its key, and reaches what the party is known to have signed.
    2. The entries of the database, followed by those that it lacks, are exactly the copy's tree; and what stopped the party is a
       part of it.
    3. ONE durable transaction: entries, what the database keeps of each, the copy's checkpoint; and the stop ends.

    Raises NotVerified or Invalid; the database is then as it was.
    """
    copy: Copy = _Folder(source, party.membership.name) if isinstance(source, Path) else source
    # (1)
    note = copy.checkpoint()
    head = open_checkpoint(note, party.journal.verifier)
    stopped = party.permit.stopped
    shown = read_checkpoint(stopped) if stopped is not None else None
    if shown is not None and head.size < shown.size:
        text = f"the copy has {head.size} entries, and this {party.home.role} has signed {shown.size}"
        raise Invalid(text, place=copy.place, remedy=new_log)
    with party.store.write("recover") as db:
        # (2)
        frontier, reached = Frontier(), shown is None
        for leaf in _leaves(db):
            frontier.append(leaf)
            reached = reached or _is(frontier, shown)
        ours = frontier.size
        if ours > head.size:
            text = f"the copy has {head.size} entries, and this database {ours}: there is nothing to take over"
            raise Invalid(text, place=copy.place, remedy=f"Start `{party.home.program} serve`.")
        begun = frontier.copy()
        for entry in copy.entries(ours):
            frontier.append(leaf_hash(entry))
            reached = reached or _is(frontier, shown)
        if not _is(frontier, head):
            text = "the copy does not begin with the entries of this database, or its entries are not those of its checkpoint"
            raise NotVerified(text, place=copy.place, remedy=new_log)
        if not reached:
            raise NotVerified("this log has signed two histories: the copy's and the witness's", place="copy", remedy=new_log)
        # (3)
        for index, entry in enumerate(copy.entries(ours), ours):
            leaf = leaf_hash(entry)
            begun.append(leaf)
            kind, body = read_statement(entry)
            if kind not in keep:
                text = f"this version does not know entries of the kind {kind}"
                raise Invalid(text, place=f"entry {index}", remedy="Update it.")
            found_by = about(kind, statement_id(entry), body)
            db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (index, kind, found_by, entry, leaf))
            keep[kind](db, index, entry, copy, party)
        if not _is(begun, head):
            raise NotVerified("the copy has changed while it was read", place=copy.place, remedy="Try again.")
        root = encode_base64(frontier.root())
        db.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?, ?)", (frontier.size, root, note))
        for row in copy.receipts():
            db.execute("INSERT OR IGNORE INTO receipts VALUES (?, ?, ?)", row)
        party.permit.release(db)
        # Crash here: the database is as it was before, and still stopped; the same command does it again.
    party.journal.verify()
    return head.size - ours


def _is(frontier: Frontier, tree: Checkpoint | None) -> bool:
    return tree is not None and frontier.size == tree.size and frontier.root() == tree.root


def _leaves(db: sqlite3.Connection) -> Iterator[bytes]:
    for (leaf,) in db.execute("SELECT leaf FROM entries ORDER BY idx"):
        yield leaf


def keep_peer(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, party: Opened[Any]) -> None:
    """A checkpoint of another log that stands in this one."""
    body = Peer.read(entry)
    db.execute("INSERT OR REPLACE INTO peers VALUES (?, ?, ?, ?)", (body.origin, body.size, body.root, index))
