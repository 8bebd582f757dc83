"""All that was signed about one request, and its verification from the researcher's signature to the published table.

A bundle is collected from what the coordinator sends; nothing in it is believed. `verify` needs only the bundle and a verified
registry, so it runs offline and anybody can repeat it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from collegium.combine import AskedNode, NodeRelease, combine
from collegium.errors import NotVerified
from collegium.layout import Layout, compile_layout
from collegium.log.statement import statement_id
from collegium.question import Question
from collegium.registrar import Registered
from collegium.registry import Registry
from collegium.released import Asking, verify_decision, verify_release, verify_withdrawal
from collegium.statements import Accounts, Decision, Details, Indicator, Release, Request, UsedRelease, Withdrawal
from collegium.table import Table
from collegium.view import View, check_view

__all__ = ["Bundle", "Figures", "Verified", "asked_nodes", "verify"]

Kind = Literal["request", "indicator", "decision", "release", "withdrawal", "blob"]


@dataclass(slots=True)
class Bundle:
    """Signed notes by kind, and payloads by their SHA-256 (hex). The bytes as they came."""

    request: bytes = b""
    indicators: list[bytes] = field(default_factory=list)
    decisions: list[bytes] = field(default_factory=list)
    releases: list[bytes] = field(default_factory=list)
    withdrawals: list[bytes] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def add(self, kind: Kind, data: bytes) -> None:
        """One part as it arrives, in any order."""
        if kind == "blob":
            self.blobs[hashlib.sha256(data).hexdigest()] = data
        elif kind == "request":
            self.request = data
        else:
            lists = {
                "indicator": self.indicators, "decision": self.decisions, "release": self.releases, "withdrawal": self.withdrawals,
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
    3. Every indicator is signed by the coordinator, is of this request and question, and accounts once for every node asked.
    4. Every release used is verified as at the coordinator (`collegium.released`), with the decision that let it out.
    5. The releases are added again and post-processed again: the table must be the same bytes.
    6. A withdrawal signed by its node marks the figures that used the release.

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
    for note in bundle.indicators:
        indicator = Indicator.open(note, [registry.coordinator])
        if indicator.request != identity:
            raise NotVerified("an indicator is of another request", place="indicator")
        if indicator.number not in newest or newest[indicator.number].revision < indicator.revision:
            newest[indicator.number] = indicator
    # (4), (5), (6)
    sources = _Sources(bundle, registry)
    figures = tuple(
        _figures(sources, Asking(identity, number, layout, question.digest), request, newest[number], view)
        for number, (question, view, layout) in enumerate(pairs)
        if number in newest
    )
    return Verified(identity, request, details, figures, 1 + len(bundle.indicators) + sources.signatures)


class _Sources:
    """The bundle's notes by what they are about, and a count of the signatures verified."""

    def __init__(self, bundle: Bundle, registry: Registry) -> None:
        self.bundle = bundle
        self.registry = registry
        self.releases = {statement_id(note): note for note in bundle.releases}
        self.decisions: dict[tuple[str, int], list[bytes]] = {}  # by origin of the log and number of the question
        for note in bundle.decisions:
            body = Decision.read(note)
            self.decisions.setdefault((body.log.origin, body.number), []).append(note)
        self.signatures = 0

    def root(self, size: int) -> str | None:
        """The root of our own registry at a size, None beyond its end."""
        return self.registry.view_at(size).root if 0 <= size <= self.registry.size else None

    def released(self, used: UsedRelease, asking: Asking, node: Registered) -> tuple[Decision, Release, bytes]:
        """A used release, with the decision that let it out and its payload, all verified."""
        note = self.releases.get(used.sha256)
        if note is None:
            raise NotVerified(f"the release of {used.node} is missing", place="bundle", remedy="Fetch the result again.")
        payload = self.bundle.blob(Release.read(note).payload.sha256, f"the payload of {used.node}")
        origin = node.log.name if node.log is not None else ""
        reason = f"the decision of {used.node} is missing"
        for candidate in self.decisions.get((origin, asking.number), ()):
            try:
                decision = verify_decision(candidate, asking, node, self.root)
                release = verify_release(note, payload, decision, asking, node, self.root)
            except NotVerified as error:
                reason = f"{used.node}: {error.text}"
                continue
            self.signatures += 2
            return decision, release, payload
        raise NotVerified(reason, place="bundle", remedy="Keep the bundle: it is evidence.")


def _figures(sources: _Sources, asking: Asking, request: Request, indicator: Indicator, view: View) -> Figures:
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
    decisions: dict[str, Decision] = {}
    releases: list[NodeRelease] = []
    for used in accounts.releases:
        decision, release, payload = sources.released(used, asking, registry.as_of(used.node, size))
        decisions[used.node] = decision
        releases.append(NodeRelease(used.node, payload, tuple(part.scale for part in release.parts)))
    # (5)
    missing = {each.node: each.reason for each in accounts.missing}
    table = combine(
        asking.layout, view, registry.schemas[question.schema_id], releases, asked_nodes(registry, size, audience, missing)
    )
    if hashlib.sha256(table.to_bytes()).hexdigest() != indicator.table.sha256:
        raise NotVerified("the table is not what the releases add up to", place=place, remedy="Keep the bundle: it is evidence.")
    # (6)
    withdrawn = set()
    for used in accounts.releases:
        node = registry.as_of(used.node, size)
        for note in sources.bundle.withdrawals:
            if Withdrawal.read(note).release.sha256 == used.sha256:
                verify_withdrawal(note, node)
                sources.signatures += 1
                withdrawn.add(used.node)
    return Figures(question, view, asking.layout, indicator, accounts, table, decisions, tuple(sorted(withdrawn)))


def asked_nodes(registry: Registry, size: int, audience: Iterable[str], missing: Mapping[str, str]) -> list[AskedNode]:
    """The audience with its public facts as registered among the first `size` entries, and why a node is missing."""
    nodes = [registry.as_of(name, size) for name in audience]
    return [AskedNode(node.name, node.facts, node.enrolment, missing.get(node.name, "no-answer")) for node in nodes]
