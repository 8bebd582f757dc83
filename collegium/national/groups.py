"""Over whom a national question is summed: one function, by which coordinator, nodes, library and auditors find the same groups.

Sums over freely chosen sets of universities could be subtracted until one university is left. So a national question asks
everybody, or whole groups of the one partition that the registry has; and where it is answered by a fact, each group is one round
of its own and the national figure is the sum of the groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from collegium.errors import Invalid
from collegium.registration import Partition
from collegium.registry import Registry
from collegium.statements import Request
from collegium.view import View

__all__ = ["Group", "check_selection", "groups_of"]


class Group(NamedTuple):
    """One round of a national question. `codes`: of the partition's group, or None when the sum is over everybody asked.

    `members` are the names of the nodes asked, sorted.
    """

    codes: tuple[str, ...] | None
    members: tuple[str, ...]


def groups_of(request: Request, number: int, registry: Registry) -> tuple[Group, ...]:
    """The rounds of question `number`, in the order of the partition. Groups without any node are left out.

    1. The question exists, its release mode is national, and the registry holds what the request has seen.
    2. The request and the question's view select and tell apart as `check_selection` allows.
    3. Told apart by the fact: the nodes of each selected group. A node whose fact lies in no group is in no sum: it could be in a
       total alone, and would be what a total and its groups differ by. Else one group of all nodes asked.

    Raises:
        Invalid: with the remedy.
    """
    # (1)
    if not 0 <= number < len(request.questions):
        raise Invalid(f"the request has no question {number}", place="request")
    if request.questions[number].mode != "national":
        raise Invalid("the question asks each university for its own figure", place=f"questions.{number}.mode")
    size = request.registry.size
    if registry.view_at(size) != request.registry:
        raise Invalid("the request has seen another registry", place="request.registry", remedy="Fetch the registry again.")
    # (2)
    partition = registry.partition(at=size)
    view = View.from_json(request.views[number], place=f"views.{number}")
    codes = check_selection(request.facts, view.facts, partition)
    # (3)
    asked = registry.nodes_at(size, registry.audience(request))
    if partition is None:
        return (Group(None, tuple(node.name for node in asked)),) if asked else ()
    if codes is None:
        inside = {code for group in partition.groups for code in group}
        members = tuple(node.name for node in asked if node.facts.get(partition.fact) in inside)
        return (Group(None, members),) if members else ()
    found = [Group(each, tuple(node.name for node in asked if node.facts.get(partition.fact) in each)) for each in codes]
    return tuple(group for group in found if group.members)


def check_selection(
    facts: Mapping[str, Sequence[str]] | None, by: Sequence[str], partition: Partition | None
) -> tuple[tuple[str, ...], ...] | None:
    """The partition's groups that a national question is told apart by, or None when it is one sum.

    Args:
        facts: as a request selects nodes; None when it names them.
        by: the facts of the question's view.

    Raises:
        Invalid: nodes by name; a fact that is not the partition's; codes that are no union of whole groups.
    """
    if facts is None:
        raise Invalid(
            "a national sum is not asked of universities by name",
            place="audience",
            remedy="Ask everybody, or select whole groups of the partition by its fact.",
        )
    fact = partition.fact if partition is not None else None
    for name in (*facts, *by):
        if name != fact:
            raise Invalid(
                f"national sums are not told apart by {name}",
                place="facts" if name in facts else "view.facts",
                remedy=f"The federation's partition is by {fact}." if fact else "The federation has no partition: ask everybody.",
            )
    if partition is None:
        return None
    chosen = set(facts[partition.fact]) if partition.fact in facts else None
    known = {code for group in partition.groups for code in group}
    if chosen is not None and chosen - known:
        raise Invalid(f"{min(chosen - known)!r} is in no group of the partition", place="facts", remedy=_said(partition))
    groups = []
    for group in partition.groups:
        inside = len(group) if chosen is None else len(chosen.intersection(group))
        if inside not in (0, len(group)):
            raise Invalid(f"{', '.join(group)} are one group of the partition", place="facts", remedy="Select all of it, or none.")
        if inside:
            groups.append(group)
    return tuple(groups) if by else None


def _said(partition: Partition) -> str:
    return "Its groups are: " + "; ".join(" ".join(group) for group in partition.groups) + "."
