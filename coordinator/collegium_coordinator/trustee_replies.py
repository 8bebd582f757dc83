"""What a trustee must have signed before the coordinator rests on it: PREPARE, UNMASK, CHECK.

Each is signed by the key that the plan names, for this plan and this trustee's place, and lies in the trustee's own log under the
quorum of its witnesses. A reply that fails is not used, and the trustee is asked again: it can delay a round and do nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from collegium.errors import NotVerified
from collegium.log.note import Verifier
from collegium.log.statement import statement_id
from collegium.national.lists import Prepared
from collegium.national.statements import Check, Plan, Prepare, Unmask, lot
from collegium.proof import LogRule, Prover, Seen
from collegium.registry import Registry
from collegium.v1.trustee_pb2 import PrepareReply, RecomputeReply, UnmaskReply
from collegium_coordinator.roundstore import Submitted

__all__ = ["Signed", "verify_check", "verify_prepare", "verify_unmask"]


@dataclass(frozen=True, slots=True)
class Signed:
    """A verified statement of the trustee at `trustee`: its note, what it names by digest, and the receipt with its checkpoint."""

    kind: str
    trustee: int
    log: Verifier
    note: bytes
    payload: bytes
    receipt: bytes
    seen: Seen

    @property
    def id(self) -> str:
        return statement_id(self.note)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.payload).hexdigest()


def verify_prepare(
    reply: PrepareReply, plan_note: bytes, plan: Plan, place: int, submitted: Sequence[Submitted], registry: Registry
) -> Signed:
    """A trustee's verdict on the submissions it was shown.

    1. PREPARE is signed by the plan's key of this trustee, for this plan and place.
    2. Its log holds it where it says.
    3. The list is the one it names, and speaks of all submissions it was shown and of nothing else. A list that is silent about one
       would leave it out of the sum, and this coordinator's own log would say that it was not the trustee who did.

    Raises NotVerified or Invalid.
    """
    # (1)
    note = bytes(reply.prepare)
    body = Prepare.open(note, [_key(plan, place)])
    _must((body.plan, body.trustee) == (statement_id(plan_note), place), "it is about another plan")
    # (2)
    log, seen = _logged(note, bytes(reply.prepare_receipt), body.log.origin, body.log.index, plan, place, registry)
    # (3)
    listed = Prepared.from_blob(bytes(reply.prepared), body.prepared)
    shown = {(each.member, each.submit) for each in submitted}
    said = {(each.member, each.submit) for each in listed.accepted} | {(each.member, each.submit) for each in listed.rejected}
    _must(said == shown, "it does not speak of exactly the submissions that it was shown")
    return Signed("prepare", place, log, note, bytes(reply.prepared), bytes(reply.prepare_receipt), seen)


def verify_unmask(reply: UnmaskReply, plan_note: bytes, plan: Plan, close_note: bytes, place: int, registry: Registry) -> Signed:
    """A trustee's sum of masks.

    1. UNMASK is signed by the plan's key of this trustee, for this plan, this close and this place.
    2. Its log holds it where it says.
    3. The sum is the one it names, of the plan's length. Whether it is right, nobody but the trustee knows.

    Raises NotVerified or Invalid.
    """
    # (1)
    note = bytes(reply.unmask)
    body = Unmask.open(note, [_key(plan, place)])
    expected = (statement_id(plan_note), statement_id(close_note), place)
    _must((body.plan, body.close, body.trustee) == expected, "it is about another list")
    # (2)
    log, seen = _logged(note, bytes(reply.unmask_receipt), body.log.origin, body.log.index, plan, place, registry)
    # (3)
    _must(body.masks.size == 8 * plan.length == len(reply.masks), "the sum of masks has another length than the plan")
    _must(hashlib.sha256(reply.masks).hexdigest() == body.masks.sha256, "the sum of masks is not the one signed")
    return Signed("unmask", place, log, note, bytes(reply.masks), bytes(reply.unmask_receipt), seen)


def verify_check(
    reply: RecomputeReply,
    plan_note: bytes,
    plan: Plan,
    close_note: bytes,
    unmasks: tuple[str, ...],
    total: bytes,
    registry: Registry,
) -> Signed:
    """The word of the trustee drawn by lot that it has come to the same total.

    1. CHECK is signed by the plan's key of the trustee that the lot drew, about these statements.
    2. Its log holds it where it says.
    3. The total it names is `total`, ours.

    Raises NotVerified or Invalid.
    """
    # (1)
    note, place = bytes(reply.check), lot(unmasks)
    body = Check.open(note, [_key(plan, place)])
    expected = (statement_id(plan_note), statement_id(close_note), unmasks, place)
    _must((body.plan, body.close, body.unmasks, body.trustee) == expected, "it is about other statements")
    # (2)
    log, seen = _logged(note, bytes(reply.check_receipt), body.log.origin, body.log.index, plan, place, registry)
    # (3)
    ours = (hashlib.sha256(total).hexdigest(), len(total))
    _must((body.total.sha256, body.total.size) == ours, "the trustee that added up again came to another total")
    return Signed("check", place, log, note, total, bytes(reply.check_receipt), seen)


def _key(plan: Plan, place: int) -> Verifier:
    return Verifier.parse(plan.trustees[place].key, place=plan.trustees[place].trustee)


def _logged(
    note: bytes, receipt: bytes, origin: str, index: int, plan: Plan, place: int, registry: Registry
) -> tuple[Verifier, Seen]:
    """The receipt under the rule of today for the trustee's log."""
    name = plan.trustees[place].trustee
    log = registry.party(name).log
    _must(log is not None and log.name == origin, "it is of another log")
    assert log is not None
    return log, Prover().prove(receipt, note, LogRule.of(registry, log), index=index, place=f"receipt of {name}")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotVerified(otherwise, place="trustee", remedy="Do not use it; keep it as evidence.")
