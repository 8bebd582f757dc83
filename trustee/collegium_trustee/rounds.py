"""The rounds that a trustee takes part in, as its database has them; and what all steps of a round share.

Trusted with the seeds of a third of every mask, from PREPARE to UNMASK, and with answering one list for each plan. An attacker who
can read them reads nothing of a university alone; who can write them can make this trustee forget that it has answered, unless its
log or its witnesses remember (see `collegium_trustee.unmask`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from collegium.errors import PUBLIC_TEXTS, Invalid, NotReleased, NotVerified, Refused, public_text
from collegium.log.note import Verifier
from collegium.national.lists import Roster
from collegium.national.statements import Plan, Unmask
from collegium.party.home import Party
from collegium.party.receipts import Receipts
from collegium_trustee.tables import cut_off, overwrite_deleted

__all__ = ["DAY", "Keeping", "Round", "Rounds", "Signed", "judged", "over", "unknown"]

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long a trustee keeps what, in days.

    `overlap`: a month's sealing key serves plans that end so long after the month. `seeds`: after a plan's deadline seeds wait so
    long for a close, and are then deleted; the round can not be finished any more. `masks`: after UNMASK its answer is given again
    so long.
    """

    overlap: int = 7
    seeds: int = 14
    masks: int = 90

    def __post_init__(self) -> None:
        if min(self.overlap, self.seeds, self.masks) < 1:
            raise Invalid("what a trustee keeps, it keeps for a day at least", place="keeping")


class Signed(NamedTuple):
    """A statement of this trustee, the proof that its log holds it, and the payload that it names."""

    note: bytes
    receipt: bytes
    payload: bytes


@dataclass(frozen=True)
class Round:
    """One row. `place` is this trustee's in the plan; `prepare`, `unmask` and `checked` are indices of its log."""

    id: str
    deadline: int
    place: int
    sealing: int
    note: bytes
    roster_list: bytes
    prepare: int | None
    close: str | None
    unmask: int | None
    participants: bytes | None
    checked: int | None
    over: int

    @cached_property
    def plan(self) -> Plan:
        """As `begin` has verified it."""
        return Plan.read(self.note)

    @cached_property
    def roster(self) -> Roster:
        return Roster.from_blob(self.roster_list, self.plan.roster)

    @property
    def key(self) -> Verifier:
        """The statement key under which this trustee is in the plan."""
        return Verifier.parse(self.plan.trustees[self.place].key)


_COLUMNS = "plan, deadline, place, sealing, note, roster, prepare, close, unmask, participants, checked, over"


class Rounds:
    """The rounds of one opened trustee. Safe from any thread and process: every step decides inside its own transaction."""

    def __init__(self, party: Party, receipts: Receipts, keeping: Keeping | None = None) -> None:
        self.party = party
        self.journal = party.journal
        self.keeping = keeping or Keeping()
        self._receipts = receipts
        overwrite_deleted(party.store)
        self._cut = cut_off(party.store)  # what a process deleted that was killed before it could do this

    def find(self, plan: str) -> Round | None:
        with self.party.store.read() as db:
            return self.found(db, plan)

    @staticmethod
    def found(db: sqlite3.Connection, plan: str) -> Round | None:
        """The same inside a transaction."""
        row = db.execute(f"SELECT {_COLUMNS} FROM rounds WHERE plan = ?", (plan,)).fetchone()  # noqa: S608 (a constant)
        return Round(*row) if row else None

    @staticmethod
    def unmasked(db: sqlite3.Connection, plan: str) -> list[bytes]:
        """What this trustee's log holds of UNMASK about a plan. It asks the notes themselves: the table may have been restored."""
        rows = db.execute(
            "SELECT note FROM entries WHERE kind = ? AND instr(note, CAST(? AS BLOB)) > 0 ORDER BY idx", (Unmask.kind, plan)
        ).fetchall()
        return [note for (note,) in rows if Unmask.read(note).plan == plan]

    def signs_as(self, round_: Round) -> None:
        """Raises Refused when this trustee has changed its statement key since the plan: nobody could verify it by the plan."""
        if self.journal.statements.vkey != round_.plan.trustees[round_.place].key:
            raise over()

    def signed(self, index: int, payload: str) -> Signed:
        """An entry of this log, its confirmed receipt, and the payload of this digest.

        Raises:
            Refused: the payload was kept for its time and is gone. NotReleased: no quorum of witnesses has confirmed the entry yet.
        """
        data = self.journal.blob(payload)
        if data is None:
            raise over()
        receipt = self._receipts.confirmed([index]).get(index)
        if receipt is None:
            raise NotReleased(public_text("pending"), place="witnesses", reason="pending")
        return Signed(self.journal.entry(index).note, receipt, data)

    def wipe(self) -> None:
        """After a deletion of secrets was committed: out of the write-ahead log too. If a reader is there, `wiped` tries again."""
        self._cut = cut_off(self.party.store)

    def wiped(self) -> bool:
        """Whether nothing deleted is left in the files; tries again if something was."""
        self._cut = self._cut or cut_off(self.party.store)
        return self._cut


def over() -> Refused:
    return Refused(public_text("round-over"), by="policy", place="round", reason="round-over")


def unknown(plan: str) -> Invalid:
    return Invalid(f"this trustee has begun no round of plan {plan[:12]}", place="plan", reason="bad-round")


@contextmanager
def judged(reason: str) -> Iterator[None]:
    """What does not hold inside leaves with this reason of the public table, unless it has one of its own."""
    try:
        yield
    except (Invalid, Refused) as error:
        if error.reason in PUBLIC_TEXTS:
            raise
        raise NotVerified(error.text, place=error.place, remedy=error.remedy, reason=reason) from None
