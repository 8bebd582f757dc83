"""BEGIN: whether a plan is what its question asks for, among the universities that there are. Then it is kept: its round is open.

A trustee takes part in no round that it would not defend: the coordinator chooses neither the numbers of a plan nor its members.
"""

from __future__ import annotations

from typing import NamedTuple

from collegium.errors import Failed, NotVerified, Refused
from collegium.layout import compile_layout
from collegium.log.receipt import Receipt
from collegium.log.statement import statement_id
from collegium.national.groups import groups_of
from collegium.national.lists import Roster
from collegium.national.plan import check_plan, check_roster, check_trustees
from collegium.national.share import Tolerance
from collegium.national.statements import Plan
from collegium.national.wanted import homes_of, wanted
from collegium.party.receipts import Logged, check_receipt, keep_logged
from collegium.registry import Registry
from collegium.statements import Request
from collegium_trustee.rounds import Rounds, judged, over
from collegium_trustee.sealing import Sealing
from collegium_trustee.tables import keep_begun

__all__ = ["Given", "begin"]


class Given(NamedTuple):
    """A plan and what it rests on, as they came: its receipt in the coordinator's log, the roster, the registry's checkpoint
    cosigned by the three trustees, and the researcher's request.
    """

    plan: bytes
    receipt: bytes
    roster: bytes
    registry_checkpoint: bytes
    request: bytes


def begin(rounds: Rounds, sealing: Sealing, given: Given) -> None:
    """Take a plan and keep it. A plan that is known is not looked at again.

    1. The plan is signed by the coordinator, and the coordinator's log holds it where it says, confirmed by that log's witnesses.
    2. The request is the one it names, signed by a registered researcher, and the question of that number is the one it names.
    3. This trustee is in the plan under its own key; all three are registered ones; the sealing key is one of its own that serves
       until the deadline.
    4. The registry it names is a part of the one this trustee has verified, and all three trustees have cosigned it; the roster is
       of nodes that were registered there and still are, under the same keys.
    5. The roster has members of one group of the question's, and the plan is for that group.
    6. Every number is computed again from question, schema and number of nodes.
    7. One transaction: the deadline has not passed, and this group of this question of this request has no other plan; the
       coordinator's checkpoint, the plan and its receipt in this log, and the open round.

    Raises:
        NotVerified, Invalid, Refused: with a `reason` of the public table. Failed: this trustee has not learnt so much of the
            registry yet; the same call may be repeated after `Learn`.
    """
    with judged("bad-plan"):
        plan_id = statement_id(given.plan)
        if rounds.find(plan_id) is not None:
            return
        registry = rounds.party.members.registry
        # (1)
        plan = Plan.open(given.plan, [registry.coordinator])
        logged = check_receipt(given.receipt, given.plan, registry)
        if (plan.log.origin, plan.log.index) != (logged.origin, Receipt.parse(given.receipt).index):
            raise NotVerified("the plan is logged at another place than it says", place="plan")
        # (2)
        request = _request(given.request, plan, registry)
        # (3)
        place, key = _own_place(rounds, sealing, plan, registry)
        # (4)
        roster = _roster(given, plan, registry)
        # (5)
        _check_group(request, plan, roster, registry)
        # (6)
        _recompute(request, plan, registry)
    # (7)
    with rounds.journal.write("plan") as log:
        if rounds.found(log.db, plan_id) is not None:
            return
        if plan.deadline <= log.now:
            raise over()
        if not keep_begun(log.db, plan_id, plan):
            raise over()
        keep_logged(log, plan_id, Logged(logged.origin, logged.proof, logged.checkpoint))
        log.keep(Plan.kind, given.plan, request=plan_id)
        log.db.execute(
            "INSERT INTO rounds(plan, deadline, place, sealing, note, roster) VALUES (?, ?, ?, ?, ?, ?)",
            (plan_id, plan.deadline, place, key, given.plan, given.roster),
        )
        # Crash here: nothing of it is there; the coordinator sends it again.
    # Crash here: the round is open; sent again it is found.


def _request(note: bytes, plan: Plan, registry: Registry) -> Request:
    if statement_id(note) != plan.request:
        raise NotVerified("this is not the request that the plan is for", place="request")
    party = registry.party(Request.read(note).researcher)
    if party.role != "researcher":
        raise Refused("only researchers ask", by="identity", place="request", reason="identity")
    request = Request.open(note, [party.statements])
    if plan.number >= len(request.questions) or request.questions[plan.number].digest != plan.question:
        raise NotVerified("this is not the question that the plan is for", place="question")
    return request


def _own_place(rounds: Rounds, sealing: Sealing, plan: Plan, registry: Registry) -> tuple[int, int]:
    """Which of the plan's trustees this is, and the index of its KEY."""
    check_trustees(plan, {trustee.name: trustee.statements for trustee in registry.trustees()})
    names, name = [each.trustee for each in plan.trustees], rounds.party.membership.name
    if name not in names or plan.trustees[names.index(name)].key != rounds.journal.statements.vkey:
        raise NotVerified("this trustee is not in the plan under its own key", place="plan")
    place = names.index(name)
    return place, sealing.serving(plan.trustees[place].sealing, plan.deadline)


def _roster(given: Given, plan: Plan, registry: Registry) -> Roster:
    if plan.registry.size > registry.size:
        raise Failed("this trustee has not verified so much of the registry yet", place="registry", remedy="Send it the rest.")
    if registry.view_at(plan.registry.size) != plan.registry:
        raise NotVerified("the plan has seen another registry", place="registry")
    chosen = {each.trustee for each in plan.trustees}
    cosigners = {each.name: each.cosigner for each in registry.trustees() if each.name in chosen and each.cosigner is not None}
    now = {node.name: node.statements for node in registry.nodes()}  # a coordinator may plan on a view from before a revocation
    then = {node.name: node.statements for node in registry.nodes_at(plan.registry.size)}
    nodes = {name: key for name, key in then.items() if now.get(name) == key}
    return check_roster(plan, given.roster, given.registry_checkpoint, registry.registry_log, cosigners, nodes)


def _check_group(request: Request, plan: Plan, roster: Roster, registry: Registry) -> None:
    if request.registry.size > plan.registry.size:
        raise NotVerified("the plan's registry is older than the request's", place="registry")
    for group in groups_of(request, plan.number, registry):
        if group.codes == plan.group:
            asked = set(group.members)
            if all(each.node in asked for each in roster.nodes):
                return
            raise NotVerified("the roster has a node that the question does not ask", place="roster")
    raise NotVerified("the question is not answered by this group", place="plan")


def _recompute(request: Request, plan: Plan, registry: Registry) -> None:
    question = request.questions[plan.number]
    schema = registry.schemas.get(question.schema_id)
    if schema is None:
        raise NotVerified("the federation has no such schema", place="question", reason="schema")
    layout = compile_layout(question, schema)
    homes = homes_of(layout, schema)
    check_plan(plan, wanted(layout, plan.nodes, Tolerance(plan.dropout, plan.colluding), homes), homes)
