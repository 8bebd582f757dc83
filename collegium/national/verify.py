"""A whole round looked at again, from its statements and vectors alone: what an auditor does, and the trustee drawn by lot.

Every dishonest move that the statements show ends in a typed error which names the place. What they cannot show: false rows, noise
that was never drawn, and a trustee that shifts its own sum of masks. See docs/national-sums.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from collegium.errors import NotVerified
from collegium.log.cosign import CosignerVerifier
from collegium.log.note import Verifier
from collegium.log.statement import statement_id
from collegium.national.addition import Total, read_vector, vector_digest
from collegium.national.closing import CloseEvidence, Logs, check_close
from collegium.national.lists import Participants
from collegium.national.mask import TRUSTEES
from collegium.national.plan import Wanted, check_plan, check_roster, check_trustees
from collegium.national.share import variance_factor
from collegium.national.statements import Check, Plan, Result, Unmask, lot

__all__ = ["Known", "Round", "Verified", "check_unmasks", "recompute", "verify_round"]

Vectors = Callable[[str], BinaryIO]


@dataclass(frozen=True, slots=True)
class Known:
    """What the reader trusts beforehand, from the registry: keys, the declared k, and what the question asks for."""

    logs: Logs
    registry_log: Verifier
    registered: Mapping[str, Verifier]
    trustees: Mapping[str, Verifier]
    cosigners: Mapping[str, CosignerVerifier]
    wanted: Sequence[Wanted]
    homes: int


@dataclass(frozen=True, slots=True)
class Round:
    """A round's evidence. `submits` gives a SUBMIT by its id, `vectors` opens a vector by its SHA-256."""

    plan: bytes
    roster: bytes
    registry_checkpoint: bytes
    closed: CloseEvidence
    submits: Callable[[str], bytes]
    unmasks: Sequence[bytes]
    check: bytes
    result: bytes
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Verified:
    """What held: the total on each part's lattice, int64 (length,), its participants, and |U|/m, the real variance over σ²."""

    total: NDArray[np.int64]
    participants: Participants
    variance_factor: Fraction


def verify_round(evidence: Round, known: Known) -> Verified:
    """The result of a round, if every step of it holds.

    1. PLAN: signed by the coordinator, its trustees are the registered ones, every number recomputed from the question.
    2. The roster is that of a registry which all three trustees have cosigned.
    3. CLOSE with SUBMIT and PREPARE: see `check_close`.
    4. UNMASK: one by each trustee, for exactly this close.
    5. CHECK by the trustee drawn by lot, and RESULT by the coordinator: both about these statements and the same total.
    6. The sum, once more from the vectors, is the result's.

    Raises NotVerified, Invalid or Refused, with the place.
    """
    # (1)
    plan = Plan.open(evidence.plan, [known.logs.coordinator])
    check_trustees(plan, known.trustees)
    check_plan(plan, known.wanted, known.homes)
    # (2)
    roster = check_roster(
        plan, evidence.roster, evidence.registry_checkpoint, known.registry_log, known.cosigners, known.registered
    )
    # (3)
    participants = check_close(evidence.plan, plan, roster, evidence.closed, evidence.submits, known.logs)
    # (4)
    plan_id, close_id = statement_id(evidence.plan), statement_id(evidence.closed.note)
    unmasks = check_unmasks(plan, plan_id, close_id, evidence.unmasks)
    # (5)
    ids = tuple(statement_id(note) for note in evidence.unmasks)
    drawn = Verifier.parse(plan.trustees[lot(ids)].key)
    check = Check.open(evidence.check, [drawn])
    if (check.plan, check.close, check.unmasks, check.trustee) != (plan_id, close_id, ids, lot(ids)):
        raise NotVerified("the check is about other statements", place="check")
    result = Result.open(evidence.result, [known.logs.coordinator])
    if (result.plan, result.close, result.unmasks, result.check) != (plan_id, close_id, ids, statement_id(evidence.check)):
        raise NotVerified("the result is about other statements", place="result")
    if check.total != result.total:
        raise NotVerified("the trustee that added up again came to another total", place="result")
    if (result.count, result.honest) != (len(participants.members), plan.honest):
        raise NotVerified("the result counts other participants", place="result")
    # (6)
    total = recompute(plan.length, participants, unmasks, evidence.vectors)
    if result.total.size != 8 * plan.length or result.total.sha256 != vector_digest(total):
        raise NotVerified("the result is not the sum of the masked vectors less the masks", place="result")
    return Verified(total, participants, variance_factor(result.count, result.honest))


def recompute(length: int, participants: Participants, unmasks: Sequence[Unmask], vectors: Vectors) -> NDArray[np.int64]:
    """Σ y − Σ masks read as int64, shape (length,), one vector at a time. Raises NotVerified when one is not as signed."""
    total = Total(length)
    for each in participants.members:
        with closing(vectors(each.vector)) as file:
            total.add(read_vector(file, length, each.vector, place=f"masked vector of member {each.member}"))
    for unmask in unmasks:
        with closing(vectors(unmask.masks.sha256)) as file:
            total.subtract(read_vector(file, length, unmask.masks.sha256, place=f"masks of trustee {unmask.trustee}"))
    return total.signed()


def check_unmasks(plan: Plan, plan_id: str, close_id: str, notes: Sequence[bytes]) -> list[Unmask]:
    """UNMASK of the plan's three trustees in its order, each for exactly this close. Raises NotVerified, Invalid."""
    if len(notes) != TRUSTEES:
        raise NotVerified("a result needs the masks of three trustees", place="unmask")
    unmasks = []
    for place, note in enumerate(notes):
        where = f"unmask of {plan.trustees[place].trustee}"
        unmask = Unmask.open(note, [Verifier.parse(plan.trustees[place].key, place=where)])
        if (unmask.plan, unmask.close, unmask.trustee) != (plan_id, close_id, place):
            raise NotVerified("the masks are of another list", place=where)
        if unmask.masks.size != 8 * plan.length:
            raise NotVerified("the masks have another length than the plan", place=where)
        unmasks.append(unmask)
    return unmasks
