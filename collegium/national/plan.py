"""What a plan must say: made by the coordinator, computed again by every node, trustee and auditor from the question alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collegium.errors import Invalid, NotVerified, Refused
from collegium.log.checkpoint import open_checkpoint
from collegium.log.cosign import CosignerVerifier, check_quorum
from collegium.log.note import Verifier, encode_base64
from collegium.national.lists import Roster
from collegium.national.mask import TRUSTEES
from collegium.national.share import Share, Tolerance, fits_64_bits, make_share, national_rho, sigma_for
from collegium.national.statements import Plan, PlanPart

__all__ = ["Wanted", "check_cosigned", "check_plan", "check_roster", "check_smallest", "check_trustees", "plan_parts"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One component as the question states it: cells, Δ² at one node, the national charge in nano-rho, and the reach of a cell."""

    cells: int
    sensitivity_squared: int
    rho: int
    reach: int


def plan_parts(wanted: Sequence[Wanted], nodes: int, tolerance: Tolerance, homes: int) -> tuple[PlanPart, ...]:
    """The parts of the one plan that fits. `homes` is k, at how many nodes a person can be.

    Raises:
        Invalid: too few nodes carry the noise, or the sum could leave 64 bits.
    """
    honest = tolerance.honest(nodes)
    parts = []
    for number, each in enumerate(wanted):
        sigma = sigma_for(each.rho, each.sensitivity_squared, homes)
        share = make_share(sigma, honest)
        if not fits_64_bits(each.reach, nodes, share):
            raise Invalid(
                "the sum could leave 64 bits",
                place=f"national plan, component {number}",
                remedy="Ask with smaller bounds, or a larger step of the column.",
            )
        rho = national_rho(sigma, each.sensitivity_squared, homes)
        parts.append(
            PlanPart(cells=each.cells, fine=share.fine, sigma=repr(sigma), scale=repr(share.scale), rho=rho, reach=each.reach)
        )
    return tuple(parts)


def check_plan(plan: Plan, wanted: Sequence[Wanted], homes: int) -> tuple[Share, ...]:
    """The share of each part, if the plan is what the question asks for.

    1. Smallest participation and honest nodes follow from the number of nodes and the tolerance.
    2. k is the declared one.
    3. Every part is computed again: f, sigma, scale, rho and head room must be the same to the last digit.

    Raises:
        NotVerified: something in the plan is not what follows from the question.
    """
    place = "national plan"
    try:
        # (1)
        tolerance = Tolerance(plan.dropout, plan.colluding)
        if (plan.least, plan.honest) != (tolerance.least(plan.nodes), tolerance.honest(plan.nodes)):
            raise NotVerified("the smallest participation does not follow from the tolerance", place=place)
        # (2)
        if plan.homes != homes:
            raise NotVerified("the plan counts a person at another number of nodes than the registry declares", place=place)
        # (3)
        right = plan_parts(wanted, plan.nodes, tolerance, homes)
    except NotVerified:
        raise
    except Invalid as error:
        raise NotVerified(error.text, place=error.place) from None
    if len(right) != len(plan.parts):
        raise NotVerified(f"{len(plan.parts)} components were planned and {len(right)} were asked for", place=place)
    for number, (said, due) in enumerate(zip(plan.parts, right, strict=True)):
        for name in PlanPart.model_fields:
            if getattr(said, name) != getattr(due, name):
                raise NotVerified(f"the {name} is not what the question asks for", place=f"{place}, component {number}")
    return tuple(Share(part.fine, float(part.scale)) for part in plan.parts)


def check_smallest(plan: Plan, smallest: int) -> None:
    """Raises Refused when fewer nodes could be in the sum than the steward's policy allows."""
    if plan.least < smallest:
        raise Refused(
            f"a sum of {plan.least} universities is smaller than the policy allows", by="policy", place="national plan",
            remedy="Ask more universities, or tolerate fewer dropouts.", reason="too-few",
        )  # fmt: skip


def check_trustees(plan: Plan, registered: Mapping[str, Verifier]) -> None:
    """Raises NotVerified unless the plan's trustees are registered ones (by name) with these statement keys."""
    for each in plan.trustees:
        key = registered.get(each.trustee)
        if key is None or key.vkey != each.key:
            raise NotVerified(f"{each.trustee} is not a registered trustee with this key", place="national plan")


def check_cosigned(plan: Plan, checkpoint: bytes, registry_log: Verifier, cosigners: Mapping[str, CosignerVerifier]) -> None:
    """The registry's checkpoint is signed, of the plan's size and root, and cosigned by all three trustees: they, not the
    coordinator, stand for there being one registry, so nobody sees a single real university among invented ones.

    Raises NotVerified.
    """
    seen = open_checkpoint(checkpoint, registry_log)
    if (seen.size, encode_base64(seen.root)) != (plan.registry.size, plan.registry.root):
        raise NotVerified("this is not the registry that the plan names", place="roster")
    if set(cosigners) != {each.trustee for each in plan.trustees}:
        raise NotVerified("the plan's trustees are not the registered ones", place="roster")
    check_quorum(checkpoint, cosigners, TRUSTEES)


def check_roster(
    plan: Plan,
    roster: bytes,
    checkpoint: bytes,
    registry_log: Verifier,
    cosigners: Mapping[str, CosignerVerifier],
    registered: Mapping[str, Verifier],
) -> Roster:
    """The roster of a plan, if it is the registry's.

    1. The registry is the one that all three trustees have cosigned (`check_cosigned`).
    2. The roster is the one the plan names, of as many nodes.
    3. Each of its nodes is registered under that key. `registered` comes from replaying the registry up to that checkpoint.

    Raises NotVerified.
    """
    # (1)
    check_cosigned(plan, checkpoint, registry_log, cosigners)
    # (2)
    typed = Roster.from_blob(roster, plan.roster)
    if len(typed.nodes) != plan.nodes:
        raise NotVerified(f"the roster has {len(typed.nodes)} nodes and the plan {plan.nodes}", place="roster")
    # (3)
    for each in typed.nodes:
        known = registered.get(each.node)
        if known is None or known.vkey != each.key:
            raise NotVerified(f"{each.node} is not registered with this key", place="roster")
    return typed
