"""The plan of one round of a national sum, as this node has verified it itself. Nothing of the coordinator's word is taken.

`check_planned` is a part of step (1) of `collegium_node.submitting`: it reads the registry, never data, a policy or a budget.
`check_numbers` computes every number of the plan again, from the question's own layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collegium.errors import CollegiumError, NotVerified, public_text
from collegium.layout import Layout
from collegium.log.note import Verifier
from collegium.log.receipt import Receipt
from collegium.log.statement import statement_id
from collegium.national.groups import groups_of
from collegium.national.lists import Roster
from collegium.national.plan import check_cosigned, check_plan, check_trustees
from collegium.national.share import Tolerance
from collegium.national.statements import Plan, TrusteeKey
from collegium.national.travelling import roster_from_bits
from collegium.national.wanted import homes_of, wanted
from collegium.party.receipts import Logged, check_receipt
from collegium.registrar import Registered
from collegium.registry import Registry
from collegium.schema import Schema
from collegium_node.asked import Asked, parse_request

__all__ = ["Planned", "Sent", "check_numbers", "check_planned"]


@dataclass(frozen=True, slots=True)
class Sent:
    """What came with a plan, unverified: see SubmitRequest in node.proto."""

    note: bytes
    receipt: bytes
    chosen: bytes
    registry_checkpoint: bytes
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """One verified plan: its id, the bytes that came, this node's place in the roster, and the proof that it is logged."""

    id: str
    note: bytes
    plan: Plan
    member: int
    logged: Logged


def check_planned(sent: Sent, asked: Asked, registry: Registry, name: str, own: Verifier) -> Planned:
    """The plan, verified against the newest registry this node has verified. `own` is this node's statement key.

    1. The coordinator has signed it, and its log holds it where the plan says, under the quorum of that log's witnesses.
    2. It is of this request and of a question in it whose release mode is national.
    3. The registry that it names is a part of ours and not older than the request's.
    4. Its trustees were registered then with these keys, and are still. Each has signed that its sealing key is this one and serves
       until after the deadline.
    5. All three trustees have cosigned that registry (`check_cosigned`).
    6. The roster is of nodes of one of the groups that follow from the request (`groups_of`), under the keys that they have in that
       registry, and as many as the plan says. It is made here, from the bits that came, and is the one that the plan names.
    7. This node is in the roster, under its own key.

    Raises NotVerified, reason `no-receipt` or `bad-plan`. Nothing was logged or charged.
    """
    # (1) the receipt
    logged = check_receipt(sent.receipt, sent.note, registry)
    try:
        # (1)
        plan = Plan.open(sent.note, [registry.coordinator])
        index = Receipt.parse(sent.receipt).index
        _must((plan.log.origin, plan.log.index) == (logged.origin, index), "the plan is logged at another place than it says")
        # (2)
        _must(plan.request == asked.id and plan.number < len(asked.questions), "the plan is of another request")
        question = asked.questions[plan.number]
        _must((question.mode, question.digest) == ("national", plan.question), "the plan is of another question")
        # (3)
        request, size = parse_request(asked.note), plan.registry.size
        _must(size <= registry.size and registry.view_at(size) == plan.registry, "the plan names a registry that is not known here")
        _must(size >= request.registry.size, "the plan rests on an older registry than the request")
        # (4)
        trustees = {each.name: each for each in registry.trustees(at=size)}
        still = {each.name: each.statements.vkey for each in registry.trustees()}
        check_trustees(plan, {name: each.statements for name, each in trustees.items() if still.get(name) == each.statements.vkey})
        _check_keys(plan, sent.keys, trustees, registry)
        # (5)
        names = [each.trustee for each in plan.trustees]
        cosigners = {name: key for name in names if (key := trustees[name].cosigner) is not None}
        check_cosigned(plan, sent.registry_checkpoint, registry.registry_log, cosigners)
        # (6)
        members = next((g.members for g in groups_of(request, plan.number, registry) if g.codes == plan.group), ())
        registered = {node.name: node.statements for node in registry.nodes_at(size)}
        roster = roster_from_bits(sent.chosen, members, registered, plan.roster)
        _must(len(roster.nodes) == plan.nodes, "the roster has another number of nodes than the plan")
        # (7)
        member = _place(roster, name, own)
    except CollegiumError as error:
        raise NotVerified(public_text("bad-plan"), place=error.place or "plan", reason="bad-plan") from None
    return Planned(statement_id(sent.note), sent.note, plan, member, logged)


def check_numbers(plan: Plan, layout: Layout, schema: Schema) -> None:
    """Raises NotVerified, reason `bad-plan`, unless every number of the plan is the one that follows from the question."""
    homes = homes_of(layout, schema)
    try:
        tolerance = Tolerance(plan.dropout, plan.colluding)
        check_plan(plan, wanted(layout, plan.nodes, tolerance, homes), homes)
        _must(plan.length == layout.length, "the plan has another length than the tally")
    except CollegiumError as error:
        raise NotVerified(public_text("bad-plan"), place=error.place or "plan", reason="bad-plan") from None


def _check_keys(plan: Plan, notes: Sequence[bytes], trustees: dict[str, Registered], registry: Registry) -> None:
    """KEY of each trustee, in the plan's order: signed by that trustee for its own log, and sealing is what the plan says."""
    _must(len(notes) == len(plan.trustees), "each trustee states its sealing key")
    for each, note in zip(plan.trustees, notes, strict=True):
        trustee = trustees[each.trustee]
        key = TrusteeKey.open(note, [trustee.statements])
        _must(trustee.log is not None and key.log.origin == trustee.log.name, "the sealing key is stated in another log")
        _must(key.sealing == each.sealing, "the plan has another sealing key than its trustee has stated")
        _must(key.until >= plan.deadline, "the sealing key does not serve until the deadline")
        seen = key.registry
        _must(seen.size > registry.size or registry.view_at(seen.size) == seen, "the trustee has seen another registry")


def _place(roster: Roster, name: str, own: Verifier) -> int:
    for member, each in enumerate(roster.nodes):
        if each.node == name and each.key == own.vkey:
            return member
    raise NotVerified("this node is not in the roster under its own key", place="roster")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotVerified(otherwise, place="plan")
