"""Making a plan from compiled questions, the registry's public facts and what the nodes have published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import TYPE_CHECKING

from collegium.accounting import epsilon_of, guarantee_sentence
from collegium.bias import bias_notes
from collegium.errors import Invalid
from collegium.estimate import ExpectedError, expected_errors
from collegium.figures import describe
from collegium.layout import Layout, compile_layout
from collegium.national.law import Added
from collegium.national.wanted import homes_of
from collegium.plan import Expected, GroupOfNodes, NodePlan, Plan, QuestionPlan, UnitCost
from collegium.plan_modes import MODES, Member, compare, label_of, noise_of_sums, with_smallest
from collegium.policy import Foreseen, Priced, PublishedPolicy, foresee, read_policy
from collegium.registrar import Registered
from collegium.registration import Partition
from collegium.schema import UNKNOWN, Dataset, Schema
from collegium.sql.release import Mode
from collegium.view import Measure, View

if TYPE_CHECKING:
    from collegium.asking import Prepared
    from collegium.registry import Registry
    from collegium.v1.federation_pb2 import NodeLine

__all__ = ["Published", "assemble", "make_plan", "published"]

UNKNOWN_ENROLMENT = 1000  # persons, assumed where the registry knows no enrolment at all


@dataclass(frozen=True, slots=True)
class Published:
    """What one node says of itself: its own word, except the policy, which it has signed."""

    connected: bool
    datasets: tuple[str, ...]
    policy: PublishedPolicy | None


def published(registry: Registry, lines: Sequence[NodeLine]) -> dict[str, Published]:
    """By node name, every policy's signature verified."""
    parties = {party.name: party for party in registry.nodes()}
    return {
        line.name: Published(line.connected, tuple(line.status.datasets), read_policy(line.status.policy, parties[line.name]))
        for line in lines
        if line.name in parties
    }


def make_plan(
    prepared: Prepared,
    registry: Registry,
    said: Mapping[str, Published],
    *,
    purpose: str = "",
    expect: int | None = None,
    target: str = "",
) -> Plan:
    """The plan of a request that was prepared and not sent.

    Args:
        said: what the nodes have published, see `published`.
        expect: how many rows the questions will find nationally, if the asker knows better than the registry's enrolment.
    """
    layouts = [compile_layout(question, registry.schema) for question in prepared.questions]
    nothing = Published(False, (), None)
    nodes = [
        _node(registry.party(name), said.get(name, nothing), layouts, prepared, registry, purpose) for name in prepared.audience
    ]
    schema, delta = registry.schema, registry.founding.delta
    return assemble(layouts, prepared.views, nodes, schema, delta, expect=expect, target=target, partition=registry.partition())


def assemble(
    layouts: Sequence[Layout],
    views: Sequence[View],
    nodes: Sequence[NodePlan],
    schema: Schema,
    delta: str,
    *,
    expect: int | None = None,
    target: str = "",
    partition: Partition | None = None,
) -> Plan:
    """The plan of compiled questions, one view each, at these nodes. Arguments as in `make_plan`."""
    nodes = _staying_away(nodes, layouts, views, partition)
    weights, assumed = _rows_of(nodes, expect)
    digests = [layout.question.digest for layout in layouts]
    units: dict[str, int] = {}
    sums: dict[str, int] = {}
    for layout in {layout.question.digest: layout for layout in layouts}.values():  # asked twice, paid once
        units[layout.unit] = units.get(layout.unit, 0) + layout.question.rho
        sums[layout.unit] = sums.get(layout.unit, 0) + (layout.question.rho if layout.question.mode == "national" else 0)
    cost = tuple(_cost(unit, rho, sums[unit], schema, delta) for unit, rho in units.items())
    return Plan(
        questions=tuple(
            _question(layout, view, nodes, weights, schema, digests.index(layout.question.digest), number, partition)
            for number, (layout, view) in enumerate(zip(layouts, views, strict=True))
        ),
        nodes=tuple(nodes),
        cost=cost,
        delta=delta,
        guarantees=tuple(guarantee_sentence(each.rho, delta, each.title, each.nodes, national=each.sums) for each in cost),
        assumed=assumed,
        target=target,
    )


def _cost(unit: str, rho: int, sums: int, schema: Schema, delta: str) -> UnitCost:
    found = schema.units[unit]
    many = found.max_nodes_per_person
    whole = (rho - sums) * many + sums  # multiplied first, converted afterwards: epsilon does not add up
    return UnitCost(unit, found.title.get("en"), rho, epsilon_of(rho, delta), many, whole, epsilon_of(whole, delta), sums)


def _staying_away(
    nodes: Sequence[NodePlan], layouts: Sequence[Layout], views: Sequence[View], partition: Partition | None
) -> list[NodePlan]:
    """The nodes, those refusing a national sum that want larger ones than it would be."""
    allowed = with_smallest(_members(nodes, "national"), views, partition)
    return [
        replace(
            node,
            by_mode={**node.by_mode, "national": member.verdicts},
            verdicts=tuple(
                member.verdicts[number] if layout.question.mode == "national" and member.verdicts else own
                for number, (own, layout) in enumerate(zip(node.verdicts, layouts, strict=True))
            ),
        )
        for node, member in zip(nodes, allowed, strict=True)
    ]


def _members(nodes: Sequence[NodePlan], mode: Mode) -> list[Member]:
    return [Member(node.name, node.facts, node.connected, node.by_mode.get(mode, ()), node.smallest) for node in nodes]


def _node(
    party: Registered, said: Published, layouts: Sequence[Layout], prepared: Prepared, registry: Registry, purpose: str
) -> NodePlan:
    policy = said.policy
    researcher = registry.party(prepared.request.researcher)

    def foreseen(mode: Mode | None) -> tuple[Foreseen, ...]:
        questions = [
            Priced(layout.question.dataset, layout.unit, layout.question.rho, layout.question.digest, mode or layout.question.mode)
            for layout in layouts
        ]
        return tuple(foresee(policy, questions, researcher=researcher.name, key=researcher.statements.vkey, purpose=purpose))

    datasets = policy.datasets if policy is not None else said.datasets
    return NodePlan(
        name=party.name,
        facts=party.facts,
        enrolment=party.enrolment,
        connected=said.connected,
        served=tuple(layout.question.dataset in datasets if datasets else None for layout in layouts),
        verdicts=foreseen(None),
        budgets={unit: each for unit, each in policy.budgets.items() if unit in {layout.unit for layout in layouts}}
        if policy
        else {},
        policy_time=policy.time if policy is not None else 0,
        by_mode={mode: foreseen(mode) for mode in MODES},
        smallest=policy.smallest if policy is not None else 0,
    )


def _rows_of(nodes: Sequence[NodePlan], expect: int | None) -> tuple[dict[str, float], str]:
    """Assumed rows of each node, all cells together, and the sentence that says from what."""
    known = [node.enrolment for node in nodes if node.enrolment]
    usual = median_low(known) if known else UNKNOWN_ENROLMENT
    weights = {node.name: float(node.enrolment or usual) for node in nodes}
    if expect is not None:
        whole = sum(weights.values())
        return {name: expect * weight / whole for name, weight in weights.items()}, (
            f"{expect:,} rows in all, as you said, shared among the universities by known enrolment and evenly among the cells."
        )
    if not known:
        return weights, f"{UNKNOWN_ENROLMENT:,} rows at each university (no enrolment is known), evenly among the cells."
    text = "as many rows at each university as its known enrolment, evenly among the cells"
    missing = len(nodes) - len(known)
    text += f"; {usual:,} at the {missing} whose enrolment is not known" if missing else ""
    return weights, text + ". Filters are not taken into account: say --expect ROWS if you know better."


def _question(
    layout: Layout,
    view: View,
    nodes: Sequence[NodePlan],
    weights: Mapping[str, float],
    schema: Schema,
    first: int,
    number: int,
    partition: Partition | None,
) -> QuestionPlan:
    """`first` is the place of the first statement with this question: what later ones show is paid there."""
    dataset = schema.datasets[layout.question.dataset]
    answering = [node for node in nodes if node.answers]
    counted = {node.name for node in answering or nodes}
    filled = math.prod(max(1, axis.size - 1) for axis in layout.axes)  # every cell but those of `unknown`

    def group(members: Sequence[NodePlan], facts: Mapping[str, str]) -> GroupOfNodes:
        present = [node for node in members if node.name in counted]
        rows = sum(weights[node.name] for node in present) / filled
        return GroupOfNodes(facts, len(members), len(present), max(1, round(rows)))

    def errors(of: GroupOfNodes, added: Added = 0) -> list[ExpectedError]:
        return expected_errors(layout, view, schema, nodes=added or max(1, of.counted), rows=of.rows)

    grouped = bool(view.facts)
    national = group(nodes, {})
    sides = _members(nodes, "per_node"), _members(nodes, "national")
    modes = compare(layout, view, schema, *sides, number, partition, national.rows)
    usual = median_low([weights[name] for name in counted])
    typical = GroupOfNodes({}, 1, 1, max(1, round(usual / filled)))
    if layout.question.mode == "national":
        facts, homes = tuple(view.facts), homes_of(layout, schema)
        if not modes[1].errors:
            raise Invalid(modes[1].problem, place=f"questions.{number}", remedy="Ask in release mode per_node.")
        everywhere, alone, groups, by_group = list(modes[1].errors), [], [], []
        for one in modes[1].sums if facts else ():
            here = group([node for node in nodes if node.facts.get(facts[0]) in (one.codes or ())], {facts[0]: label_of(one)})
            able = bool(one.honest) and not (one.problem and answering)
            groups.append(replace(here, counted=one.counted if able else 0))
            by_group.append(errors(here, noise_of_sums([one], homes)) if able else everywhere)
    else:
        facts = tuple(view.facts) or tuple(schema.facts)[:1]
        members: dict[tuple[str, ...], list[NodePlan]] = {}
        for node in nodes:
            members.setdefault(tuple(node.facts.get(fact, UNKNOWN) for fact in facts), []).append(node)
        ordered = sorted(members.items()) if facts else []
        groups = [group(found, dict(zip(facts, codes, strict=True))) for codes, found in ordered]
        everywhere, alone = errors(national), errors(typical)
        by_group = [errors(each) for each in groups]
    figures = tuple(
        Expected(
            label=national_error.label,
            kind=measure.kind if measure.of is None else f"difference of {measure.of[0]}",
            unit=_unit(measure, dataset),
            national=national_error,
            typical=alone[place] if alone else None,
            groups=tuple(each[place] for each in by_group),
            points=describe(layout, measure, dataset).percent,
        )
        for place, national_error in enumerate(everywhere)
        for measure in (view.measures[national_error.measure],)
    )
    return QuestionPlan(
        dataset=layout.question.dataset,
        unit=layout.unit,
        rho=layout.question.rho,
        cells=layout.cells,
        values=layout.length,
        figures=figures,
        national=national,
        typical=typical,
        fact=facts,
        grouped=grouped,
        groups=tuple(groups),
        notes=tuple(bias_notes(layout, dataset)),
        first=first,
        mode=layout.question.mode,
        modes=modes,
    )


def _unit(measure: Measure, dataset: Dataset) -> str:
    """Of the half width; none for counts."""
    if measure.kind == "entropy":
        return "bits"
    if measure.column is None or measure.kind in ("histogram", "ratio", "share", "top_share"):
        return ""
    unit = dataset.columns[measure.column].unit
    return f"{unit}²" if unit and measure.kind == "variance" else unit
