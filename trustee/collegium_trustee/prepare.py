"""PREPARE: opening the seeds that nodes have sealed to this trustee, and its signed verdict on every submission, before the close.

So one bad node cannot wedge a round: what this trustee could not unmask later is named now, and the list is made without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from collegium.errors import Invalid, NotVerified, public_text
from collegium.log.statement import statement_id
from collegium.national.lists import Prepared, Rejected, Submitted
from collegium.national.seal import SealingKey
from collegium.national.statements import Prepare, Submit
from collegium.national.submission import check_submission, open_sealed
from collegium.party.journal import Writer
from collegium_trustee.rounds import Round, Rounds, Signed, judged, over, unknown
from collegium_trustee.sealing import Sealing

__all__ = ["MAX_PAGE", "prepare"]

MAX_PAGE = 1024  # submissions in one call


class _Opened(NamedTuple):
    """A submission as this trustee judges it: `reason` is why it was rejected, and empty with a seed."""

    member: int
    id: str
    note: bytes
    reason: str
    seed: bytes | None


def prepare(rounds: Rounds, sealing: Sealing, plan: str, page: Sequence[tuple[bytes, bytes]], *, last: bool) -> Signed | None:
    """Take a page of (SUBMIT, sealed seed); with `last` the PREPARE over all pages. Nothing changes once it is signed.

    1. The round is open: begun here, under the key of today, its seeds not forgotten.
    2. Signed before: the same bytes again, whatever is sent along.
    3. Each submission names a member of the roster and is signed by it for this plan, or is rejected as `signature`; its seed is
       the one it names and opens for exactly this place, or it is rejected as `seed`.
    4. One transaction: what came, with its seeds; with `last` the list of verdicts and PREPARE. A member that was accepted stays as
       it is: the same submission again is nothing new, another one is refused. One that was rejected may be replaced, since anybody
       can garble what a node has signed.
    5. The answer leaves when witnesses have confirmed it.

    Raises:
        Invalid, NotVerified, Refused, NotReleased: with a `reason` of the public table.
    """
    # (1)
    round_ = rounds.find(plan)
    if round_ is None:
        raise unknown(plan)
    # (2)
    if round_.prepare is None:
        _check_open(rounds, round_)
        # (3)
        opened = _opened(round_, sealing, page)
        # (4)
        with rounds.journal.write("prepare") as log:
            now = rounds.found(log.db, plan)
            if now is None or now.over:
                raise over()
            if now.prepare is None:
                _keep(log, plan, opened)
                if last:
                    _sign(log, round_)
            # Crash here: nothing of this page is there; it is sent again, from any page on.
        # Crash here: the page, or PREPARE, is there; sent again it is found.
    # (5)
    return _signed(rounds, plan) if last else None


def _check_open(rounds: Rounds, round_: Round) -> None:
    if round_.over:
        raise over()
    rounds.signs_as(round_)


def _opened(round_: Round, sealing: Sealing, page: Sequence[tuple[bytes, bytes]]) -> list[_Opened]:
    if len(page) > MAX_PAGE:
        raise Invalid(public_text("too-large"), place="submissions", reason="too-large")
    key = sealing.private(round_.sealing)
    if key is None:
        raise over()
    with judged("malformed"):
        return [_judge(round_, key, note, sealed) for note, sealed in page]


def _judge(round_: Round, key: SealingKey, note: bytes, sealed: bytes) -> _Opened:
    """Raises Invalid when the note is no SUBMIT at all: there is nobody then whom the list could name."""
    member, identity = Submit.read(note).member, statement_id(note)
    try:
        submit = check_submission(note, round_.note, round_.roster)
    except Invalid:
        return _Opened(member, identity, note, "signature", None)
    try:
        seed = open_sealed(submit, sealed, round_.note, round_.roster, round_.place, key)
    except Invalid:
        return _Opened(member, identity, note, "seed", None)
    return _Opened(member, identity, note, "", seed)


def _keep(log: Writer, plan: str, opened: Sequence[_Opened]) -> None:
    for each in opened:
        row = log.db.execute("SELECT id, reason FROM submissions WHERE plan = ? AND member = ?", (plan, each.member)).fetchone()
        if row is not None and not row[1]:
            if each.id != row[0] and not each.reason:
                raise NotVerified(f"member {each.member} has sent two submissions", place="submissions", reason="bad-round")
            continue
        log.db.execute(
            "INSERT OR REPLACE INTO submissions VALUES (?, ?, ?, ?, ?)", (plan, each.member, each.id, each.note, each.reason)
        )
        if each.seed is not None:
            log.db.execute("INSERT INTO seeds VALUES (?, ?, ?)", (plan, each.member, each.seed))


def _sign(log: Writer, round_: Round) -> None:
    rows = log.db.execute("SELECT member, id, reason FROM submissions WHERE plan = ? ORDER BY member", (round_.id,)).fetchall()
    verdicts = Prepared(
        accepted=tuple(Submitted(member=member, submit=identity) for member, identity, reason in rows if not reason),
        rejected=tuple(Rejected(member=member, submit=identity, reason=reason) for member, identity, reason in rows if reason),
    )
    log.blob(verdicts.to_blob(), published=True)
    body = Prepare(
        log=log.place, registry=log.registry, time=log.now, plan=round_.id, trustee=round_.place, prepared=verdicts.blob
    )  # fmt: skip
    entry = log.sign(body, request=round_.id)
    log.db.execute("UPDATE rounds SET prepare = ? WHERE plan = ?", (entry.index, round_.id))


def _signed(rounds: Rounds, plan: str) -> Signed:
    round_ = rounds.find(plan)
    if round_ is None or round_.prepare is None:
        raise over()
    return rounds.signed(round_.prepare, Prepare.read(rounds.journal.entry(round_.prepare).note).prepared.sha256)
