"""From SQL to a signed request: what it costs, whom it asks, and the bytes that travel.

Nothing here touches data or the network. The cost is converted once, with the registry's delta, and signed as whole nano-rho for
each component: that is the charge, and anybody can recompute it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from collegium.accounting import NANO, guarantee_sentence, rho_of
from collegium.compiling import compile_request
from collegium.errors import Invalid
from collegium.log.note import Signer
from collegium.log.statement import statement_id
from collegium.national.groups import check_selection
from collegium.question import Question
from collegium.registry import Registered, Registry
from collegium.sql.release import Mode
from collegium.statements import Details, Request
from collegium.view import View

__all__ = ["DEFAULT_VALIDITY", "Ask", "Prepared", "nano_rho", "prepare", "prepare_questions", "reopened"]

DEFAULT_VALIDITY = 7 * 86_400  # seconds in which late universities may still answer


@dataclass(frozen=True, slots=True)
class Ask:
    """What a person wants to ask, not compiled yet. One of `epsilon` and `rho` is the cost of all statements together."""

    statements: Sequence[str]
    epsilon: str | float | None = None
    rho: str | float | None = None
    purpose: str = ""
    nodes: Sequence[str] | None = None  # None asks all that the statements' facts select
    max_rows: int | None = None
    max_groups: int | None = None
    clips: Mapping[str, tuple[int | str | Decimal, int | str | Decimal]] | None = None
    validity: int = DEFAULT_VALIDITY
    mode: Mode = "per_node"  # of the statements that do not end in RELEASE NATIONAL or RELEASE PER NODE


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request ready to be handed in."""

    id: str
    note: bytes
    details: bytes
    request: Request
    questions: tuple[Question, ...]
    views: tuple[View, ...]
    audience: tuple[str, ...]
    rho: int  # nano-rho of the whole request at each node
    guarantees: tuple[str, ...]  # one sentence a privacy unit


def nano_rho(ask: Ask, delta: str) -> int:
    """The cost of the whole request in nano-rho. Raises Invalid unless exactly one of epsilon and rho is given."""
    if (ask.epsilon is None) == (ask.rho is None):
        remedy = "Give either --epsilon (such as 0.5) or --rho (such as 0.01)."
        raise Invalid("say what the question may cost", place="cost", remedy=remedy)
    if ask.epsilon is not None:
        return rho_of(ask.epsilon, delta)
    try:
        nano = Decimal(str(ask.rho)) * NANO
    except InvalidOperation:
        nano = Decimal("NaN")
    if not nano.is_finite() or not 1 <= nano <= 10**15:
        raise Invalid(f"{ask.rho!r} is no rho", place="rho", remedy="Write a number above 0, such as 0.01.")
    return int(nano)


def prepare(ask: Ask, registry: Registry, signer: Signer, name: str, *, now: float) -> Prepared:
    """Compiles, prices, addresses and signs. `name` is the researcher's registered name.

    Raises:
        Invalid: a statement is outside the grammar or the schema, the cost is missing, or no university fits.
    """
    compiled = compile_request(ask, registry.schema, nano_rho(ask, registry.founding.delta))
    pairs = [(each.question, each.view) for each in compiled]
    return prepare_questions(ask, pairs, registry, signer, name, now=now, facts=compiled[0].fact_filter)


def prepare_questions(
    ask: Ask,
    pairs: Sequence[tuple[Question, View]],
    registry: Registry,
    signer: Signer,
    name: str,
    *,
    now: float,
    facts: Mapping[str, frozenset[str]] | None = None,
) -> Prepared:
    """The same for questions that are there already, with the rho of each component. `ask` has purpose, nodes and validity.

    `ask.statements` are what a person reads as the question; `facts` are the codes of public facts that select universities.

    Raises:
        Invalid: no university fits, the request does not fit into a log entry, or a question with release mode national names
            universities or selects others than whole groups of the registry's partition.
    """
    audience = _audience(ask, facts, registry)
    details = Details.of(ask.purpose, "\n;\n".join(ask.statements))
    chosen = {fact: tuple(sorted(codes)) for fact, codes in (facts or {}).items()}
    for question, view in pairs:
        if question.mode == "national":
            if ask.nodes is not None:
                remedy = "Leave the universities out, or ask them in release mode per_node."
                raise Invalid("a national sum is not asked of universities by name", place="nodes", remedy=remedy)
            check_selection(chosen, view.facts, registry.partition())
    request = Request(
        researcher=name,
        audience=None if ask.nodes is None else audience,
        facts=chosen if ask.nodes is None else None,
        time=int(now),
        expiry=int(now) + ask.validity,
        nonce=secrets.token_hex(16),
        details=details.digest,
        questions=tuple(question.canonical() for question, _ in pairs),
        views=tuple(view.to_json() for _, view in pairs),
        registry=registry.view(),
    )
    return _prepared(request.sign(signer), details.to_blob(), request, audience, registry)


def reopened(note: bytes, details: bytes, registry: Registry) -> Prepared:
    """A request that was prepared, signed and kept earlier, to be handed in once more."""
    request = Request.read(note)
    if request.audience is not None:
        audience = request.audience
    else:
        facts = {fact: frozenset(codes) for fact, codes in (request.facts or {}).items()}
        audience = tuple(sorted(node.name for node in registry.nodes() if _fits(node, facts)))
    return _prepared(note, details, request, audience, registry)


def _prepared(note: bytes, details: bytes, request: Request, audience: tuple[str, ...], registry: Registry) -> Prepared:
    schema = registry.schema
    units: dict[str, int] = {}
    national: dict[str, int] = {}
    for question in {question.digest: question for question in request.questions}.values():  # of two statements: charged once
        unit = schema.datasets[question.dataset].unit
        units[unit] = units.get(unit, 0) + question.rho
        national[unit] = national.get(unit, 0) + (question.rho if question.mode == "national" else 0)
    return Prepared(
        id=statement_id(note),
        note=note,
        details=details,
        request=request,
        questions=request.questions,
        views=tuple(View.from_json(tree) for tree in request.views),
        audience=audience,
        rho=sum(units.values()),
        guarantees=tuple(
            guarantee_sentence(
                rho,
                registry.founding.delta,
                schema.units[unit].title.get("en"),
                schema.units[unit].max_nodes_per_person,
                national=national[unit],
            )
            for unit, rho in units.items()
        ),
    )


def _audience(ask: Ask, facts: Mapping[str, frozenset[str]] | None, registry: Registry) -> tuple[str, ...]:
    """The nodes that the statements' facts select, or the named ones among them."""
    names = {node.name for node in registry.nodes() if _fits(node, facts)}
    if ask.nodes is not None:
        strangers = sorted(set(ask.nodes) - {node.name for node in registry.nodes()})
        if strangers:
            raise Invalid(f"there is no node {strangers[0]!r}", place="nodes", remedy="See them with `collegium nodes`.")
        names &= set(ask.nodes)
    if not names:
        raise Invalid("no university fits the question", place="nodes", remedy="See them and their facts with `collegium nodes`.")
    return tuple(sorted(names))


def _fits(node: Registered, wanted: Mapping[str, frozenset[str]] | None) -> bool:
    return all(node.facts.get(fact) in codes for fact, codes in (wanted or {}).items())
