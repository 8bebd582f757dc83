"""What a trustee forgets, and when: seeds that wait for a close too long, and answers that were kept for their time.

Its log forgets nothing: what it has signed stays, and with it the refusal of a second list.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from collegium.national.statements import Check, Unmask
from collegium_trustee.rounds import DAY, Rounds

__all__ = ["Forgotten", "forget"]

_WAITING = "SELECT plan FROM rounds WHERE close IS NULL AND over = 0 AND deadline < ?"
_ANSWERED = "SELECT plan FROM rounds WHERE close IS NOT NULL AND over = 0 AND unmasked < ?"


class Forgotten(NamedTuple):
    """How many rounds ended without a close, and of how many the answer was kept for its time."""

    abandoned: int
    answered: int


def forget(rounds: Rounds) -> Forgotten:
    """One look; safe to repeat and to interrupt."""
    now, keeping = int(rounds.journal.clock()), rounds.keeping
    with rounds.party.store.read() as db:
        waiting = [plan for (plan,) in db.execute(_WAITING, (now - keeping.seeds * DAY,))]
        answered = [plan for (plan,) in db.execute(_ANSWERED, (now - keeping.masks * DAY,))]
    for plan in waiting:
        with rounds.party.store.write("forget-seeds") as db:
            # A close may have been answered since: its seeds are gone then, and its answer must stay.
            if db.execute("UPDATE rounds SET over = 1, roster = x'' WHERE plan = ? AND close IS NULL", (plan,)).rowcount:
                db.execute("DELETE FROM seeds WHERE plan = ?", (plan,))
                db.execute("DELETE FROM submissions WHERE plan = ?", (plan,))
            # Crash here: the round waits on, and the next look ends it.
        # Crash here: the round is over; what is left in the write-ahead log is cut off at the next start.
    for plan in answered:
        with rounds.party.store.write("forget-masks") as db:
            for digest in _payloads(db, plan):
                db.execute("DELETE FROM blobs WHERE sha256 = ?", (digest,))
            db.execute("UPDATE rounds SET over = 1, roster = x'', participants = NULL WHERE plan = ?", (plan,))
            # Crash here: everything is still there, and the next look deletes it.
    if waiting or answered:
        rounds.wipe()
    return Forgotten(len(waiting), len(answered))


def _payloads(db: sqlite3.Connection, plan: str) -> list[str]:
    """Digests of the sum of masks, and of the total if this trustee has added up again."""
    unmask, checked = db.execute("SELECT unmask, checked FROM rounds WHERE plan = ?", (plan,)).fetchone()
    notes = dict(db.execute("SELECT idx, note FROM entries WHERE idx IN (?, ?)", (unmask, checked)).fetchall())
    found = [Unmask.read(notes[unmask]).masks.sha256]
    return [*found, Check.read(notes[checked]).total.sha256] if checked in notes else found
