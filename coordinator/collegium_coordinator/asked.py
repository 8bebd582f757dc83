"""A request as the coordinator works with it: checked once, parsed once, used for every node's answer.

The coordinator checks what the nodes check again. Its check protects itself and saves the researcher a round trip; a node never
takes the coordinator's word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from collegium.errors import Invalid, NotVerified, Refused
from collegium.layout import compile_layout
from collegium.log.statement import statement_id
from collegium.national.groups import groups_of
from collegium.registry import Registered
from collegium.released import Asking as Question
from collegium.schema import Schema
from collegium.statements import Details, Request
from collegium.view import View
from collegium_coordinator.registrylog import RegistryLog

__all__ = ["Asked", "check_request", "parse_request"]

CLOCK_SKEW = 300  # seconds a researcher's clock may be ahead of ours


@dataclass(frozen=True)
class Asked:
    """One request: its id, the bytes that came, and what follows from them. Immutable, shared by all calls."""

    id: str
    note: bytes
    details: bytes
    body: Request
    questions: tuple[Question, ...]  # layout and digest of each, which every answer is held against
    views: tuple[View, ...]
    schema: Schema
    audience: tuple[str, ...]  # nodes asked, sorted: named by the request, or selected by its facts


def parse_request(note: bytes, details: bytes, registry: RegistryLog, *, body: Request | None = None) -> Asked:
    """The request of a note whose signature has been checked, now or when it was logged.

    Raises:
        Invalid: it cannot be read, or a question or view does not fit the schema it names.
        Refused: the schema it names is not in the registry.
    """
    body = body if body is not None else Request.read(note)
    names = {question.schema_id for question in body.questions}
    if len(names) != 1:
        raise Invalid("all questions of a request are for one schema", place="questions")
    schema = registry.registry.schemas.get(names.pop())
    if schema is None:
        raise Refused(
            "the registry has no such schema", by="schema", remedy="Fetch the schema again and ask with it.", reason="schema"
        )
    views = tuple(View.from_json(view, place=f"views.{n}") for n, view in enumerate(body.views))
    for number, view in enumerate(views):
        for fact in view.facts:
            if fact not in schema.facts:
                raise Invalid(f"there is no fact {fact!r}", place=f"views.{number}.facts")
    audience = registry.registry.audience(body)
    if not audience:
        raise Invalid("no node fits the request", place="facts", remedy="See the nodes and their facts with `collegium nodes`.")
    identity = statement_id(note)
    questions = tuple(
        Question(request=identity, number=number, layout=compile_layout(question, schema), digest=question.digest)
        for number, question in enumerate(body.questions)
    )
    return Asked(
        id=identity, note=note, details=details, body=body, questions=questions, views=views, schema=schema, audience=audience
    )


def check_request(
    note: bytes,
    details: bytes,
    *,
    peer: Registered,
    registry: RegistryLog,
    clock: Callable[[], float],
    max_validity: float,
    max_questions: int,
    known: Callable[[str], bool],
) -> tuple[Asked, str]:
    """Everything the coordinator checks before it logs a request; the request and its purpose.

    A request that is `known` (its id is logged) is checked by (1), (2) and (7) alone: asking again after it expired, or after a
    node of it was revoked, must still find it.

    1. The researcher who signed is the one on the connection: nobody spends another's limits by passing on a note.
    2. The signature is by the key the registry has for that researcher.
    3. It has not expired, is not from the future, and is valid for at most `max_validity` seconds.
    4. It was made with a registry that is a part of ours.
    5. It asks at least one node, and only registered ones.
    6. Its questions compile against a schema of the registry, its views fit them, and national sums are of whole groups.
    7. The details are those it names, and readable.

    Raises:
        NotVerified, Invalid, Refused: with the place; nothing has been logged.
    """
    # (1)
    claimed = Request.read(note)
    if claimed.researcher != peer.name:
        raise Refused(
            "the request names another researcher than the connection",
            by="identity",
            remedy="Ask with your own key.",
            reason="identity",
        )
    # (2)
    body = Request.open(note, [peer.statements])
    fresh = not known(statement_id(note))
    if fresh:
        _check_new(body, registry, clock(), max_validity=max_validity, max_questions=max_questions)
    # (6)
    asked = parse_request(note, details, registry, body=body)
    for number, question in enumerate(body.questions if fresh else ()):
        if question.mode == "national":
            groups_of(body, number, registry.registry)
    # (7)
    return asked, Details.from_blob(details, body.details).purpose


def _check_new(body: Request, registry: RegistryLog, now: float, *, max_validity: float, max_questions: int) -> None:
    """Steps 3 to 5 of `check_request`."""
    if len(body.questions) > max_questions:
        raise Invalid(f"more than {max_questions} questions", place="questions", remedy="Ask them in several requests.")
    # (3)
    if body.expiry <= now:
        raise Invalid("the request has expired", place="expiry", remedy="Sign a new one.", reason="expired")
    if body.time > now + CLOCK_SKEW:
        raise Invalid("the request is from the future", place="time", remedy="Set this computer's clock.")
    if body.expiry - body.time > max_validity:
        days = max_validity / 86_400
        raise Invalid(f"the request is valid for more than {days:g} days", place="expiry", remedy="Sign it with a shorter expiry.")
    # (4)
    if registry.root_at(body.registry.size) != body.registry.root:
        raise NotVerified(
            "the request was made with another registry than this coordinator's",
            place="registry",
            remedy="Keep the request and tell the federation's auditor: one of two coordinators shows a false registry.",
        )
    # (5) That facts select somebody is seen in `parse_request`.
    nodes = {node.name for node in registry.registry.nodes()}
    strangers = [name for name in body.audience or () if name not in nodes]
    if strangers:
        raise Invalid(
            f"there is no node {strangers[0]!r}", place="audience", remedy="Fetch the list of nodes again with `collegium nodes`."
        )
