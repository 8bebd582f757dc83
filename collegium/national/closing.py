"""Whether a CLOSE may be answered: the same check for a trustee before it unmasks and for an auditor years later.

A round that could be closed twice, with two lists, would show the difference of two sums, which is a single university. So a
list is fixed once, in the coordinator's log, and a trustee answers one list for each plan, ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from collegium.errors import CollegiumError, NotVerified, Refused
from collegium.log.cosign import CosignerVerifier
from collegium.log.note import Verifier
from collegium.log.receipt import verify_receipt
from collegium.log.statement import statement_id
from collegium.national.lists import Participants, Prepared, Roster
from collegium.national.mask import TRUSTEES
from collegium.national.statements import Close, Plan, Prepare, Submit, Unmask

__all__ = ["CloseEvidence", "Logs", "check_close", "check_left_out", "may_unmask", "only_one"]


@dataclass(frozen=True, slots=True)
class Logs:
    """The coordinator's statement key, its log's key, that log's witnesses and how many of them must have cosigned."""

    coordinator: Verifier
    log: Verifier
    witnesses: Mapping[str, CosignerVerifier]
    quorum: int


@dataclass(frozen=True, slots=True)
class CloseEvidence:
    """A close: the note, its receipt in the coordinator's log, its list, and PREPARE with its list of each trustee."""

    note: bytes
    receipt: bytes
    participants: bytes
    prepares: Sequence[bytes]
    prepared: Sequence[bytes]


def check_close(
    plan_note: bytes, plan: Plan, roster: Roster, closed: CloseEvidence, submit_of: Callable[[str], bytes], logs: Logs
) -> Participants:
    """The participants of a round whose close holds. `submit_of` gives the note of a SUBMIT by its id.

    1. The close is signed by the coordinator, for this plan, and the coordinator's log holds it where it says.
    2. The list is the one it names, members strictly increase, and they are at least u_min.
    3. Each trustee has prepared this plan, and each has accepted every participant with the same SUBMIT.
    4. Each SUBMIT is signed by its member for this plan, and its vector is the one listed, of the plan's length.

    Raises NotVerified (Refused when the list is too small).
    """
    # (1)
    plan_id, place = statement_id(plan_note), "close"
    close = Close.open(closed.note, [logs.coordinator])
    if close.plan != plan_id:
        raise NotVerified("the close belongs to another plan", place=place)
    proven = verify_receipt(closed.receipt, closed.note, logs.log, witnesses=logs.witnesses, quorum=logs.quorum, place=place)
    if (close.log.origin, close.log.index) != (logs.log.name, proven.index):
        raise NotVerified("the close is logged at another place than it says", place=place)
    # (2)
    participants = Participants.from_blob(closed.participants, close.participants)
    if len(participants.members) != close.count:
        raise NotVerified("the close counts other participants than it lists", place=place)
    if close.count < plan.least:
        raise Refused(f"{close.count} participants are fewer than the plan's {plan.least}", by="policy", place=place)
    # (3)
    accepted = _accepted(plan_id, plan, close, closed)
    # (4)
    for each in participants.members:
        where = f"close, member {each.member}"
        if any(verdict.get(each.member) != each.submit for verdict in accepted):
            raise NotVerified("not every trustee has prepared this submission", place=where)
        note = submit_of(each.submit)
        submit = Submit.open(note, [roster.verifier(each.member)])
        if statement_id(note) != each.submit or (submit.plan, submit.member) != (plan_id, each.member):
            raise NotVerified("the submission belongs to another plan or member", place=where)
        if submit.vector.sha256 != each.vector or submit.vector.size != 8 * plan.length:
            raise NotVerified("the vector is not the one that the node signed", place=where)
    return participants


def may_unmask(plan: str, close: str, earlier: Iterable[bytes], own: Verifier) -> bytes | None:
    """Whether a trustee may answer this close: None, or the note of the same answer, which it then sends again.

    `earlier` are all UNMASK that its durable table and its own log hold. The caller marks the plan durably before it answers; what
    a restored table has forgotten, the log still shows, and a log that was restored too stops at its witnesses.

    Raises:
        Refused: it has answered another close of this plan.
    """
    for note in earlier:
        unmask = Unmask.open(note, [own])
        if unmask.plan == plan:
            if unmask.close == close:
                return note
            raise Refused(
                "another list of this round was unmasked before",
                by="policy",
                place="unmask",
                remedy="Ask again: a new round is a new charge.",
            )
    return None


def only_one(kind: type[Close] | type[Unmask] | type[Submit], notes: Iterable[bytes], signer: Verifier) -> None:
    """At most one statement of this kind for each plan by one signer; two that differ convict it. Raises NotVerified with its name.

    For SUBMIT also: no two plans rest on one charge, for that would be one share shown under two totals.
    """
    seen: dict[tuple[str, str | int], str] = {}
    for note in notes:
        body = kind.open(note, [signer])
        keys: list[tuple[str, str | int]] = [("plan", body.plan)]
        if isinstance(body, Submit):
            keys.append(("charge", body.decision))
        for key in keys:
            if seen.setdefault(key, statement_id(note)) != statement_id(note):
                raise NotVerified(f"{signer.name} has signed two different {kind.kind} for one {key[0]}", place=kind.kind)


def check_left_out(submit_note: bytes, receipt: bytes, node: Verifier, closed: CloseEvidence, logs: Logs) -> None:
    """Whether a node that holds the coordinator's receipt for its SUBMIT has its place in the round.

    It is in the list, or was logged after the close, or a trustee has rejected exactly this submission. The close has been checked
    before, by `check_close`.

    Raises:
        NotVerified: the coordinator has left out what its own log held in time.
    """
    place = "receipt of a submission"
    submit, close = Submit.open(submit_note, [node]), Close.open(closed.note, [logs.coordinator])
    proven = verify_receipt(receipt, submit_note, logs.log, witnesses=logs.witnesses, quorum=logs.quorum, place=place)
    if submit.plan != close.plan:
        raise NotVerified("the submission belongs to another plan", place=place)
    own = (submit.member, statement_id(submit_note))
    listed = Participants.from_blob(closed.participants, close.participants).members
    if proven.index > close.log.index or own in {(each.member, each.submit) for each in listed}:
        return
    for note, raw in zip(closed.prepares, closed.prepared, strict=True):
        if own in {(each.member, each.submit) for each in Prepared.from_blob(raw, Prepare.read(note).prepared).rejected}:
            return
    raise NotVerified(f"{logs.coordinator.name} left out a submission that its log held before the close", place="close")


def _accepted(plan_id: str, plan: Plan, close: Close, closed: CloseEvidence) -> list[dict[int, str]]:
    if len(closed.prepares) != TRUSTEES or len(closed.prepared) != TRUSTEES:
        raise NotVerified("a close rests on what three trustees have prepared", place="prepare")
    accepted = []
    for place, (note, raw) in enumerate(zip(closed.prepares, closed.prepared, strict=True)):
        where = f"prepare of {plan.trustees[place].trustee}"
        try:
            prepare = Prepare.open(note, [Verifier.parse(plan.trustees[place].key, place=where)])
            if (prepare.plan, prepare.trustee, statement_id(note)) != (plan_id, place, close.prepares[place]):
                raise NotVerified("it is not the one that the close names")
            verdict = Prepared.from_blob(raw, prepare.prepared)
        except CollegiumError as error:
            raise NotVerified(error.text, place=where) from None
        accepted.append({each.member: each.submit for each in verdict.accepted})
    return accepted
