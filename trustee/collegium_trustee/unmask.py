"""UNMASK: the one moment at which a trustee uncovers something, and the promise that it does so for one list of each plan, ever.

Two lists of one plan would show two sums, and their difference is a single university. So before anything leaves, the plan is
marked with the CLOSE that is answered. Three things remember it, and each alone is enough to refuse another list:

    the table `rounds`     survives every restart
    this trustee's log     the UNMASK entry, looked through each time: a restored or edited table alone forgets nothing
    its witnesses          a database restored as a whole, table and log, is behind what they hold: it may not sign (`permit`)

What none of them can hinder, a trustee that answers on purpose from a copy nobody knows, leaves two UNMASK statements of one plan,
which convict it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from collegium.body import Blob
from collegium.errors import Failed, NotVerified, Refused
from collegium.log.statement import statement_id
from collegium.national.closing import CloseEvidence, Logs, check_close, may_unmask
from collegium.national.statements import Close, Unmask
from collegium.national.submission import mask_total
from collegium.party.receipts import check_receipt, keep_logged
from collegium_trustee.rounds import Round, Rounds, Signed, judged, over, unknown

__all__ = ["unmask"]


def unmask(rounds: Rounds, plan: str, closed: CloseEvidence) -> Signed:
    """The sum of this trustee's masks over the participants of a close.

    1. The round was begun here. If a close of it was answered before: the same one gets the same bytes, another one is refused.
    2. The round is open: this trustee has signed its PREPARE, the evidence holds exactly that one, and its seeds are there.
    3. The close holds: signed, logged and confirmed, its list large enough, members strictly increasing, each prepared by all three
       trustees with one SUBMIT that its node has signed (`check_close`).
    4. The masks are added up. Nothing has left yet.
    5. ONE transaction: looked at again as in (1); the mark; the coordinator's checkpoint and CLOSE verbatim in this log (PLAN is
       there since it began); UNMASK signed and logged, with the masks' digest; the masks kept; the seeds deleted.
    6. The seeds out of the write-ahead log too.
    7. Only when witnesses have confirmed the log with UNMASK in it does the answer leave.

    Raises:
        Refused: another list of this round was answered, or it is over. NotVerified, Invalid: the close does not hold. NotReleased:
            made and not confirmed yet; the same call may be repeated. Failed: this log may not sign now.
    """
    # (1)
    with judged("bad-round"):
        close_id = statement_id(closed.note)
    with rounds.party.store.read() as db:  # one state: an answer given meanwhile would take the seeds away from between
        round_ = rounds.found(db, plan)
        answered = _answered(rounds, db, round_, plan, close_id)
        notes: dict[str, bytes] = dict(db.execute("SELECT id, note FROM submissions WHERE plan = ? AND reason = ''", (plan,)))
        seeds: dict[int, bytes] = dict(db.execute("SELECT member, seed FROM seeds WHERE plan = ?", (plan,)))
    if answered is not None:
        return _same(rounds, answered)
    if round_ is None:
        raise unknown(plan)
    # (2)
    _check_prepared(rounds, round_, closed)
    # (3)
    with judged("bad-round"):
        registry = rounds.party.members.registry
        logged = check_receipt(closed.receipt, closed.note, registry)
        logs = Logs(registry.coordinator, registry.coordinator_log, *registry.witnesses_of(registry.coordinator_log.name))
        participants = check_close(round_.note, round_.plan, round_.roster, closed, _among(notes), logs)
        # (4)
        masks = mask_total(round_.note, round_.plan.length, round_.place, participants, seeds)
    # (5)
    with rounds.journal.write("unmask") as log:
        now = rounds.found(log.db, plan)
        answered = _answered(rounds, log.db, now, plan, close_id)
        if answered is None:
            if now is None or now.over:  # its seeds were forgotten meanwhile
                raise over()
            keep_logged(log, close_id, logged)
            log.keep(Close.kind, closed.note, request=plan)
            raw = masks.astype("<u8", copy=False).tobytes()
            digest = log.blob(raw, published=True)
            body = Unmask(
                log=log.place, registry=log.registry, time=log.now, plan=plan, close=close_id, trustee=round_.place,
                masks=Blob(sha256=digest, size=len(raw)),
            )  # fmt: skip
            entry = log.sign(body, request=plan)
            log.db.execute(
                "UPDATE rounds SET close = ?, unmask = ?, unmasked = ?, participants = ? WHERE plan = ?",
                (close_id, entry.index, log.now, closed.participants, plan),
            )
            log.db.execute("DELETE FROM seeds WHERE plan = ?", (plan,))
            log.db.execute("DELETE FROM submissions WHERE plan = ?", (plan,))
            answered = entry.note
        # Crash here: no mark and no answer; seeds are as they were, and any list that holds may still be the one.
    # Crash here: marked, answered in the log, seeds gone from the tables. The same close gets these bytes, no other gets any.
    # (6)
    rounds.wipe()
    # Crash here: as before; the next start cuts the write-ahead log off.
    # (7)
    return _same(rounds, answered)


def _answered(rounds: Rounds, db: sqlite3.Connection, round_: Round | None, plan: str, close_id: str) -> bytes | None:
    """The UNMASK of this close, if it was answered; None when no close of the plan was. Raises Refused when another one was.

    The table's mark and the log's entries are asked each for itself: what either remembers counts.
    """
    if round_ is not None and round_.close is not None and round_.close != close_id:
        raise over()
    earlier = rounds.unmasked(db, plan)
    if not earlier:
        if round_ is not None and round_.close is not None:
            raise Failed("the mark of this round is there and its UNMASK is not in the log", place="unmask")
        return None
    # The plan's key for this trustee signed it: today's, or the one that today's has replaced.
    key = round_.key if round_ is not None else rounds.journal.statements.verifier
    try:
        return may_unmask(plan, close_id, earlier, key)
    except Refused:
        raise over() from None


def _same(rounds: Rounds, note: bytes) -> Signed:
    body = Unmask.read(note)
    return rounds.signed(body.log.index, body.masks.sha256)


def _check_prepared(rounds: Rounds, round_: Round, closed: CloseEvidence) -> None:
    if round_.over:
        raise over()
    rounds.signs_as(round_)
    with judged("bad-round"):
        if round_.prepare is None:
            raise NotVerified("this trustee has not prepared the round", place="prepare")
        own = rounds.journal.entry(round_.prepare).note
        if len(closed.prepares) <= round_.place or statement_id(closed.prepares[round_.place]) != statement_id(own):
            raise NotVerified("the close rests on another PREPARE of this trustee than it has signed", place="prepare")


def _among(notes: Mapping[str, bytes]) -> Callable[[str], bytes]:
    """SUBMIT notes by id, as this trustee has accepted them."""

    def of(identity: str) -> bytes:
        if identity not in notes:
            raise NotVerified("a participant's submission was never accepted here", place="close")
        return notes[identity]

    return of
