"""From the nodes' releases to the national table: one addition a group of nodes, then post-processing.

Everything here is a function of signed things (question, view, schema, registry facts, releases), so anybody who holds them
recomputes the same bytes. Nothing here costs privacy: it reads noisy figures only.

    table = combine(layout, view, schema, releases, asked)      # by national total and the view's facts
    table = combine(layout, view, schema, releases, asked, by="node")
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
from collegium.schema import UNKNOWN, Dataset, Schema
from collegium.selection import select
from collegium.table import TOTAL, Coverage, FactGroup, Figure, MissingNode, Row, Table
from collegium.view import GroupColumn, View, check_view

__all__ = ["AskedNode", "NodeRelease", "combine"]

NO_ANSWER = "no-answer"


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
) -> Table:
    """The table of one question. The order of releases and of asked nodes does not matter.

    The steps:
        1. the view fits the question; no node is asked twice, answers twice, or answers unasked;
        2. every release is one tally of this layout with the noise its charge buys;
        3. the fact groups: all nodes asked, then each combination of the view's facts that occurs among them (or each node);
        4. in each group with an answer the releases are added, and the figures made from the sums;
        5. rows are chosen and ordered as the view says (not in a table by node, which shows everything).

    Raises:
        Invalid: the view does not fit, or a fact is not in the schema.
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
    given = {release.node: release for release in releases}
    if len(given) != len(releases):
        raise NotVerified("a node's release is there twice", place="releases")
    for name in given:
        if name not in nodes:
            raise NotVerified(f"{name} was not asked", place="releases")
    # (2)
    vectors = {name: read_release(layout, given[name]) for name in sorted(given)}
    # (3)
    everyone = [nodes[name] for name in sorted(nodes)]
    groups: list[tuple[dict[str, str], str | None, list[AskedNode]]] = [({}, None, everyone)]
    if by == "node":
        groups += [({fact: one.facts.get(fact, UNKNOWN) for fact in view.facts}, one.node, [one]) for one in everyone]
    elif view.facts:
        groups += [(facts, None, members) for facts, members in _by_facts(view.facts, schema, everyone)]
    # (4)
    dataset = schema.dataset(layout.question.dataset)
    cells = _labels(layout, view)
    rows: list[Row] = []
    for number, (_, _, members) in enumerate(groups):
        present = [vectors[one.node] for one in members if one.node in vectors]
        columns = _columns(layout, view, dataset, present, len(cells))
        for cell, labels in enumerate(cells):
            rows.append(Row(of=number, group=labels, figures=tuple(column[cell] for column in columns)))
    # (5)
    selection = None
    if by == "facts" and (view.having is not None or view.order is not None or view.limit is not None):
        national = [row for row in rows if row.of == 0] if view.facts else []
        place = _places(layout, view, schema, [facts for facts, _, _ in groups])
        chosen, selection = select(rows[len(national) :], view.having, view.order or (), view.limit, place)
        rows = national + chosen
    return Table(
        group=tuple(axis.column for axis in layout.axes),
        facts=view.facts,
        measures=tuple(describe(layout, measure, dataset) for measure in view.measures),
        fact_groups=tuple(
            FactGroup(facts=facts, node=node, coverage=_coverage(members, set(given))) for facts, node, members in groups
        ),
        rows=tuple(rows),
        selection=selection,
    )


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

    def place(row: Row, key: str) -> int:
        label = row.group[keys[key]] if key in keys else groups[row.of].get(key, UNKNOWN)
        return along[key].get(label, len(along[key]))

    return place


def _columns(layout: Layout, view: View, dataset: Dataset, present: Sequence[NDArray[np.int64]], rows: int) -> list[list[Figure]]:
    if not present:  # a missing value is never a zero
        return [[Figure(reason=NO_ANSWER)] * rows for _ in view.measures]
    sums = add(present, layout.length)
    if view.sets is not None:
        sets = [positions(layout, keys) for keys in view.sets]
        found = [figures_of_sets(layout, measure, dataset, sums, len(present), sets) for measure in view.measures]
        return [[figure for figures in each for figure in figures] for each in found]
    return [figures(layout, measure, dataset, sums, len(present)) for measure in view.measures]


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
