"""All that was signed about one request, and its verification from the researcher's signature to the published table.

A bundle is collected from what the coordinator sends; nothing in it is believed. `verify` needs only the bundle and a verified
registry, so it runs offline and anybody can repeat it. As a file it is `collegium.bundlefile`.

A figure counts only with its receipt: the proof that the coordinator's log holds request and indicator, under a checkpoint that the
registry's witnesses of that log have cosigned. Who holds it can show any later day what the ministry said.

Of a question with release mode national it holds the statements of its rounds and no masked vector: `collegium.national.bundled`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from collegium.bundlesources import Sources
from collegium.combine import AskedNode, NodeRelease, combine
from collegium.errors import NotVerified
from collegium.layout import Layout, compile_layout
from collegium.log.statement import statement_id
from collegium.national.bundled import BundledRound, read_round
from collegium.national.groups import groups_of
from collegium.question import Question
from collegium.registry import Registry
from collegium.released import Asking
from collegium.statements import Accounts, Decision, Details, Indicator, Request
from collegium.table import Table
from collegium.view import View, check_view

__all__ = ["KINDS", "Bundle", "Figures", "Kind", "Verified", "asked_nodes", "verify"]

Kind = Literal["request", "indicator", "decision", "release", "withdrawal", "blob", "receipt", "statement"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(slots=True)
class Bundle:
    """Signed notes by kind, payloads by their SHA-256 (hex), receipts by statement id. The bytes as they came."""

    request: bytes = b""
    indicators: list[bytes] = field(default_factory=list)
    decisions: list[bytes] = field(default_factory=list)
    releases: list[bytes] = field(default_factory=list)
    withdrawals: list[bytes] = field(default_factory=list)
    statements: list[bytes] = field(default_factory=list)  # steps of national sums
    blobs: dict[str, bytes] = field(default_factory=dict)
    receipts: dict[str, bytes] = field(default_factory=dict)

    def add(self, kind: Kind, data: bytes, statement: str = "") -> None:
        """One part as it arrives, in any order. `statement`: of a receipt, the id of the statement it is about."""
        if kind == "blob":
            self.blobs[hashlib.sha256(data).hexdigest()] = data
        elif kind == "receipt":
            self.receipts[statement] = data
        elif kind == "request":
            self.request = data
        else:
            lists = {
                "indicator": self.indicators, "decision": self.decisions, "release": self.releases, "withdrawal": self.withdrawals,
                "statement": self.statements,
            }  # fmt: skip
            lists[kind].append(data)

    def blob(self, sha256: str, what: str) -> bytes:
        try:
            return self.blobs[sha256]
        except KeyError:
            raise NotVerified(f"{what} is missing from the bundle", place=sha256[:16], remedy="Fetch the result again.") from None


@dataclass(frozen=True, slots=True)
class Figures:
    """The verified figures of one question."""

    question: Question
    view: View
    layout: Layout
    indicator: Indicator
    accounts: Accounts
    table: Table
    decisions: Mapping[str, Decision]  # by node; of this request
    withdrawn: tuple[str, ...]  # nodes whose release is in the figures and was withdrawn since
    rounds: tuple[BundledRound, ...] = ()  # of a national question: what its figures are the sum of


@dataclass(frozen=True, slots=True)
class Verified:
    """A request whose every signature, sum and table has been verified; `signatures` counts those that were checked."""

    id: str
    request: Request
    details: Details | None
    figures: tuple[Figures, ...]  # one a question, in order; empty while no indicator has been signed
    signatures: int


def verify(bundle: Bundle, registry: Registry) -> Verified:
    """Re-verify a request from its signature to its tables.

    1. The request is signed by the key that the registry has for its researcher; its id is the digest of its text.
    2. Its questions compile against the schema they name, and every view fits its question.
    3. Every indicator is signed by the coordinator, is of this request and question, and accounts once for every node asked. The
       coordinator's log holds it and the request: each has a receipt that satisfies the registry's quorum for that log.
    4. Every release used is verified as at the coordinator (`collegium.released`), with the decision that let it out. Each is
       signed by the key that its node had at the registry size the statement names, which is not beyond the indicator's; a receipt
       of the node's log is verified where there is one, and must be there when the key has been replaced since.
       Of a national question there are no releases: every step of its rounds that a bundle holds is verified
       (`collegium.national.bundled`), with the charge of each participant, made for that round's plan.
    5. The releases, or the rounds' totals, are added and post-processed again: the table must be the same bytes.
    6. A withdrawal signed by its node marks the figures that used the release.
    7. What else is signed in the bundle (refusals, a release that was withdrawn, a round that failed) verifies, too.

    Raises:
        NotVerified: the first thing that does not hold, with its place. Nothing of the bundle may be used.
        Invalid: something cannot be read at all.
    """
    # (1)
    claimed = Request.read(bundle.request)
    researcher = registry.as_of(claimed.researcher, claimed.registry.size)
    request = Request.open(bundle.request, [researcher.statements])
    identity = statement_id(bundle.request)
    details = Details.from_blob(bundle.blobs[request.details], request.details) if request.details in bundle.blobs else None
    # (2)
    pairs: list[tuple[Question, View, Layout]] = []
    for number, (question, tree) in enumerate(zip(request.questions, request.views, strict=True)):
        schema = registry.schemas.get(question.schema_id)
        if schema is None:
            raise NotVerified(f"the registry has no schema {question.schema_id}", place=f"questions.{number}")
        view = View.from_json(tree, place=f"views.{number}")
        check_view(view, question, place=f"views.{number}")
        pairs.append((question, view, compile_layout(question, schema)))
    # (3)
    newest: dict[int, Indicator] = {}
    sources = Sources(bundle, registry)
    if bundle.indicators:
        sources.logged(bundle.request, "the request")
    for note in bundle.indicators:
        indicator = Indicator.open(note, [registry.coordinator])
        if indicator.request != identity:
            raise NotVerified("an indicator is of another request", place="indicator")
        if indicator.log.origin != registry.coordinator_log.name:
            raise NotVerified("an indicator is of another log", place="indicator")
        sources.logged(note, "the indicator", index=indicator.log.index)
        if indicator.number not in newest or newest[indicator.number].revision < indicator.revision:
            newest[indicator.number] = indicator
    # (4), (5), (6)
    figures = tuple(
        _figures(sources, Asking(identity, number, layout, question.digest), request, newest[number], view)
        for number, (question, view, layout) in enumerate(pairs)
        if number in newest
    )
    # (7)
    sources.check_rest([Asking(identity, number, layout, question.digest) for number, (question, _, layout) in enumerate(pairs)])
    signatures = 1 + len(bundle.indicators) + sources.signatures + sources.prover.signatures
    return Verified(identity, request, details, figures, signatures)


def _figures(sources: Sources, asking: Asking, request: Request, indicator: Indicator, view: View) -> Figures:
    place = f"indicator {asking.number}"
    question = asking.layout.question
    registry, size = sources.registry, indicator.registry.size
    # (3)
    if indicator.question != asking.digest:
        raise NotVerified("the indicator is of another question", place=place)
    if sources.root(size) != indicator.registry.root:
        raise NotVerified("the coordinator used another registry than ours", place=place, remedy="Fetch the registry again.")
    accounts = Accounts.from_blob(sources.bundle.blob(indicator.accounts.sha256, "the account of the nodes"), indicator)
    listed = [each.node for each in accounts.releases] + [each.node for each in accounts.missing]
    audience = registry.audience(request)
    if sorted(listed) != sorted(audience):
        raise NotVerified("the indicator does not account for every node asked", place=place)
    # (4)
    missing = {each.node: each.reason for each in accounts.missing}
    asked = asked_nodes(registry, size, audience, missing)
    schema = registry.schemas[question.schema_id]
    decisions: dict[str, Decision] = {}
    if question.mode == "national":
        groups = groups_of(request, asking.number, registry)
        rounds = tuple(read_round(each, asking, request, groups, size, sources) for each in indicator.results or ())
        for each in rounds:
            sources.checked |= each.notes
            sources.signatures += len(each.notes)
            charges = {name: sources.charged(name, each, asking, size) for name in each.submits}
            decisions |= {name: charge for name, charge in charges.items() if charge is not None}
        if {(used.node, used.sha256) for used in accounts.releases} != {pair for each in rounds for pair in each.submits.items()}:
            raise NotVerified("the nodes accounted for are not the participants of the rounds", place=place)
        codes = tuple(group.codes for group in groups if group.codes is not None)
        table = combine(asking.layout, view, schema, (), asked, sums=[each.total for each in rounds], groups=codes)
        _same(table, indicator, "the rounds", place)
        return Figures(question, view, asking.layout, indicator, accounts, table, decisions, (), rounds)
    if indicator.results is not None:
        raise NotVerified("national sums stand under a question of the other release mode", place=place)
    releases: list[NodeRelease] = []
    for used in accounts.releases:
        decision, release, payload = sources.released(used, asking, size)
        decisions[used.node] = decision
        releases.append(NodeRelease(used.node, payload, tuple(part.scale for part in release.parts)))
    # (5)
    table = combine(asking.layout, view, schema, releases, asked)
    _same(table, indicator, "the releases", place)
    # (6)
    withdrawn = {used.node for used in accounts.releases if sources.withdrawn(used, size)}
    return Figures(question, view, asking.layout, indicator, accounts, table, decisions, tuple(sorted(withdrawn)))


def _same(table: Table, indicator: Indicator, what: str, place: str) -> None:
    if hashlib.sha256(table.to_bytes()).hexdigest() != indicator.table.sha256:
        raise NotVerified(f"the table is not what {what} add up to", place=place, remedy="Keep the bundle: it is evidence.")


def asked_nodes(registry: Registry, size: int, audience: Iterable[str], missing: Mapping[str, str]) -> list[AskedNode]:
    """The audience with its public facts as registered among the first `size` entries, and why a node is missing."""
    nodes = [registry.as_of(name, size) for name in audience]
    return [AskedNode(node.name, node.facts, node.enrolment, missing.get(node.name, "no-answer")) for node in nodes]
