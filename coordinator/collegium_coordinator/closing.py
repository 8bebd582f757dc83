"""Keeping what trustees have signed, and fixing the participants of a round for ever."""

from __future__ import annotations

import logging

from collegium.errors import NotVerified
from collegium.log.statement import statement_id
from collegium.national.lists import Participant, Participants, Prepared
from collegium.national.mask import TRUSTEES
from collegium.national.statements import Close, Plan, Prepare
from collegium.statements import LogPlace
from collegium_coordinator.journal import Journal
from collegium_coordinator.planning import NO_ROUND, RoundOver
from collegium_coordinator.roundstore import RoundRow, RoundStore
from collegium_coordinator.store import put_blob
from collegium_coordinator.trustee_replies import Signed

__all__ = ["close_round", "keep_signed"]

log = logging.getLogger("collegium.coordinator.closing")


def keep_signed(journal: Journal, row: RoundRow, signed: Signed) -> None:
    """A trustee's statement as it came, after the checkpoint of its log. Repeating it changes nothing.

    A sum of masks is a file and is there before this; everything else that a statement names is kept in the database.
    Raises NotVerified when the checkpoint contradicts an earlier one of the same log; both are then in our log.
    """
    with journal.write() as out:
        agrees = out.embed(signed.log, signed.seen.note)
        if agrees:
            entry = out.keep(f"national-{signed.kind}", row.request, signed.note)
            out.db.execute("INSERT OR IGNORE INTO receipts VALUES (?, ?)", (signed.id, signed.receipt))
            values = (row.plan, signed.kind, signed.trustee, entry, signed.sha256)
            out.db.execute("INSERT OR IGNORE INTO trusteed VALUES (?, ?, ?, ?, ?)", values)
            if signed.kind == "unmask":
                out.db.execute(
                    "INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?)", (signed.sha256, row.plan, len(signed.payload), out.now)
                )
            else:
                put_blob(out.db, signed.payload)
    # Crash before the commit: the trustee gives the same statement again.
    if not agrees:
        raise NotVerified(f"{signed.log.name} has signed two histories; both checkpoints are in our log", place=signed.log.name)


def close_round(journal: Journal, rounds: RoundStore, row: RoundRow, plan: Plan) -> None:
    """CLOSE: who is in the sum.

    1. Whoever all three trustees have accepted with the very submission that was taken here.
    2. At least the plan's smallest participation, or the round is over.
    3. One transaction: CLOSE, its list, and the state that lets no other follow.

    Raises:
        RoundOver: too few.
    """
    # (1)
    prepares = rounds.kept(row, "prepare")
    assert len(prepares) == TRUSTEES, "all three have prepared"
    lists = [Prepared.from_blob(rounds.blob(each.payload), Prepare.read(each.note).prepared) for each in prepares]
    accepted = [{each.member: each.submit for each in listed.accepted} for listed in lists]
    members = tuple(
        Participant(member=each.member, submit=each.submit, vector=each.vector)
        for each in rounds.submitted(row)
        if all(verdict.get(each.member) == each.submit for verdict in accepted)
    )
    # (2)
    if len(members) < plan.least:
        raise RoundOver(NO_ROUND, f"the trustees accept {len(members)} submissions, and the plan needs {plan.least}")
    participants = Participants(members=members)
    # (3)
    with journal.write() as out:
        state = out.db.execute("SELECT state FROM rounds WHERE id = ?", (row.id,)).fetchone()[0]
        if state != "collected":
            return

        def make(place: LogPlace) -> bytes:
            return Close(
                log=place, registry=out.registry, time=out.now, plan=statement_id(rounds.note(row)),
                prepares=tuple(each.id for each in prepares), participants=participants.blob, count=len(members),
            ).sign(journal.statements)  # fmt: skip

        entry = out.sign(Close.kind, row.request, make)
        put_blob(out.db, participants.to_blob())
        out.db.execute("UPDATE rounds SET state = 'closed', closing = ? WHERE id = ?", (entry, row.id))
    # Crash before the commit: no CLOSE, and it has left nobody; the next start makes it, of the same submissions and verdicts.
    # Crash after it: this list is the only one that is ever unmasked.
