"""Whether this node would take part in a national sum, if its plan came now. Nothing is signed, charged or looked at in the data.

A university that says READY and then refuses is one that the plan counted on: with too many of them the round fails, and all who
were charged have paid for nothing. So what can be known is checked here already: how many universities it could be, and the budget.
"""

from __future__ import annotations

from collegium.errors import Failed, Invalid, Refused, public_text
from collegium.layout import Layout
from collegium.national.groups import groups_of
from collegium.party.journal import Journal
from collegium.registry import Registry
from collegium_node import ledger
from collegium_node.asked import Asked, parse_request
from collegium_node.ledger import OverBudget
from collegium_node.policy import Policy

__all__ = ["check_ready"]


def check_ready(
    asked: Asked, number: int, layout: Layout, registry: Registry, policy: Policy, journal: Journal, name: str, now: float
) -> None:
    """The steps that a plan would meet and that need no plan.

    1. The request has not expired: a charge is still to come.
    2. The universities asked make whole groups, this one is in one of them, and it is not smaller than the policy allows.
    3. The budget covers the cost now.

    Raises:
        Refused: with the reason of the public table.
        Failed: the request rests on registry entries that this node has not heard of yet.
    """
    # (1)
    if asked.expiry < now:
        raise Refused(public_text("expired"), by="policy", reason="expired")
    # (2)
    request = parse_request(asked.note)
    if request.registry.size > registry.size:
        raise Failed("the request is ahead of this node's registry", place="registry", remedy="Send the entries first.")
    try:
        group = next((each for each in groups_of(request, number, registry) if name in each.members), None)
    except Invalid:
        group = None
    if group is None:
        raise Refused(public_text("mode"), by="policy", reason="mode")
    if len(group.members) < policy.national.smallest:
        raise Refused(public_text("too-few"), by="policy", reason="too-few")
    # (3)
    question = layout.question
    try:
        with journal.store.read() as db:
            ledger.check(
                db, policy.figures, unit=layout.unit, dataset=question.dataset, researcher=asked.researcher, rho=question.rho,
                time=int(now),
            )  # fmt: skip
    except OverBudget as over:
        raise Refused(public_text(over.reason), by="policy", reason=over.reason) from None
