"""Both ends of a masked vector: what a node sends, and what a trustee makes of it.

Trusted with the seeds: whoever holds all three of a node's reads its share of the sum. The node forgets them once its SUBMIT is
stored; a trustee holds its own until the round's UNMASK, and then deletes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from collegium.errors import Invalid, NotVerified
from collegium.log.note import Verifier, open_note
from collegium.log.statement import MAX_STATEMENT
from collegium.national.addition import Total, mask
from collegium.national.commitment import commitment, new_salt
from collegium.national.lists import Participants, Roster
from collegium.national.mask import TRUSTEES, U64, mask_chunks, mask_key, new_seeds
from collegium.national.seal import SealingKey, SeedContext, open_seed, seal_seed
from collegium.national.statements import Plan, Submit, plan_digest

__all__ = ["Hidden", "check_submission", "hide", "mask_total", "open_sealed", "open_submission"]


@dataclass(frozen=True, slots=True)
class Hidden:
    """What a node sends (`sealed`, `vector`, `commitment`), and the salt that it keeps to open the commitment later."""

    sealed: tuple[bytes, ...]
    vector: U64
    commitment: str
    salt: bytes = field(repr=False)


def hide(plan_note: bytes, plan: Plan, member: int, node: Verifier, unmasked: U64) -> Hidden:
    """Mask 2^f·tally + noise, shape (plan.length,), and seal fresh seeds to the plan's trustees.

    Call it once for a charge and store what it returns before anything is sent: a retry sends the same bytes. Called again it
    would draw new seeds, and two masked vectors of one share could not be told from two shares.
    """
    if unmasked.shape != (plan.length,):
        raise Invalid(f"the plan has {plan.length} cells", place="submission")
    digest, salt = plan_digest(plan_note), new_salt()
    keys, sealed = [], []
    for place, (seed, trustee) in enumerate(zip(new_seeds(), plan.trustees, strict=True)):
        keys.append(mask_key(seed, digest, member, place))
        sealed.append(seal_seed(trustee.sealing_key, seed, SeedContext(digest, member, place, node.raw)))
    return Hidden(tuple(sealed), mask(unmasked, keys), commitment(digest, member, salt, unmasked), salt)


def check_submission(note: bytes, plan_note: bytes, roster: Roster) -> Submit:
    """The statement, signed by the roster's key of the member it names, and for this plan. Raises NotVerified, Invalid."""
    submit = Submit.read(note)
    open_note(note, [roster.verifier(submit.member)], limit=MAX_STATEMENT)
    if submit.plan != plan_digest(plan_note).hex():
        raise NotVerified("the submission belongs to another plan", place=f"submission of member {submit.member}")
    return submit


def open_submission(
    note: bytes, sealed: bytes, plan_note: bytes, roster: Roster, place: int, key: SealingKey
) -> tuple[Submit, bytes]:
    """PREPARE for one submission: the statement and the seed for the trustee at `place`.

    1. The statement is signed by the roster's key of the member it names, and names this plan.
    2. The ciphertext is the one it names and opens to a seed for exactly this place.

    Raises:
        NotVerified: one does not hold. The trustee then reports the member as rejected; the round goes on without it.
    """
    # (1)
    submit = check_submission(note, plan_note, roster)
    # (2)
    return submit, open_sealed(submit, sealed, plan_note, roster, place, key)


def open_sealed(submit: Submit, sealed: bytes, plan_note: bytes, roster: Roster, place: int, key: SealingKey) -> bytes:
    """The seed of a submission that `check_submission` has let through. Raises NotVerified."""
    if hashlib.sha256(sealed).hexdigest() != submit.seeds[place]:
        raise NotVerified("this is not the sealed seed that was signed", place=f"submission of member {submit.member}")
    node_key = roster.verifier(submit.member).raw
    return open_seed(key, sealed, SeedContext(plan_digest(plan_note), submit.member, place, node_key))


def mask_total(plan_note: bytes, length: int, place: int, participants: Participants, seeds: Mapping[int, bytes]) -> U64:
    """UNMASK: the sum of this trustee's masks over the participants, modulo 2^64, shape (length,).

    Only after `collegium.national.closing.check_close` and `may_unmask`. Raises NotVerified when a participant's seed is not held.
    """
    if not 0 <= place < TRUSTEES:
        raise Invalid(f"a plan has {TRUSTEES} trustees", place="unmask")
    digest, total = plan_digest(plan_note), Total(length)
    for member in (each.member for each in participants.members):
        seed = seeds.get(member)
        if seed is None:
            raise NotVerified(f"no seed of member {member} was prepared", place="unmask")
        total.add(mask_chunks(mask_key(seed, digest, member, place), length))
    return total.modular()
