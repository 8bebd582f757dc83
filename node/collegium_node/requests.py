"""Requests that wait for the steward. `allow ID` and `refuse ID` are decisions in the log like any other, signed by the node's key.

A held request is not answered later by itself: the coordinator asks again, and then finds what the steward has said.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from collegium.errors import Invalid
from collegium.party.journal import Journal
from collegium.question import Question
from collegium.statements import Decision, Request
from collegium_node.asked import purpose_of
from collegium_node.policy import Verdict

__all__ = ["HeldRequest", "apply_steward", "decide", "listing"]


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """One line of `collegium-node requests`. `rho` is the cost of all its questions, nano-rho; `state` held, allowed or refused."""

    id: str
    state: str
    time: int
    researcher: str
    purpose: str
    expiry: int
    questions: tuple[Question, ...]

    @property
    def rho(self) -> int:
        return sum(question.rho for question in self.questions)


def apply_steward(journal: Journal, request: str, verdict: Verdict) -> Verdict:
    """What the policy's verdict becomes when the steward has decided on this very request. Only a hold can be decided by hand."""
    if verdict.word != "hold":
        return verdict
    with journal.store.read() as db:
        found = db.execute("SELECT state FROM held WHERE request = ?", (request,)).fetchone()
    if found is not None and found[0] == "allowed":
        return Verdict("allow")
    if found is not None and found[0] == "refused":
        return Verdict("refuse", "refused-by-steward")
    return verdict


def listing(journal: Journal, *, every: bool = False) -> list[HeldRequest]:
    """Requests that wait, oldest first; with `every` also those decided."""
    with journal.store.read() as db:
        rows = db.execute("SELECT request, state, time FROM held ORDER BY time, request").fetchall()
        return [_line(db, *row) for row in rows if every or row[1] == "held"]


def decide(journal: Journal, prefix: str, *, allow: bool) -> HeldRequest:
    """Allow or refuse the held request whose id begins with `prefix`. Saying the same twice changes nothing.

    Raises Invalid when no held request, or more than one, begins so, or when the opposite was said before.
    """
    state = "allowed" if allow else "refused"
    verdict: Literal["allow", "refuse"] = "allow" if allow else "refuse"
    reason = None if allow else "refused-by-steward"
    with journal.write("steward") as log:
        line = _find(log.db, prefix)
        if line.state == state:
            return line
        if line.state != "held":
            raise Invalid(f"the request was {line.state} before", place=line.id, remedy="The researcher can ask again.")
        for number, question in enumerate(line.questions):
            decision = Decision(
                log=log.place, registry=log.registry, time=log.now, request=line.id, number=number, question=question.digest,
                verdict=verdict, reason=reason,
            )  # fmt: skip
            entry = log.sign(decision, request=line.id)
            values = (entry.index, line.id, number, verdict, reason or "", question.digest, "")
            log.db.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        log.db.execute("UPDATE held SET state = ? WHERE request = ?", (state, line.id))
        # Crash here: the request is still held, and the log does not say otherwise.
    return _with_state(line, state)


def _find(db: sqlite3.Connection, prefix: str) -> HeldRequest:
    rows = db.execute("SELECT request, state, time FROM held WHERE substr(request, 1, ?) = ?", (len(prefix), prefix)).fetchall()
    if not prefix or len(rows) != 1:
        text = "no held request begins so" if not rows or not prefix else f"{len(rows)} held requests begin so"
        raise Invalid(text, place=prefix, remedy="`collegium-node requests` lists them.")
    return _line(db, *rows[0])


def _line(db: sqlite3.Connection, request: str, state: str, time: int) -> HeldRequest:
    (note,) = db.execute("SELECT note FROM entries WHERE kind = 'request' AND request = ?", (request,)).fetchone()
    body = Request.read(note)
    details = db.execute("SELECT data FROM blobs WHERE sha256 = ?", (body.details,)).fetchone()
    purpose = purpose_of(details[0], body.details) if details else "(erased)"
    return HeldRequest(request, state, time, body.researcher, purpose, body.expiry, body.questions)


def _with_state(line: HeldRequest, state: str) -> HeldRequest:
    return HeldRequest(line.id, state, line.time, line.researcher, line.purpose, line.expiry, line.questions)
