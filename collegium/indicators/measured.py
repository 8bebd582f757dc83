"""From a verified answer to an edition: sums of the nodes' own noisy releases, or national sums, and estimates from them.

An indicator counts the universities that answered all its questions and serve all its columns: a ratio whose two sides came from
different universities would be a figure of nobody. Universities are taken in groups that are in the same indicators, so that every
set of them is estimated once.

In release mode national the parts are not universities but the rounds' groups. An indicator of two questions counts a group only if
the same universities took part in both sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collegium.accounting import epsilon_of, guarantee_sentence
from collegium.addition import add
from collegium.bundle import Bundle, Verified
from collegium.combine import JOINED, group_label
from collegium.errors import Invalid, NotVerified
from collegium.indicators.batch import Batch
from collegium.indicators.edition import Branch, Cost, Coverage, Edition, Estimate, LeafFigures, Missing
from collegium.indicators.estimate import Precision, estimate, precision
from collegium.indicators.figure import Figure
from collegium.indicators.leaf import Expanded, Leaf
from collegium.log.statement import statement_id
from collegium.national.figures import in_steps
from collegium.national.groups import groups_of
from collegium.national.law import Added, RoundOf
from collegium.registrar import Registered
from collegium.registry import Registry
from collegium.schema import Schema, Text
from collegium.shown import short
from collegium.statements import Release

__all__ = ["PROVINCE", "edition_of"]

PROVINCE = "province"
"""The fact by which figures are given beside the nation's."""

Nodes = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one question's sum can be made of: a university's release, or the sum over a group with the noise in it."""

    nodes: Nodes
    values: NDArray[np.int64]
    noise: RoundOf | None = None


Parts = Sequence[Sequence[_Part]]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What estimates are made of. `made` has those of every set of universities asked for; `noise` what is known before them."""

    batch: Batch
    parts: Parts
    made: dict[Nodes, Mapping[str, Figure]] = field(default_factory=dict)
    noise: dict[tuple[Added, ...], Precision] = field(default_factory=dict)

    def of(self, nodes: Nodes) -> Mapping[str, Figure]:
        """All figures that these universities give together."""
        if nodes not in self.made:
            sums: list[NDArray[np.int64] | None] = []
            counts: list[Added] = []
            for layout, parts in zip(self.batch.layouts, self.parts, strict=True):
                chosen = [part for part in parts if part.nodes <= nodes]
                sums.append(add([part.values for part in chosen], layout.length) if chosen else None)
                rounds = tuple(part.noise for part in chosen if part.noise is not None)
                counts.append(rounds or len(chosen))
            noise = self.noise.get(tuple(counts)) or precision(self.batch, counts)
            self.noise[tuple(counts)] = noise
            self.made[nodes] = estimate(self.batch, sums, counts, known=noise)
        return self.made[nodes]


def _parts(verified: Verified, bundle: Bundle) -> tuple[list[list[_Part]], dict[str, frozenset[tuple[str, str]]]]:
    """By question: int64[layout.length] of every university, or group, that is in the figure. Verified already; read again here.

    And by university: the (dataset, column) pairs that its releases say it does not serve.
    """
    lacking: dict[str, set[tuple[str, str]]] = {}
    notes = {statement_id(note): note for note in bundle.releases}
    found = []
    for figures in verified.figures:
        if figures.question.mode == "national":
            totals = sorted((each.total for each in figures.rounds), key=lambda total: total.codes or ())
            found.append([_Part(frozenset(total.nodes), in_steps(figures.layout, total), total.noise) for total in totals])
            continue
        parts = []
        for used in figures.accounts.releases:
            release = Release.read(notes[used.sha256])
            payload = bundle.blob(release.payload.sha256, f"the payload of {used.node}")
            values = np.frombuffer(payload, dtype="<i8").astype(np.int64)
            if len(values) != figures.layout.length:
                raise NotVerified("a payload has another length than its question", place=used.node)
            parts.append(_Part(frozenset((used.node,)), values))
            lacking.setdefault(used.node, set()).update((figures.question.dataset, column) for column in release.absent or ())
        found.append(parts)
    return found, {node: frozenset(columns) for node, columns in lacking.items()}


def edition_of(
    verified: Verified,
    bundle: Bundle,
    registry: Registry,
    expanded: Expanded,
    batch: Batch,
    *,
    bundles: Sequence[str] = (),
) -> Edition:
    """The edition of a verified request. The same bytes whoever makes it from the same bundle.

    Raises:
        Invalid: the request asks other questions than the catalogue's plan.
        NotVerified: the bundle lacks a payload.
    """
    if [question.digest for question in verified.request.questions] != [question.digest for question in batch.questions]:
        remedy = "Name the catalogue and the rho with which it was measured."
        raise Invalid("the request asks other questions than this catalogue's plan", place=verified.id[:12], remedy=remedy)
    schema = registry.schemas[expanded.schema]
    parts, lacking = _parts(verified, bundle)
    reading = _Reading(batch, parts)
    members = _members(verified, registry)
    absent = {
        figures_number: {each.node: each.reason for each in figures.accounts.missing}
        for figures_number, figures in enumerate(verified.figures)
    }
    groups = _groups(verified, registry)
    by_province = _by_fact(members.values(), PROVINCE, schema) if groups is None else _by_group(members.values(), groups)
    lines = {line.id: line for line in batch.lines}
    leaves = []
    for leaf in expanded.leaves:
        questions = batch.questions_of(lines[leaf.id])
        nodes, missing = _in(leaf, questions, members, reading.parts, absent, lacking)
        provinces = {}
        if leaf.level == "university":
            provinces = {
                code: _estimate(reading.of(inside & nodes)[leaf.id] if inside & nodes else None)
                for code, inside in by_province.items()
            }
        leaves.append(
            LeafFigures(
                id=leaf.id,
                level=leaf.level,
                secondary=leaf.secondary,
                title=leaf.title,
                unit=leaf.unit,
                measure=leaf.measure,
                dimension=leaf.dimension or "",
                value=leaf.value or "",
                discipline=leaf.discipline or "",
                dataset=leaf.dataset,
                privacy_unit=leaf.privacy_unit,
                period=expanded.periods[leaf.period],
                numerator=leaf.definition.numerator,
                denominator=leaf.definition.denominator,
                population=leaf.definition.population,
                clip=lines[leaf.id].recipe.clip,
                national=_estimate(reading.of(nodes)[leaf.id] if nodes else None),
                provinces=provinces,
                coverage=_coverage(members, nodes, missing),
            )
        )
    anywhere: Nodes = frozenset().union(*(part.nodes for parts in reading.parts for part in parts))
    reasons = {node: reason for each in absent.values() for node, reason in each.items() if node not in anywhere}
    return Edition(
        federation=registry.founding.federation,
        catalogue=expanded.catalogue,
        title=expanded.title,
        note=expanded.note,
        year=expanded.year,
        mode=batch.questions[0].mode,
        requests=(verified.id,),
        bundles=tuple(bundles),
        delta=registry.founding.delta,
        costs=_costs(batch, schema, registry.founding.delta),
        coverage=_coverage(members, anywhere, reasons),
        primaries=tuple(Branch(id=each.id, title=each.title) for each in expanded.primaries),
        secondaries=tuple(Branch(id=each.id, title=each.title, parent=each.primary) for each in expanded.secondaries),
        provinces={label: _titled(label, schema) for label in by_province},
        disciplines=_disciplines(expanded, schema),
        leaves=tuple(leaves),
    )


def _members(verified: Verified, registry: Registry) -> dict[str, Registered]:
    """Everybody asked, as registered when the figures were made."""
    found: dict[str, Registered] = {}
    for figures in verified.figures:
        names = [each.node for each in figures.accounts.releases] + [each.node for each in figures.accounts.missing]
        found |= {name: registry.as_of(name, figures.indicator.registry.size) for name in names}
    return found


def _in(
    leaf: Leaf,
    questions: Sequence[int],
    members: Mapping[str, Registered],
    parts: Parts,
    absent: Mapping[int, Mapping[str, str]],
    lacking: Mapping[str, frozenset[tuple[str, str]]],
) -> tuple[Nodes, dict[str, str]]:
    """Which universities are in an indicator, and why the others are not."""
    inside, missing = set(), {}
    sets = [{part.nodes for part in parts[number]} for number in questions]
    there: list[Nodes] = [frozenset().union(*each) for each in sets]
    even: Nodes = frozenset().union(*set.intersection(*sets))
    for name in members:
        reasons = [absent[number].get(name, "no-answer") for number, here in zip(questions, there, strict=True) if name not in here]
        if reasons:
            missing[name] = reasons[0]
        elif name not in even:
            missing[name] = "uneven"
        elif lacking.get(name, frozenset()) & leaf.columns:
            missing[name] = "no-column"
        else:
            inside.add(name)
    return frozenset(inside), missing


def _by_fact(members: Iterable[Registered], fact: str, schema: Schema) -> dict[str, Nodes]:
    """The universities of each code that has any, in the order of the schema's list."""
    if fact not in schema.facts:
        return {}
    groups: dict[str, set[str]] = {}
    for each in members:
        if each.facts.get(fact):
            groups.setdefault(each.facts[fact], set()).add(each.name)
    return {code: frozenset(groups[code]) for code in schema.codes[schema.facts[fact].codes] if code in groups}


def _groups(verified: Verified, registry: Registry) -> tuple[tuple[str, ...], ...] | None:
    """In release mode national: the groups of provinces that there are sums of. None in the other."""
    questions = verified.request.questions
    if not questions or questions[0].mode != "national":
        return None
    return tuple(group.codes for group in groups_of(verified.request, 0, registry) if group.codes is not None)


def _by_group(members: Iterable[Registered], groups: Sequence[tuple[str, ...]]) -> dict[str, Nodes]:
    """The universities of each group, by the group's label."""
    everybody = list(members)
    return {group_label(codes): frozenset(each.name for each in everybody if each.facts.get(PROVINCE) in codes) for codes in groups}


def _titled(label: str, schema: Schema) -> Text:
    """The title of a province, or of several that are one group."""
    titles = [schema.codes[schema.facts[PROVINCE].codes][code] for code in label.split(JOINED)]
    if len(titles) == 1:
        return titles[0]
    return Text(en=", ".join(title.get("en") for title in titles), zh="、".join(title.get("zh") for title in titles))


def _estimate(figure: Figure | None) -> Estimate:
    if figure is None:
        return Estimate(mark="—")
    ends = (figure.value, figure.low, figure.high, figure.std_error)
    value, low, high, error = (None if end is None else float(short(end)) for end in ends)
    return Estimate(value=value, low=low, high=high, error=error, mark=figure.mark)


def _coverage(members: Mapping[str, Registered], nodes: Nodes, missing: Mapping[str, str]) -> Coverage:
    return Coverage(
        asked=len(members),
        answered=len(nodes),
        enrolment_asked=sum(each.enrolment for each in members.values()),
        enrolment_answered=sum(each.enrolment for each in members.values() if each.name in nodes),
        missing=tuple(Missing(node=node, reason=missing[node]) for node in sorted(missing)),
    )


def _costs(batch: Batch, schema: Schema, delta: str) -> tuple[Cost, ...]:
    costs = []
    for unit, nano in sorted(batch.charges.items()):
        found = schema.units[unit]
        sentences = {
            language: guarantee_sentence(
                nano,
                delta,
                _small(found.title, language),
                found.max_nodes_per_person,
                national=nano if batch.questions[0].mode == "national" else 0,
                language=language,
            )
            for language in ("en", "zh")
        }
        costs.append(Cost(unit=unit, title=found.title, nano_rho=nano, epsilon=epsilon_of(nano, delta), sentence=Text(**sentences)))
    return tuple(costs)


def _small(title: Text, language: str) -> str:
    """A title within a sentence."""
    text = title.get(language)
    return text if language == "zh" else text[:1].lower() + text[1:]


def _disciplines(expanded: Expanded, schema: Schema) -> dict[str, Text]:
    """The discipline categories that indicators are given for, in their order."""
    found: dict[str, Text] = {}
    for leaf in expanded.leaves:
        if leaf.discipline is not None and leaf.discipline_column is not None and leaf.discipline not in found:
            found[leaf.discipline] = schema.values(schema.datasets[leaf.dataset].columns[leaf.discipline_column])[leaf.discipline]
    return found
