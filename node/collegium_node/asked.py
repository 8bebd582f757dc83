"""A researcher's request as this node has verified it itself. Nothing of the coordinator's word is taken.

`check_request` is step (1) of the answer path. It reads the registry and the clock, never data, a policy or a budget.
"""

from __future__ import annotations

from dataclasses import dataclass

from collegium.errors import CollegiumError, Invalid, NotVerified, Refused, public_text
from collegium.log.statement import MAX_STATEMENT, statement_id
from collegium.party.receipts import Logged, check_receipt
from collegium.question import Question
from collegium.registry import Registry
from collegium.statements import Details, Request

__all__ = ["MAX_DETAILS", "Asked", "check_request", "parse_request", "purpose_of"]

MAX_DETAILS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """One verified request: its id, the bytes that came, who asked (by key), what for, the questions in their order, and the proof
    that the coordinator has logged it."""

    id: str
    note: bytes
    details: bytes
    researcher: str
    key: str
    purpose: str
    expiry: int
    questions: tuple[Question, ...]
    logged: Logged


def check_request(note: bytes, details: bytes, receipt: bytes, registry: Registry, node: str) -> Asked:
    """The request, verified against the newest registry this node has verified.

    1. The note is small enough and strictly a request; anything unknown in it is refused.
    2. The researcher it names is registered as one, not revoked, and the registered key signed exactly these bytes.
    3. It is addressed to this node.
    4. It was made with a registry that is a part of ours, as far as ours reaches: else somebody shows two registries.
    5. The details are those it names.
    6. The receipt proves that the coordinator's log holds exactly these bytes.

    Raises:
        Invalid, NotVerified, Refused: each with a `reason` of the public table and its text. Expiry is the caller's to check: a
            request that was charged in time may be finished later.
    """
    # (1)
    if len(note) > MAX_STATEMENT or len(details) > MAX_DETAILS:
        raise Invalid(public_text("too-large"), place="request", reason="too-large")
    body = parse_request(note)
    # (2)
    try:
        party = registry.party(body.researcher)
        if party.role != "researcher":
            raise NotVerified("a node does not ask")
        Request.open(note, [party.statements])
    except CollegiumError:
        raise Refused(public_text("identity"), by="identity", place="request", reason="identity") from None
    # (3)
    if not registry.asks(body, node):
        raise Refused(public_text("not-asked"), by="policy", place="audience", reason="not-asked")
    # (4)
    if body.registry.size <= registry.size and registry.view_at(body.registry.size) != body.registry:
        raise NotVerified(public_text("identity"), place="registry", reason="identity")
    # (5)
    purpose = purpose_of(details, body.details)
    # (6)
    logged = check_receipt(receipt, note, registry)
    return Asked(
        id=statement_id(note),
        note=note,
        details=details,
        researcher=body.researcher,
        key=party.statements.vkey,
        purpose=purpose,
        expiry=body.expiry,
        questions=body.questions,
        logged=logged,
    )


def parse_request(note: bytes) -> Request:
    """The body of a request's note, strictly; no signature is checked. Raises Invalid, reason `malformed`."""
    try:
        return Request.read(note)
    except CollegiumError as error:
        raise Invalid(public_text("malformed"), place=error.place or "request", reason="malformed") from None


def purpose_of(details: bytes, digest: str) -> str:
    """The purpose in the details that a request names by digest. Raises NotVerified when they are others or not readable."""
    try:
        return Details.from_blob(details, digest).purpose
    except CollegiumError:
        raise NotVerified(public_text("malformed"), place="details", reason="malformed") from None
