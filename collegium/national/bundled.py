"""A national sum as the bundle of a question shows it: every statement from PLAN to RESULT, and none of the masked vectors.

Who holds a bundle sees that the plan is the one that the question asks for, who took part, that the list was fixed in the
coordinator's log before the trustees unmasked it, and that a trustee drawn by lot signed for the same total. The vectors,
submissions and the trustees' verdicts on them lie in the parties' logs: `collegium audit` adds them up again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from collegium.errors import Invalid, NotVerified, Refused
from collegium.log.checkpoint import open_checkpoint
from collegium.log.cosign import check_quorum
from collegium.log.note import Verifier, encode_base64
from collegium.log.statement import read_statement, statement_id
from collegium.national.figures import NationalSum, read_sum
from collegium.national.groups import Group
from collegium.national.lists import Participants, Roster
from collegium.national.mask import TRUSTEES
from collegium.national.plan import check_plan, check_trustees
from collegium.national.share import Tolerance
from collegium.national.statements import Check, Close, Plan, Result, TrusteeKey, Unmask, lot
from collegium.national.wanted import homes_of, wanted
from collegium.registrar import Registered
from collegium.registry import Registry
from collegium.released import Asking
from collegium.statements import Request

__all__ = ["BundledRound", "Parts", "blobs_of", "check_statement", "read_round"]


class Parts(Protocol):
    """What a round needs of a bundle."""

    @property
    def registry(self) -> Registry: ...
    @property
    def statements(self) -> Mapping[str, bytes]:
        """Notes by their id."""
        ...

    @property
    def blobs(self) -> Mapping[str, bytes]:
        """By SHA-256."""
        ...

    def payload(self, sha256: str, what: str) -> bytes:
        """A blob. Raises NotVerified when it is not there."""
        ...

    def logged(self, note: bytes, what: str, *, index: int | None = None) -> None:
        """Raises NotVerified unless there is a receipt of the coordinator's log for it, with that log's quorum."""
        ...


@dataclass(frozen=True, slots=True)
class BundledRound:
    """A verified round. `submits` are the ids of the participants' SUBMIT by node, `notes` the statements that it rests on."""

    plan_id: str
    plan: Plan
    result: Result
    submits: Mapping[str, str]
    total: NationalSum
    notes: frozenset[bytes]


def read_round(result_id: str, asking: Asking, request: Request, groups: Sequence[Group], size: int, parts: Parts) -> BundledRound:
    """The round that ended in this RESULT, if every step of it that a bundle shows holds.

    1. PLAN: signed by the coordinator and in its log; of this question; of a registry that is a part of ours, at most of `size`
       entries. A question that was asked before is answered with its earlier result: then the plan names the earlier request.
    2. Every number of it follows from the question, the registry's k, and the tolerance it states.
    3. The roster is of registered nodes under their keys, all of one group of the question; the trustees are registered, all three
       have cosigned that registry, and each has signed the sealing key that the plan names, for long enough.
    4. CLOSE: signed by the coordinator and in its log after the plan; the list of participants is of the roster and large enough.
    5. UNMASK: one by each trustee, in the plan's order, for exactly this close.
    6. CHECK by the trustee drawn by lot and RESULT by the coordinator, in its log after the close: both of these statements, and
       of the same total, which is there.

    Args:
        groups: of the question, see `collegium.national.groups`.
        size: entries of the registry of the indicator that uses it.

    Raises:
        NotVerified: with the place.
    """
    registry, place = parts.registry, f"national sum of question {asking.number}"
    by = [registry.coordinator]
    result_note = _found(result_id, "the result", parts, place)
    result = Result.open(result_note, by)
    # (1)
    plan_note = _found(result.plan, "the plan", parts, place)
    plan = Plan.open(plan_note, by)
    _logged(plan_note, plan, "the plan", parts, place)
    if plan.question != asking.digest:
        raise NotVerified("the plan is of another question", place=place)
    if plan.request == asking.request and not (
        plan.number < len(request.questions) and request.questions[plan.number].digest == asking.digest
    ):
        raise NotVerified("the plan is of another question of the request", place=place)
    if plan.registry.size > size or registry.view_at(plan.registry.size) != plan.registry:
        raise NotVerified("the plan is of another registry than ours", place=place, remedy="Fetch the registry again.")
    # (2)
    layout = asking.layout
    homes = homes_of(layout, registry.schemas[layout.question.schema_id])
    try:
        check_plan(plan, wanted(layout, plan.nodes, Tolerance(plan.dropout, plan.colluding), homes), homes)
    except NotVerified:
        raise
    except Invalid as error:
        raise NotVerified(error.text, place=place) from None
    # (3)
    roster = _roster(plan, asking, groups, parts, place)
    trustees = {each.name: each for each in registry.trustees(at=plan.registry.size)}
    check_trustees(plan, {name: each.statements for name, each in trustees.items()})
    _cosigned(plan, trustees, parts, place)
    keys = _keys(plan, parts, place)
    # (4)
    close_note = _found(result.close, "the close", parts, place)
    close = Close.open(close_note, by)
    _logged(close_note, close, "the close", parts, place)
    if close.plan != result.plan or close.log.index <= plan.log.index:
        raise NotVerified("the close belongs to another plan", place=place)
    raw = parts.payload(close.participants.sha256, "the list of participants")
    listed = Participants.from_blob(raw, close.participants).members
    if len(listed) != close.count or close.count < plan.least or listed[-1].member >= plan.nodes:
        raise NotVerified("the list of participants is not one of the plan", place=place)
    # (5)
    unmasks = [_found(each, "a trustee's answer", parts, place) for each in result.unmasks]
    for at, (note, trustee) in enumerate(zip(unmasks, plan.trustees, strict=True)):
        unmask = Unmask.open(note, [Verifier.parse(trustee.key, place=place)])
        if (unmask.plan, unmask.close, unmask.trustee) != (result.plan, result.close, at):
            raise NotVerified(f"{trustee.trustee} unmasked another list", place=place)
        if unmask.masks.size != 8 * layout.length:
            raise NotVerified(f"the masks of {trustee.trustee} have another length than the plan", place=place)
    # (6)
    drawn = lot(result.unmasks)
    check_note = _found(result.check, "the check", parts, place)
    check = Check.open(check_note, [Verifier.parse(plan.trustees[drawn].key, place=place)])
    _logged(result_note, result, "the result", parts, place)
    if (check.plan, check.close, check.unmasks, check.trustee) != (result.plan, result.close, result.unmasks, drawn):
        raise NotVerified("the check is about other statements", place=place)
    if check.total != result.total:
        raise NotVerified("the trustee that added up again came to another total", place=place)
    if (result.count, result.honest) != (close.count, plan.honest) or result.log.index <= close.log.index:
        raise NotVerified("the result is of another list", place=place)
    names = {roster.nodes[each.member].node: each.submit for each in listed}
    total = read_sum(layout, plan, result, parts.payload(result.total.sha256, "the total"), tuple(names))
    notes = frozenset((plan_note, close_note, result_note, check_note, *unmasks, *keys))
    return BundledRound(result.plan, plan, result, names, total, notes)


def check_statement(note: bytes, registry: Registry) -> None:
    """A step of a round that no figure has needed, such as one that has no result yet: its own party has signed it.

    Raises NotVerified or Invalid.
    """
    kind, body = read_statement(note)
    for model in (Plan, Close, Result):
        if kind == model.kind:
            model.open(note, [registry.coordinator])
            return
    for signed in (TrusteeKey, Unmask, Check):
        if kind == signed.kind:
            size = body["registry"]["size"] if isinstance(body.get("registry"), dict) else None
            known = registry.trustees(at=size) if isinstance(size, int) and 0 <= size <= registry.size else []
            signed.open(note, [each.statements for each in known])
            return
    raise NotVerified(f"a {kind} is no step that a bundle holds", place="bundle")


def blobs_of(note: bytes, blobs: Mapping[str, bytes], origin: str) -> tuple[str, ...]:
    """The SHA-256 of what lies beside a step: roster and registry checkpoints, list of participants, total.

    (A bundle has no masks and no vectors.) `origin` is that of the registry's log.
    """
    kind, _ = read_statement(note)
    if kind == Plan.kind:
        plan = Plan.read(note)
        return (plan.roster.sha256, *_registry_checkpoints(plan, origin, blobs))
    if kind == Close.kind:
        return (Close.read(note).participants.sha256,)
    if kind == Result.kind:
        return (Result.read(note).total.sha256,)
    return ()


def _found(identity: str, what: str, parts: Parts, place: str) -> bytes:
    note = parts.statements.get(identity)
    if note is None or statement_id(note) != identity:
        raise NotVerified(f"{what} is missing from the bundle", place=place, remedy="Fetch the result again.")
    return note


def _logged(note: bytes, body: Plan | Close | Result, what: str, parts: Parts, place: str) -> None:
    if body.log.origin != parts.registry.coordinator_log.name:
        raise NotVerified(f"{what} is of another log", place=place)
    parts.logged(note, what, index=body.log.index)


def _roster(plan: Plan, asking: Asking, groups: Iterable[Group], parts: Parts, place: str) -> Roster:
    """Of registered nodes, in one of the question's groups; of this request's own members if the plan was made for it."""
    registry = parts.registry
    roster = Roster.from_blob(parts.payload(plan.roster.sha256, "the roster"), plan.roster)
    if len(roster.nodes) != plan.nodes:
        raise NotVerified("the roster has another number of nodes than the plan", place=place)
    group = next((each for each in groups if each.codes == plan.group), None)
    if group is None:
        raise NotVerified("the plan is of no group of the question", place=place)
    partition = registry.partition(at=plan.registry.size)
    for each in roster.nodes:
        try:
            node = registry.as_of(each.node, plan.registry.size)
        except Refused as error:
            raise NotVerified(error.text, place=place) from None
        if node.role != "node" or node.statements.vkey != each.key:
            raise NotVerified(f"{each.node} is not registered with this key", place=place)
        if plan.request == asking.request and each.node not in group.members:
            raise NotVerified(f"{each.node} is not of the group that the plan is for", place=place)
        if plan.group is not None and (partition is None or node.facts.get(partition.fact) not in plan.group):
            raise NotVerified(f"{each.node} is not of the group that the plan is for", place=place)
    return roster


def _registry_checkpoints(plan: Plan, origin: str, blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    """Checkpoints of the registry's log `origin` of the plan's size, by SHA-256.

    Rounds of one question may rest on several that differ in their cosignatures alone: each was cosigned when its plan was made.
    """
    head = f"{origin}\n{plan.registry.size}\n".encode()
    return {sha256: blob for sha256, blob in sorted(blobs.items()) if blob.startswith(head)}


def _cosigned(plan: Plan, trustees: Mapping[str, Registered], parts: Parts, place: str) -> None:
    """All three trustees stand for there being one registry: nobody was shown one real university among invented ones.

    Every checkpoint of that size is of that registry, and one of them has the cosignatures of all three.
    """
    registry = parts.registry
    found = _registry_checkpoints(plan, registry.registry_log.name, parts.blobs).values()
    if not found:
        raise NotVerified("the registry's checkpoint is missing from the bundle", place=place, remedy="Fetch the result again.")
    cosigners = {each.trustee: key for each in plan.trustees if (key := trustees[each.trustee].cosigner) is not None}
    for note in found:
        head = open_checkpoint(note, registry.registry_log)
        if (head.size, encode_base64(head.root)) != (plan.registry.size, plan.registry.root):
            raise NotVerified("the checkpoint is not of the registry that the plan names", place=place)
    refused: NotVerified | None = None
    for note in found:
        try:
            check_quorum(note, cosigners, TRUSTEES)
        except NotVerified as error:
            refused = refused or error
        else:
            return
    if refused is not None:
        raise refused


def _keys(plan: Plan, parts: Parts, place: str) -> list[bytes]:
    """Each trustee's own word that the sealing key is its own."""
    notes = [note for note in parts.statements.values() if read_statement(note)[0] == TrusteeKey.kind]
    found = []
    for trustee in plan.trustees:
        for note in notes:
            if TrusteeKey.read(note).sealing == trustee.sealing:
                key = TrusteeKey.open(note, [Verifier.parse(trustee.key, place=place)])
                if key.until < plan.deadline:
                    raise NotVerified(f"the sealing key of {trustee.trustee} ends before the round", place=place)
                found.append(note)
                break
        else:
            raise NotVerified(f"{trustee.trustee} has not signed its sealing key", place=place)
    return found
