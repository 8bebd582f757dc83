"""From the nodes' releases, or from national sums, to the national table: one addition a group of nodes, then post-processing.

Everything here is a function of signed things (question, view, schema, registry facts, releases), so anybody who holds them
recomputes the same bytes. Nothing here costs privacy: it reads noisy figures only.

    table = combine(layout, view, schema, releases, asked)      # by national total and the view's facts
    table = combine(layout, view, schema, releases, asked, by="node")
    table = combine(layout, view, schema, (), asked, sums=sums, groups=groups)      # release mode national
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from collegium.addition import NodeRelease, add, read_release
from collegium.errors import Invalid, NotVerified
from collegium.figures import describe, figures
from collegium.layout import Layout
from collegium.marginal import figures_of_sets, positions
from collegium.national.figures import NationalSum, in_steps
from collegium.national.law import Added
from collegium.schema import UNKNOWN, Dataset, Schema
from collegium.selection import select
from collegium.table import TOTAL, Coverage, FactGroup, Figure, MissingNode, Row, Table
from collegium.view import GroupColumn, View, check_view

__all__ = ["JOINED", "AskedNode", "NationalSum", "NodeRelease", "combine", "group_label"]

NO_ANSWER = "no-answer"

JOINED = "+"
"""Between the codes of a group of several, where a national sum is told apart by it."""


@dataclass(frozen=True, slots=True)
class AskedNode:
    """A node that the request was addressed to, with its public facts as registered.

    `enrolment` is 0 where the registry knows none. `missing` is the reason key when there is no release of it.
    """

    node: str
    facts: Mapping[str, str] = field(default_factory=dict)
    enrolment: int = 0
    missing: str = NO_ANSWER


def combine(
    layout: Layout,
    view: View,
    schema: Schema,
    releases: Sequence[NodeRelease],
    asked: Sequence[AskedNode],
    *,
    by: Literal["facts", "node"] = "facts",
    sums: Sequence[NationalSum] = (),
    groups: Sequence[tuple[str, ...]] = (),
) -> Table:
    """The table of one question. The order of releases, of sums and of asked nodes does not matter.

    Of a question with release mode national there are no releases but `sums`, at most one a group; `groups` are the codes of all
    groups that it is told apart by (`collegium.national.groups.groups_of`), whether they came to a sum or not.

    The steps:
        1. the view fits the question; no node is asked twice, answers twice, or answers unasked;
        2. every release is one tally of this layout with the noise its charge buys; every sum is over one of the groups;
        3. the fact groups: all nodes asked, then each combination of the view's facts that occurs among them (or each node, or
           each group of a national question);
        4. in each group with an answer the releases (or sums) are added, and the figures made from the sums;
        5. rows are chosen and ordered as the view says (not in a table by node, which shows everything).

    Raises:
        Invalid: the view does not fit, or a fact is not in the schema; or a national sum is wanted by node.
        NotVerified: a release does not fit the layout, its scales are wrong, or a node is there that must not be.
    """
    # (1)
    check_view(view, layout.question)
    for fact in view.facts:
        if fact not in schema.facts:
            raise Invalid(f"there is no fact {fact!r}", place="view.facts", remedy=f"The schema has: {', '.join(schema.facts)}.")
    nodes = {one.node: one for one in asked}
    if len(nodes) != len(asked):
        raise NotVerified("a node is asked twice", place="asked")
    national = layout.question.mode == "national"
    if national and by == "node":
        raise Invalid("no university's own figure exists", place="by", remedy="Ask again in release mode per_node to see them.")
    if releases if national else sums or groups:
        raise NotVerified("what was added is of the other release mode", place="releases")
    answered = [release.node for release in releases] + [name for each in sums for name in each.nodes]
    if len(set(answered)) != len(answered):
        raise NotVerified("a node's release is there twice", place="releases")
    for name in answered:
        if name not in nodes:
            raise NotVerified(f"{name} was not asked", place="releases")
    # (2)
    vectors = {release.node: read_release(layout, release) for release in releases}
    if national:
        _check_groups(sums, groups, view, nodes)
    # (3)
    everyone = [nodes[name] for name in sorted(nodes)]
    tables: list[tuple[dict[str, str], str | None, list[AskedNode]]] = [({}, None, everyone)]
    if by == "node":
        tables += [({fact: one.facts.get(fact, UNKNOWN) for fact in view.facts}, one.node, [one]) for one in everyone]
    elif national and view.facts:
        tables += [(facts, None, members) for facts, members in _by_groups(view.facts[0], groups, schema, everyone)]
    elif view.facts:
        tables += [(facts, None, members) for facts, members in _by_facts(view.facts, schema, everyone)]
    # (4)
    dataset = schema.dataset(layout.question.dataset)
    cells = _labels(layout, view)
    rows: list[Row] = []
    for number, (_, _, members) in enumerate(tables):
        present = [vectors[one.node] for one in members if one.node in vectors]
        added: Added = len(present)
        if national:
            names = {one.node for one in members}
            here = sorted((each for each in sums if names.issuperset(each.nodes)), key=lambda each: each.codes or ())
            present, added = [in_steps(layout, each) for each in here], tuple(each.noise for each in here)
        columns = _columns(layout, view, dataset, present, added, len(cells))
        for cell, labels in enumerate(cells):
            rows.append(Row(of=number, group=labels, figures=tuple(column[cell] for column in columns)))
    # (5)
    selection = None
    if by == "facts" and (view.having is not None or view.order is not None or view.limit is not None):
        whole = [row for row in rows if row.of == 0] if view.facts else []
        place = _places(layout, view, schema, [facts for facts, _, _ in tables])
        chosen, selection = select(rows[len(whole) :], view.having, view.order or (), view.limit, place)
        rows = whole + chosen
    return Table(
        group=tuple(axis.column for axis in layout.axes),
        facts=view.facts,
        measures=tuple(describe(layout, measure, dataset) for measure in view.measures),
        fact_groups=tuple(
            FactGroup(facts=facts, node=node, coverage=_coverage(members, set(answered))) for facts, node, members in tables
        ),
        rows=tuple(rows),
        selection=selection,
    )


def group_label(codes: Sequence[str]) -> str:
    """What stands in a table for a group of the registry's partition."""
    return JOINED.join(codes)


def _labels(layout: Layout, view: View) -> list[tuple[str, ...]]:
    """The labels of the rows of one fact group: of all cells, or of the cells of one grouping set after the other."""
    titles = {column.group: column.labels for column in view.columns if isinstance(column, GroupColumn)}
    axes = [titles.get(axis.column) or axis.labels for axis in layout.axes]
    if view.sets is None:
        return list(product(*axes))
    kept = [
        [labels if axis.column in keys else (TOTAL,) for axis, labels in zip(layout.axes, axes, strict=True)] for keys in view.sets
    ]
    return [labels for each in kept for labels in product(*each)]


def _places(layout: Layout, view: View, schema: Schema, groups: Sequence[Mapping[str, str]]) -> Callable[[Row, str], int]:
    """Where a row stands on one key, counted along the public list; a row that adds up over the key comes last."""
    titles = {column.group: column.labels for column in view.columns if isinstance(column, GroupColumn)}
    keys = {axis.column: number for number, axis in enumerate(layout.axes)}
    along = {axis.column: {label: at for at, label in enumerate(titles.get(axis.column) or axis.labels)} for axis in layout.axes}
    along |= {fact: {code: at for at, code in enumerate(schema.codes[schema.facts[fact].codes])} for fact in view.facts}
    for fact in view.facts:
        for label in {group.get(fact, UNKNOWN) for group in groups} - along[fact].keys() - {UNKNOWN}:
            along[fact][label] = min(along[fact].get(code, len(along[fact])) for code in label.split(JOINED))

    def place(row: Row, key: str) -> int:
        label = row.group[keys[key]] if key in keys else groups[row.of].get(key, UNKNOWN)
        return along[key].get(label, len(along[key]))

    return place


def _columns(
    layout: Layout, view: View, dataset: Dataset, present: Sequence[NDArray[np.int64]], added: Added, rows: int
) -> list[list[Figure]]:
    if not present:  # a missing value is never a zero
        return [[Figure(reason=NO_ANSWER)] * rows for _ in view.measures]
    sums = add(present, layout.length)
    if view.sets is not None:
        sets = [positions(layout, keys) for keys in view.sets]
        found = [figures_of_sets(layout, measure, dataset, sums, added, sets) for measure in view.measures]
        return [[figure for figures in each for figure in figures] for each in found]
    return [figures(layout, measure, dataset, sums, added) for measure in view.measures]


def _check_groups(
    sums: Sequence[NationalSum], groups: Sequence[tuple[str, ...]], view: View, nodes: Mapping[str, AskedNode]
) -> None:
    """Every sum is over nodes of one group, and no group has two; without the view's fact there is one sum of everybody."""
    allowed: list[tuple[str, ...] | None] = [*groups] if view.facts else [None]
    for each in sums:
        if each.codes not in allowed:
            raise NotVerified("a sum is over no group of the question, or there are two of one", place="national sum")
        allowed.remove(each.codes)
        if each.codes is not None and any(nodes[name].facts.get(view.facts[0]) not in each.codes for name in each.nodes):
            raise NotVerified("a sum has a participant of another group", place="national sum")


def _by_groups(
    fact: str, groups: Sequence[tuple[str, ...]], schema: Schema, everyone: Sequence[AskedNode]
) -> list[tuple[dict[str, str], list[AskedNode]]]:
    """The groups of a national question in the order of the schema's code list, each where its first code stands."""
    order = {code: place for place, code in enumerate(schema.codes[schema.facts[fact].codes])}
    ordered = sorted(groups, key=lambda codes: min((order.get(code, len(order)), code) for code in codes))
    return [({fact: group_label(codes)}, [one for one in everyone if one.facts.get(fact) in codes]) for codes in ordered]


def _by_facts(facts: Sequence[str], schema: Schema, everyone: Sequence[AskedNode]) -> list[tuple[dict[str, str], list[AskedNode]]]:
    """The combinations that occur among the nodes asked, in the order of the schema's code lists, `unknown` last."""
    order = {fact: {code: place for place, code in enumerate(schema.codes[schema.facts[fact].codes])} for fact in facts}
    found: dict[tuple[str, ...], list[AskedNode]] = {}
    for one in everyone:
        found.setdefault(tuple(one.facts.get(fact, UNKNOWN) for fact in facts), []).append(one)

    def place(codes: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
        return tuple((order[fact].get(code, len(order[fact])), code) for fact, code in zip(facts, codes, strict=True))

    return [(dict(zip(facts, codes, strict=True)), found[codes]) for codes in sorted(found, key=place)]


def _coverage(members: Sequence[AskedNode], answered: set[str]) -> Coverage:
    return Coverage(
        asked=len(members),
        answered=sum(one.node in answered for one in members),
        enrolment_asked=sum(one.enrolment for one in members),
        enrolment_answered=sum(one.enrolment for one in members if one.node in answered),
        missing=tuple(MissingNode(node=one.node, reason=one.missing) for one in members if one.node not in answered),
    )
