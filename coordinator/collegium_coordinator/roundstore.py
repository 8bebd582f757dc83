"""What is durable of the rounds of national sums: one row a round, what its roster has sent, what its trustees have signed.

The state of a round only moves on, and always in the transaction that makes it true:

    new         the fan-out is over; nobody has been asked for anything
    planned     PLAN is logged
    open        the three trustees hold the plan; nodes are asked for their submissions
    collected   no more submissions are taken: what PREPARE will be about is fixed
    closed      CLOSE is logged
    unmasked    three UNMASK are logged
    done        CHECK and RESULT are logged, or `reuses` names the round whose RESULT is given again
    failed      with a reason; never tried again: a new request is a new round and a new charge
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from collegium.log.statement import canonical_json, statement_id
from collegium.national.groups import Group
from collegium.national.lists import Participants, Roster
from collegium.national.statements import Close, Plan
from collegium_coordinator.store import Store

__all__ = ["SETTLED", "Kept", "RoundRow", "RoundStore", "Submitted", "group_digest"]

SETTLED = ("done", "failed")


@dataclass(frozen=True, slots=True)
class RoundRow:
    """A row of `rounds`. `codes` is JSON of the group's codes or null; entries are indices in our own log."""

    id: int
    request: str
    number: int
    place: int
    codes: str
    question: str
    members: str
    state: str
    reason: str
    began: float
    plan: str | None
    entry: int | None  # of PLAN
    roster: str | None  # SHA-256 of the blob
    checkpoint: str | None  # SHA-256 of the blob: the registry's, cosigned by the three trustees
    deadline: int | None
    closing: int | None  # entry of CLOSE
    result: int | None  # entry of RESULT
    reuses: int | None  # id of the round whose result this is

    @property
    def settled(self) -> bool:
        return self.state in SETTLED

    @property
    def group(self) -> tuple[str, ...] | None:
        codes = json.loads(self.codes)
        return None if codes is None else tuple(codes)


@dataclass(frozen=True, slots=True)
class Submitted:
    """A member's stored submission. `sealed`: three sealed seeds, one after the other; empty when the round is settled."""

    member: int
    node: str
    submit: str
    entry: int
    decision: int
    snapshot: str
    vector: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A trustee's statement of a round: its note, and the SHA-256 of the list or vector that it names."""

    trustee: int
    note: bytes
    payload: str

    @property
    def id(self) -> str:
        return statement_id(self.note)


_COLUMNS = ", ".join(field.name for field in fields(RoundRow))
_SUBMITTED = ", ".join(field.name for field in fields(Submitted))


def group_digest(group: Group) -> str:
    """What two rounds must share for one to stand for the other: the same codes, the same nodes asked."""
    return hashlib.sha256(canonical_json([group.codes, list(group.members)], place="group")).hexdigest()


class RoundStore:
    """Reading and simple changes; what is logged is changed together with the log, by those who log it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # -- rounds ----------------------------------------------------------------------------------------------------------------

    def begin(self, request: str, number: int, question: str, groups: Sequence[Group], now: float) -> list[RoundRow]:
        """The rounds of a question: those there are, or one for each group. There is one for each, ever."""
        with self.store.transaction() as db:
            for place, group in enumerate(groups):
                codes = json.dumps(group.codes, ensure_ascii=False)
                db.execute(
                    "INSERT OR IGNORE INTO rounds (request, number, place, codes, question, members, state, began)"
                    " VALUES (?, ?, ?, ?, ?, ?, 'new', ?)",
                    (request, number, place, codes, question, group_digest(group), now),
                )
        return self.of(request, number)

    def of(self, request: str, number: int | None = None) -> list[RoundRow]:
        """The rounds of a request, or of one of its questions, in their order."""
        more, values = ("", (request,)) if number is None else (" AND number = ?", (request, number))
        return self._rows(f"request = ?{more} ORDER BY number, place", values)

    def row(self, identity: int) -> RoundRow:
        return self._rows("id = ?", (identity,))[0]

    def unsettled(self) -> list[str]:
        """Requests with a round that is under way."""
        return [str(row[0]) for row in self.store.rows("SELECT DISTINCT request FROM rounds WHERE state NOT IN ('done', 'failed')")]

    def source(self, row: RoundRow) -> RoundRow:
        """The round that was held: itself, or the one whose result is given again."""
        return row if row.reuses is None else self.row(row.reuses)

    def answered_before(self, row: RoundRow) -> list[RoundRow]:
        """Rounds of the same question over the same group that have come to a result, newest first."""
        return self._rows(
            "question = ? AND members = ? AND state = 'done' AND reuses IS NULL AND id != ? ORDER BY id DESC",
            (row.question, row.members, row.id),
        )

    def move(self, row: RoundRow, state: str, reason: str = "") -> None:
        """From the state of `row` to another; nothing happens when it has moved meanwhile."""
        with self.store.transaction() as db:
            db.execute("UPDATE rounds SET state = ?, reason = ? WHERE id = ? AND state = ?", (state, reason, row.id, row.state))
            if state in SETTLED:
                forget_seeds(db, row)

    def counts(self) -> dict[str, int]:
        """How many rounds are in each state."""
        return {str(state): int(count) for state, count in self.store.rows("SELECT state, COUNT(*) FROM rounds GROUP BY state")}

    # -- what belongs to a plan ------------------------------------------------------------------------------------------------

    def note(self, row: RoundRow) -> bytes:
        """PLAN."""
        assert row.entry is not None, "a planned round"
        return self.store.entry(row.entry)

    def plan(self, row: RoundRow) -> Plan:
        return Plan.read(self.note(row))

    def roster(self, row: RoundRow) -> Roster:
        return Roster.from_blob(self.blob(row.roster), self.plan(row).roster)

    def blob(self, sha: str | None) -> bytes:
        data = self.store.blob(sha) if sha is not None else None
        assert data is not None, "what a round names was stored with it"
        return data

    def submitted(self, row: RoundRow, *, sealed: bool = False) -> list[Submitted]:
        """The submissions taken, by member. Without their sealed seeds unless asked: a country's are megabytes."""
        columns = _SUBMITTED.replace("sealed", "COALESCE(sealed, x'')" if sealed else "x''")
        sql = f"SELECT {columns} FROM submissions WHERE plan = ? AND submit IS NOT NULL ORDER BY member"  # noqa: S608 (constants)
        return [Submitted(*values) for values in self.store.rows(sql, (row.plan,))]

    def participants(self, row: RoundRow) -> bytes:
        """The list that the round's CLOSE names."""
        return self.blob(self.participants_blob(row))

    def closing(self, row: RoundRow) -> bytes:
        """CLOSE."""
        assert row.closing is not None, "a closed round"
        return self.store.entry(row.closing)

    def close_id(self, row: RoundRow) -> str:
        return statement_id(self.closing(row))

    def participants_blob(self, row: RoundRow) -> str:
        """SHA-256 of the list that the round's CLOSE names."""
        return Close.read(self.closing(row)).participants.sha256

    def result(self, row: RoundRow) -> bytes:
        """RESULT."""
        assert row.result is not None, "a round that is done"
        return self.store.entry(row.result)

    def result_id(self, row: RoundRow) -> str:
        return statement_id(self.result(row))

    def participating(self, row: RoundRow) -> list[Submitted]:
        """The submissions that are in the sum of a closed round, by member."""
        listed = Participants.from_blob(self.participants(row), Close.read(self.closing(row)).participants)
        inside = {(each.member, each.submit) for each in listed.members}
        return [each for each in self.submitted(row) if (each.member, each.submit) in inside]

    def page(self, row: RoundRow, after: int, count: int) -> list[Submitted]:
        """At most `count` submissions of members beyond `after`, with their seeds."""
        sql = (
            f"SELECT {_SUBMITTED} FROM submissions WHERE plan = ? AND submit IS NOT NULL AND member > ?"  # noqa: S608 (constants)
            " ORDER BY member LIMIT ?"
        )
        return [Submitted(*values) for values in self.store.rows(sql, (row.plan, after, count))]

    def reasons(self, row: RoundRow) -> dict[str, str]:
        """Nodes of the roster whose submission was not taken, and why."""
        sql = "SELECT node, reason FROM submissions WHERE plan = ? AND submit IS NULL"
        return {str(node): str(reason) for node, reason in self.store.rows(sql, (row.plan,))}

    def kept(self, row: RoundRow, kind: str) -> list[Kept]:
        """The trustees' statements of one kind (key, prepare, unmask, check), in the plan's order."""
        sql = "SELECT trustee, entry, payload FROM trusteed WHERE plan = ? AND kind = ? ORDER BY trustee"
        rows = self.store.rows(sql, (row.plan, kind))
        return [Kept(trustee, self.store.entry(entry), payload) for trustee, entry, payload in rows]

    def _rows(self, where: str, values: Sequence[Any]) -> list[RoundRow]:
        rows = self.store.rows(f"SELECT {_COLUMNS} FROM rounds WHERE {where}", values)  # noqa: S608 (constants)
        return [RoundRow(*each) for each in rows]


def forget_seeds(db: sqlite3.Connection, row: RoundRow) -> None:
    """Sealed seeds serve until a round is settled; then nobody needs them, and whoever steals a trustee's key finds none here."""
    db.execute("UPDATE submissions SET sealed = NULL WHERE plan = ?", (row.plan,))
