"""One question in both release modes, side by side: who would take part, in how many sums, and how wide the figures would be.

What a coordinator tolerates is its own setting; a plan reckons with the usual one, 5 % missing and 5 % colluding. A sum is planned
for the universities that allow release mode national and are connected; one whose policy wants larger sums then stays away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from collegium.combine import group_label
from collegium.errors import Invalid
from collegium.estimate import ExpectedError, expected_errors
from collegium.layout import Layout
from collegium.national.law import Added, RoundOf
from collegium.national.share import Tolerance
from collegium.national.wanted import homes_of
from collegium.policy import Foreseen
from collegium.registration import Partition
from collegium.schema import Schema
from collegium.sql.release import Mode
from collegium.view import View

__all__ = ["MODES", "USUAL", "Member", "ModePlan", "SumPlan", "compare", "label_of", "noise_of_sums", "sums_of", "with_smallest"]

MODES: tuple[Mode, ...] = ("per_node", "national")
USUAL = Tolerance(50_000, 50_000)


@dataclass(frozen=True, slots=True)
class Member:
    """A university as a mode sees it: `verdicts` has one entry a question, in that mode."""

    name: str
    facts: Mapping[str, str]
    connected: bool
    verdicts: tuple[Foreseen, ...]
    smallest: int  # of so many participants at least a sum must be; 0 when its policy is not known

    def takes_part(self, question: int) -> bool:
        return self.connected and bool(self.verdicts) and self.verdicts[question].word == "allowed"


@dataclass(frozen=True, slots=True)
class SumPlan:
    """One round: `planned` universities on its roster, `counted` of them expected in it, at least `least`, `honest` of them honest.

    `problem` is why it cannot come to a result; then all that are asked are counted.
    """

    codes: tuple[str, ...] | None
    asked: int
    planned: int
    counted: int
    least: int
    honest: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ModePlan:
    """A question in one release mode. `errors` are the national ones, as `QuestionPlan.figures`; none where it is not possible."""

    mode: Mode
    asked: int
    counted: int
    errors: tuple[ExpectedError, ...]
    sums: tuple[SumPlan, ...] = ()
    problem: str = ""


def with_smallest(members: Sequence[Member], views: Sequence[View], partition: Partition | None) -> list[Member]:
    """The same members in release mode national, with those refusing that want larger sums than these would be."""
    refused: set[tuple[str, int]] = set()
    for question, view in enumerate(views):
        for _, group in _groups(members, view, partition):
            planned = sum(each.takes_part(question) for each in group)
            least = USUAL.least(planned or len(group))
            refused |= {(each.name, question) for each in group if each.smallest > least}
    return [
        replace(
            each,
            verdicts=tuple(
                Foreseen("refused", "too-few") if verdict.word == "allowed" and (each.name, number) in refused else verdict
                for number, verdict in enumerate(each.verdicts)
            ),
        )
        for each in members
    ]


def sums_of(members: Sequence[Member], question: int, view: View, partition: Partition | None) -> tuple[SumPlan, ...]:
    """The rounds of a question. `members` are as `with_smallest` leaves them."""
    found = []
    for codes, group in _groups(members, view, partition):
        willing = [each for each in group if each.takes_part(question) or _too_few(each, question)]
        counted = sum(each.takes_part(question) for each in group)
        planned = len(willing) or len(group)
        try:
            honest = USUAL.honest(planned)
        except Invalid:
            found.append(SumPlan(codes, len(group), planned, counted, USUAL.least(planned), 0, "too few universities"))
            continue  # nothing of it can be told
        least = USUAL.least(planned)
        if counted >= least:
            found.append(SumPlan(codes, len(group), planned, counted, least, honest))
        else:
            why = "no university is expected to take part at once" if not willing else "some want larger sums, too few are left"
            found.append(SumPlan(codes, len(group), planned, planned, least, honest, why))
    return tuple(found)


def noise_of_sums(sums: Sequence[SumPlan], homes: int) -> tuple[RoundOf, ...]:
    """What the noise of their sum hangs on; of rounds that can come to something."""
    return tuple(RoundOf(homes, each.counted, each.honest) for each in sums if each.honest)


def compare(
    layout: Layout, view: View, schema: Schema, per_node: Sequence[Member], national: Sequence[Member], question: int,
    partition: Partition | None, rows: int,
) -> tuple[ModePlan, ...]:  # fmt: skip
    """The question in both modes. `rows` are assumed in each cell of the national table, as many in either mode."""
    counted = sum(each.takes_part(question) for each in per_node)
    added: Added = counted or len(per_node)
    plans = [ModePlan("per_node", len(per_node), counted, tuple(expected_errors(layout, view, schema, nodes=added, rows=rows)))]
    problem = ""
    if any(fact != (partition.fact if partition is not None else None) for fact in view.facts):
        problem = f"not told apart by {', '.join(view.facts)}: " + (
            f"the federation's partition is by {partition.fact}" if partition is not None else "the federation has no partition"
        )
    sums = sums_of(national, question, view, partition) if not problem else ()
    rounds = noise_of_sums(sums, homes_of(layout, schema))
    errors = tuple(expected_errors(layout, view, schema, nodes=rounds, rows=rows)) if rounds else ()
    if not problem and not rounds:
        problem = "too few universities: a sum needs at least three"
    taking = sum(each.counted for each in sums if not each.problem)
    plans.append(ModePlan("national", len(national), taking, errors, sums, problem))
    return tuple(plans)


def _too_few(member: Member, question: int) -> bool:
    """On the roster, and then stays away."""
    return member.connected and bool(member.verdicts) and member.verdicts[question].reason == "too-few"


def _groups(
    members: Sequence[Member], view: View, partition: Partition | None
) -> list[tuple[tuple[str, ...] | None, list[Member]]]:
    """As `collegium.national.groups.groups_of` makes them of nodes that are asked."""
    if partition is None:
        return [(None, list(members))] if members else []
    fact = partition.fact
    if not view.facts:
        inside = {code for group in partition.groups for code in group}
        whole = [each for each in members if each.facts.get(fact) in inside]
        return [(None, whole)] if whole else []
    found = [(codes, [each for each in members if each.facts.get(fact) in codes]) for codes in partition.groups]
    return [(codes, group) for codes, group in found if group]


def label_of(one: SumPlan) -> str:
    """The group's codes, "" where the sum is over everybody."""
    return group_label(one.codes) if one.codes is not None else ""
