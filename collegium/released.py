"""What a node's release must prove before anybody adds it: the same steps at the coordinator, the researcher and the auditor.

A node is believed about its own figures and about nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from collegium.accounting import scale_is_right
from collegium.errors import NotVerified
from collegium.layout import Layout
from collegium.log.statement import statement_id
from collegium.registrar import Registered
from collegium.statements import Decision, LogPlace, RegistryView, Release, Withdrawal

__all__ = ["Asking", "Roots", "verify_decision", "verify_release", "verify_withdrawal"]

Roots = Callable[[int], str | None]
"""The root of the reader's own registry at a size; None beyond its end."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Which question the statements must be about."""

    request: str
    number: int
    layout: Layout
    digest: str


def verify_decision(note: bytes, asking: Asking, node: Registered, roots: Roots, plan: str | None = None) -> Decision:
    """A node's decision on one question.

    Args:
        plan: the id of the national sum's plan that the decision was given in reply to; None in reply to the request itself.

    1. It is signed by the key that the registry has for the node, for an entry of the node's own log.
    2. The registry the node had verified is a part of ours.
    3. It is of this request, this number and this question.
    4. A charge is exactly the rho of the question, for its unit and dataset; any other verdict costs nothing.
    5. A charge is for this plan, or for none where there is none. A question with release mode national is charged for a plan
       alone, and any other never. A refusal may name the plan that it turns down, and no other.

    Raises NotVerified or Invalid; nothing of such an answer may be used.
    """
    # (1), (2)
    decision = Decision.open(note, [node.statements])
    _check_frame(decision.log, decision.registry, node, roots)
    # (3)
    _must(decision.request == asking.request and decision.number == asking.number, "the decision is of another request")
    _must(decision.question in (None, asking.digest), "the decision is of another question")
    # (4)
    question = asking.layout.question
    if decision.verdict == "charge":
        _must(decision.rho == question.rho, "the charge is not the question's rho")
        _must(decision.unit == asking.layout.unit, "the charge is of another privacy unit")
        _must(decision.dataset == question.dataset, "the charge is of another dataset")
    else:
        _must(not decision.rho, "only a charge costs something")
    # (5)
    if decision.verdict == "charge":
        _must(decision.plan == plan, "the charge is for another plan, or for none")
        _must((plan is not None) == (question.mode == "national"), "a national sum, and nothing else, is charged for a plan")
    else:
        _must(decision.plan in (None, plan), "the decision is about another plan")
        _must(decision.verdict != "reuse" or question.mode == "per_node", "no part of a national sum goes out again")
    return decision


def verify_release(note: bytes, payload: bytes, decision: Decision, asking: Asking, node: Registered, roots: Roots) -> Release:
    """The release that a verified decision lets out.

    1. It is signed by the key that the registry has for the node, for an entry of the node's own log.
    2. It is of this question, of its schema, and of the decision's snapshot.
    3. After a charge it is of this request and names this very decision; after a reuse it is the original that the reuse names.
    4. Sizes and scales are those of the question's layout, each scale as the published formula has it.
    5. The payload is the one that the release names.

    Raises NotVerified or Invalid; nothing of such an answer may be used.
    """
    # (1)
    release = Release.open(note, [node.statements])
    _check_frame(release.log, release.registry, node, roots)
    # (2)
    _must(release.question == asking.digest == decision.question, "the release is of another question")
    _must(release.schema_id == asking.layout.question.schema_id, "the release is of another schema")
    _must(release.snapshot == decision.snapshot, "release and decision are of different snapshots")
    # (3)
    if decision.verdict == "charge":
        _must(release.request == asking.request and release.number == asking.number, "the release is of another request")
        _must(release.decision == decision.log.index, "the release names another decision")
    else:
        original = decision.original
        _must(original is not None and decision.verdict == "reuse", "this decision lets nothing out")
        assert original is not None
        _must(original.sha256 == statement_id(note), "the release is not this reuse's original")
        _must(original.index == release.log.index, "the release is not this reuse's original")
    # (4)
    parts = asking.layout.parts
    _must(len(release.parts) == len(parts), "another number of parts")
    for part, expected in zip(release.parts, parts, strict=True):
        _must(part.cells == expected.width, "a part has another number of cells")
        _must(scale_is_right(part.scale, expected), "a scale is not that of the published formula")
    # (5)
    _must(release.payload.size == len(payload) == 8 * asking.layout.length, "the payload has another size")
    _must(release.payload.sha256 == hashlib.sha256(payload).hexdigest(), "the payload is not the one released")
    return release


def verify_withdrawal(note: bytes, node: Registered) -> Withdrawal:
    """A node's withdrawal of one of its own releases."""
    withdrawal = Withdrawal.open(note, [node.statements])
    _must(node.log is not None and withdrawal.log.origin == node.log.name, "the withdrawal is of another log")
    return withdrawal


def _check_frame(place: LogPlace, view: RegistryView, node: Registered, roots: Roots) -> None:
    """Every node statement names its own log and a registry it has verified; both must be ones we know."""
    _must(node.log is not None and place.origin == node.log.name, "the statement is of another log")
    _must(roots(view.size) == view.root, "the node has verified another registry than ours")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotVerified(otherwise, place="answer", remedy="Do not use it; keep it as evidence.")
