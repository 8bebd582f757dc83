"""`recover`: bring a restored database up to what this trustee has signed, from a copy of its own log.

A backup has forgotten which plans were prepared and which close was answered. The copy has it, signed by this trustee and in its
order. What a copy must be stands in `collegium.party.replay`. Seeds and sealing keys are in no copy: every round that the copy
tells of is over here, whatever it still lacked, so that nothing is signed in it a second time. The next round finds a new key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collegium.log.statement import statement_id
from collegium.national.statements import Check, Close, Plan, Prepare, TrusteeKey, Unmask
from collegium.party import replay as party
from collegium.party.replay import Copy, Keep, keep_peer
from collegium.statements import Peer
from collegium_trustee.home import Trustee
from collegium_trustee.tables import cut_off, keep_begun, overwrite_deleted

__all__ = ["replay"]

NEW_LOG = "Find a newer copy. If there is none, let the ministry revoke this trustee and invite another."


def replay(trustee: Trustee, source: Path | Copy) -> int:
    """Take over the entries of a copy that the database lacks. How many they were.

    Raises NotVerified or Invalid; the database is then as it was.
    """
    overwrite_deleted(trustee.store)
    taken = party.replay(trustee, source, _KEEP, _about, new_log=NEW_LOG)
    cut_off(trustee.store)
    return taken


def _about(kind: str, statement: str, body: Mapping[str, Any]) -> str:
    """Everything of a round is found by its plan's id."""
    return statement if kind == Plan.kind else str(body.get("plan", ""))


def _key(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, trustee: Trustee) -> None:
    """Its private half is lost: it belongs to no month, so that a new one is made for this."""
    body = TrusteeKey.read(entry)
    db.execute("INSERT INTO sealing VALUES (?, '', ?, ?)", (index, body.sealing, body.until))


def _plan(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, trustee: Trustee) -> None:
    body = Plan.read(entry)
    place = [each.trustee for each in body.trustees].index(trustee.membership.name)
    (sealing,) = db.execute("SELECT idx FROM sealing WHERE public = ?", (body.trustees[place].sealing,)).fetchone()
    db.execute(
        "INSERT OR IGNORE INTO rounds(plan, deadline, place, sealing, note, roster, over) VALUES (?, ?, ?, ?, ?, x'', 1)",
        (statement_id(entry), body.deadline, place, sealing, entry),
    )
    keep_begun(db, statement_id(entry), body)


def _prepare(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, trustee: Trustee) -> None:
    plan = Prepare.read(entry).plan
    _end(db, plan)
    db.execute("UPDATE rounds SET prepare = ? WHERE plan = ?", (index, plan))


def _unmask(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, trustee: Trustee) -> None:
    body = Unmask.read(entry)
    _end(db, body.plan)
    values = (body.close, index, body.time, body.plan)
    db.execute("UPDATE rounds SET close = ?, unmask = ?, unmasked = ? WHERE plan = ?", values)


def _check(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, trustee: Trustee) -> None:
    plan = Check.read(entry).plan
    _end(db, plan)
    db.execute("UPDATE rounds SET checked = ? WHERE plan = ?", (index, plan))


def _end(db: sqlite3.Connection, plan: str) -> None:
    """Nothing more is done in this round, and no seed of it is needed."""
    db.execute("UPDATE rounds SET over = 1 WHERE plan = ?", (plan,))
    db.execute("DELETE FROM seeds WHERE plan = ?", (plan,))
    db.execute("DELETE FROM submissions WHERE plan = ?", (plan,))


def _nothing(db: sqlite3.Connection, index: int, entry: bytes, copy: Copy, trustee: Trustee) -> None:
    """A close is kept as it is; the mark is made by the UNMASK that follows it in the same transaction."""


_KEEP: dict[str, Keep] = {
    TrusteeKey.kind: _key,
    Plan.kind: _plan,
    Prepare.kind: _prepare,
    Close.kind: _nothing,
    Unmask.kind: _unmask,
    Check.kind: _check,
    Peer.kind: keep_peer,
}
