"""The node's decisions: written once, found again when a request is repeated.

A decision that says again what the newest one on the same question of the same request has said already is not signed a second
time: a request repeated a thousand times leaves one line in the log, not a thousand. Nothing here decides anything.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Literal

from collegium.party.journal import Journal, Writer
from collegium.party.receipts import keep_logged
from collegium.statements import Decision, Original, Release
from collegium_node import ledger
from collegium_node.asked import Asked
from collegium_node.gate import SignedDecision, SignedRelease
from collegium_node.ledger import Row

if TYPE_CHECKING:
    from collegium_node.planned import Planned

__all__ = ["at", "bound_row", "is_bound", "keep_request", "record", "release_of"]

Word = Literal["charge", "reuse", "refuse", "hold", "allow"]


def keep_request(log: Writer, asked: Asked) -> None:
    """Log a verified request and its details, once, before the first decision on it. The first spelling of its signatures stays.

    Before it, and before every later decision, stands the newest checkpoint that the coordinator has shown with it: what came first
    is then known without anybody's clock.
    """
    keep_logged(log, asked.id, asked.logged)
    if not log.db.execute("SELECT 1 FROM entries WHERE kind = 'request' AND request = ?", (asked.id,)).fetchone():
        log.blob(asked.details, published=False)  # who asked what for may have to be erased
        log.keep("request", asked.note, request=asked.id)


def record(
    log: Writer,
    asked: Asked,
    number: int,
    verdict: Word,
    *,
    question: str,
    reason: str = "",
    snapshot: str = "",
    unit: str | None = None,
    period: str | None = None,
    dataset: str | None = None,
    rho: int | None = None,
    original: Original | None = None,
    planned: Planned | None = None,
) -> SignedDecision:
    """Sign and log a decision, or find the newest one when it says the same. A hold also enters the steward's list.

    Args:
        planned: the plan of a national sum that it charges for or refuses. One on another plan never says the same.
    """
    plan = planned.id if planned is not None else None
    # Of refused plans: the newest one on this very plan. Else two of them, sent in turns, would fill the log.
    of = plan if plan is not None and verdict == "refuse" else ""
    last = log.db.execute(
        "SELECT d.idx, d.verdict, d.reason, d.snapshot, p.plan FROM decisions d LEFT JOIN planned p ON p.idx = d.idx"
        " WHERE d.request = ? AND d.number = ? AND (? = '' OR p.plan = ?) ORDER BY d.idx DESC LIMIT 1",
        (asked.id, number, of, of),
    ).fetchone()
    if last is not None and last[1:] == (verdict, reason, snapshot, plan):
        return at(log.db, last[0])
    keep_request(log, asked)
    if planned is not None:
        keep_logged(log, planned.id, planned.logged)
    decision = Decision(
        log=log.place, registry=log.registry, time=log.now, request=asked.id, number=number, verdict=verdict, question=question,
        reason=reason or None, snapshot=snapshot or None, unit=unit, period=period, dataset=dataset, rho=rho, original=original,
        plan=plan,
    )  # fmt: skip
    entry = log.sign(decision, request=asked.id)
    values = (entry.index, asked.id, number, verdict, reason, question, snapshot)
    log.db.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    if plan is not None:
        log.db.execute("INSERT INTO planned VALUES (?, ?)", (entry.index, plan))
    if verdict == "hold":
        log.db.execute("INSERT OR IGNORE INTO held VALUES (?, 'held', ?)", (asked.id, log.now))
    return SignedDecision(entry.index, entry.note, verdict, reason)


def at(db: sqlite3.Connection, index: int) -> SignedDecision:
    """The decision at an index of the log."""
    row = db.execute(
        "SELECT d.idx, e.note, d.verdict, d.reason FROM decisions d JOIN entries e ON e.idx = d.idx WHERE d.idx = ?", (index,)
    ).fetchone()
    return SignedDecision(*row)


def bound_row(journal: Journal, asked: Asked, number: int) -> Row | None:
    """The charge to which an earlier run bound this question of this request."""
    with journal.store.read() as db:
        return ledger.bound_row(db, asked.id, number, asked.questions[number].digest)


def is_bound(journal: Journal, asked: Asked) -> bool:
    """Whether any question of this request was charged or reused here: then repeating it costs nothing new."""
    with journal.store.read() as db:
        found = db.execute("SELECT 1 FROM decisions WHERE request = ? AND verdict IN ('charge', 'reuse')", (asked.id,)).fetchone()
    return found is not None


def is_charged(db: sqlite3.Connection, request: str, number: int) -> bool:
    """Whether this very question of this request was charged here."""
    found = db.execute(
        "SELECT 1 FROM decisions WHERE request = ? AND number = ? AND verdict = 'charge'", (request, number)
    ).fetchone()
    return found is not None


def release_of(journal: Journal, row: Row) -> SignedRelease | None:
    """The stored release of a charge with its payload and withdrawals, as it may leave; None while there is none."""
    with journal.store.read() as db:
        now = ledger.find(db, row.digest, row.snapshot)
        if now is None or now.release is None:
            return None
        (note,) = db.execute("SELECT note FROM entries WHERE idx = ?", (now.release,)).fetchone()
        (payload,) = db.execute("SELECT data FROM blobs WHERE sha256 = ?", (Release.read(note).payload.sha256,)).fetchone()
        withdrawn = db.execute(
            "SELECT e.note FROM withdrawals w JOIN entries e ON e.idx = w.idx WHERE w.release = ? ORDER BY w.idx", (now.release,)
        ).fetchall()
    return SignedRelease(now.release, note, payload, tuple(each for (each,) in withdrawn))
