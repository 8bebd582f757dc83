"""What left my campus: every release that went out in a month, for the person who answers for data protection.

All of it is read from this node's own log and ledger; nothing is read from rows. A release that went out again, to somebody else or
in another request, is a line of its own without a cost: no new figure left, but somebody new has it.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from collegium.accounting import epsilon_of
from collegium.errors import CollegiumError, Invalid
from collegium.national.statements import Submit
from collegium.statements import Decision, Details, Release, Request
from collegium_node import submissions
from collegium_node.home import Node
from collegium_node.ledger import Spending, spending
from collegium_node.steward import InForce
from collegium_node.wording import in_words

__all__ = ["Departure", "Departures", "departures", "to_json"]

_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")
ERASED = ""


@dataclass(frozen=True, slots=True)
class Departure:
    """One release that left, or a charge for which nothing left (`figures` 0). Costs: nano-rho, and epsilon at its delta.

    `purpose` and `sql` are empty when they were erased or not stated. `national`: a masked part of a national sum.
    """

    time: int
    request: str
    number: int
    researcher: str
    recipients: tuple[str, ...]
    purpose: str
    question: str
    sql: str
    dataset: str
    unit: str
    snapshot: str
    figures: int
    rho: int
    epsilon: float
    again: bool
    withdrawn: bool
    national: bool = False


@dataclass(frozen=True, slots=True)
class Departures:
    """A month's report. `budgets` as they stand when it is made."""

    node: str
    federation: str
    month: str
    made: int
    language: str
    delta: float
    lines: tuple[Departure, ...]
    unanswered: tuple[Departure, ...]
    refused: int
    budgets: tuple[Spending, ...]
    witnesses: int

    @property
    def rho(self) -> int:
        """What the month has cost, nano-rho, over all privacy units."""
        return sum(line.rho for line in (*self.lines, *self.unanswered))


def departures(node: Node, month: str, *, language: str, now: int) -> Departures:
    """The report of a month such as "2026-10" (UTC). Raises Invalid when it is none."""
    start, end = _bounds(month)
    registry = node.members.registry
    reader = _Reader(node, language)
    lines: list[Departure] = []
    unanswered: list[Departure] = []
    refused = 0
    with node.store.read() as db:
        decided = db.execute("SELECT e.note FROM decisions d JOIN entries e ON e.idx = d.idx ORDER BY d.idx").fetchall()
        for (note,) in decided:
            said = Decision.read(note)
            if said.verdict == "refuse":
                refused += start <= said.time < end
            elif said.verdict in ("charge", "reuse"):
                line = reader.line(db, said)
                if start <= line.time < end:
                    (lines if line.figures else unanswered).append(line)
        budgets = spending(db, InForce(node.journal)().figures, now)
    return Departures(
        node=node.membership.name, federation=node.membership.federation, month=month, made=now, language=language,
        delta=registry.delta, lines=tuple(sorted(lines, key=lambda line: line.time)), unanswered=tuple(unanswered),
        refused=refused, budgets=tuple(budgets), witnesses=node.quorum.witnesses().need,
    )  # fmt: skip


def to_json(found: Departures) -> dict[str, Any]:
    """The report as a plain tree, costs in nano-rho."""
    return {**asdict(found), "rho": found.rho}


class _Reader:
    def __init__(self, node: Node, language: str) -> None:
        self._schemas = node.members.registry.schemas
        self._delta = node.members.registry.delta
        self._recipient = "coordinator"
        self._language = language
        self._names: dict[str, str] = {}

    def line(self, db: sqlite3.Connection, said: Decision) -> Departure:
        query = "SELECT unit, dataset, release FROM charges WHERE digest = ? AND snapshot = ?"
        row = db.execute(query, (said.plan or said.question, said.snapshot)).fetchone()
        (note,) = db.execute("SELECT note FROM entries WHERE kind = 'request' AND request = ?", (said.request,)).fetchone()
        request = Request.read(note)
        purpose, sql = self._details(db, request.details)
        time, figures, withdrawn = said.time, 0, False
        if row[2] is not None:
            release = Release.read(db.execute("SELECT note FROM entries WHERE idx = ?", (row[2],)).fetchone()[0])
            figures = sum(part.cells for part in release.parts)
            time = max(time, release.time)
            withdrawn = db.execute("SELECT 1 FROM withdrawals WHERE release = ?", (row[2],)).fetchone() is not None
        if said.plan is not None:
            found = submissions.find(db, said.plan)
            if found is not None and found.submit is not None:
                submit = Submit.read(db.execute("SELECT note FROM entries WHERE idx = ?", (found.submit,)).fetchone()[0])
                figures, time = submit.vector.size // 8, max(time, submit.time)
        rho = said.rho or 0
        question = request.questions[said.number]
        schema = self._schemas.get(question.schema_id)
        words = in_words(question, schema, self._language) if schema is not None else question.dataset
        return Departure(
            time=time, request=said.request, number=said.number, researcher=request.researcher,
            recipients=(self._recipient, request.researcher), purpose=purpose, question=words, sql=sql, dataset=row[1],
            unit=row[0], snapshot=self._snapshot(db, said.snapshot or ""), figures=figures, rho=rho,
            epsilon=float(f"{epsilon_of(rho, self._delta):.4g}") if rho else 0.0, again=said.verdict == "reuse",
            withdrawn=withdrawn, national=said.plan is not None,
        )  # fmt: skip

    def _details(self, db: sqlite3.Connection, digest: str) -> tuple[str, str]:
        row = db.execute("SELECT data FROM blobs WHERE sha256 = ?", (digest,)).fetchone()
        if row is None:
            return ERASED, ERASED
        try:
            details = Details.from_blob(row[0], digest)
        except CollegiumError:
            return ERASED, ERASED
        return details.purpose, details.sql or ""

    def _snapshot(self, db: sqlite3.Connection, identity: str) -> str:
        if identity not in self._names:
            row = db.execute("SELECT name FROM snapshots WHERE id = ?", (identity,)).fetchone()
            self._names[identity] = row[0] if row else identity
        return self._names[identity]


def _bounds(month: str) -> tuple[int, int]:
    match = _MONTH.fullmatch(month)
    if match is None:
        raise Invalid(f"{month!r} is no month", place="--month", remedy="Write it as 2026-10.")
    year, number = int(match[1]), int(match[2])
    start = datetime(year, number, 1, tzinfo=UTC)
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return int(start.timestamp()), int(end.timestamp())
