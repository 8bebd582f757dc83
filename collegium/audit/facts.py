"""What a statement says, as plain tuples: small enough for a million entries, and cheap to hand from one process to another.

The first nine fields are the same for all kinds. `key` is the number of the key that signed (see `keys`), -1 when none did;
`problem` is empty, or says why the rest is not there (`PROBLEMS`). `request` has no place and states no index (`at`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = [
    "FACTS",
    "PROBLEMS",
    "AskedPart",
    "AskedQuestion",
    "CheckFact",
    "CloseFact",
    "DecisionFact",
    "IndicatorFact",
    "PeerFact",
    "PlanFact",
    "PolicyFact",
    "PrepareFact",
    "ReleaseFact",
    "RequestFact",
    "ResultFact",
    "SubmitFact",
    "TrusteeKeyFact",
    "UnmaskFact",
    "WithdrawalFact",
    "typed",
]

PROBLEMS = {
    "note": "is not a signed note",
    "signature": "has a signature that does not fit its text",
    "unsigned": "is not signed by a registered key of its author",
    "kind": "is of a kind that this version does not know",
    "body": "has a body that this version cannot read",
}


class RequestFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str  # always empty
    at: int  # always -1
    size: int  # of the registry, as the researcher saw it
    root: str
    time: int
    researcher: str
    audience: tuple[str, ...] | None
    facts: dict[str, tuple[str, ...]] | None
    expiry: int
    questions: tuple[tuple[Any, ...], ...]  # of AskedQuestion


class AskedPart(NamedTuple):
    """One component as the schema lays it out."""

    width: int
    sensitivity_squared: int
    rho: int


class AskedQuestion(NamedTuple):
    """A question compiled against its schema; `parts` is empty where the registry's schema does not fit it."""

    digest: str
    rho: int
    dataset: str
    unit: str
    schema: str
    length: int
    parts: tuple[tuple[int, int, int], ...]  # of AskedPart
    national: bool


class DecisionFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    request: str
    number: int
    verdict: str
    question: str | None
    reason: str | None
    snapshot: str | None
    unit: str | None
    period: str | None
    dataset: str | None
    rho: int | None
    original: int | None
    original_id: str | None
    plan: str | None


class ReleaseFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    request: str
    number: int
    question: str
    snapshot: str
    schema: str
    decision: int
    parts: tuple[tuple[int, str], ...]  # cells and scale
    payload: str
    payload_size: int


class IndicatorFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    request: str
    number: int
    question: str
    revision: int
    accounts: str
    accounts_size: int
    asked: int
    answered: int
    enrolment: int | None
    enrolment_asked: int | None
    table: str
    table_size: int
    results: tuple[str, ...] | None


class WithdrawalFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    request: str
    number: int
    release: int
    release_id: str
    reason: str


class PolicyFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    policy: str  # canonical JSON


class PeerFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    log: str
    log_size: int
    log_root: bytes
    cosigned: tuple[tuple[str, bytes, int], ...]  # name, key id, time of each cosignature line; not verified
    note: bytes  # SHA-256 of the embedded note: many logs embed the same one


class TrusteeKeyFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    sealing: str
    until: int


class PlanFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    request: str
    number: int
    question: str
    nodes: int
    least: int
    honest: int
    length: int
    group: tuple[str, ...] | None
    roster: str
    trustees: tuple[tuple[str, str, str], ...]  # name, key of its statements, sealing key
    deadline: int


class SubmitFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    plan: str
    member: int
    decision: int
    vector: str
    vector_size: int


class PrepareFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    plan: str
    trustee: int
    prepared: str
    prepared_size: int


class CloseFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    plan: str
    prepares: tuple[str, ...]
    participants: str
    participants_size: int
    listed: int  # how many


class UnmaskFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    plan: str
    close: str
    trustee: int
    masks: str
    masks_size: int


class CheckFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    plan: str
    close: str
    unmasks: tuple[str, ...]
    trustee: int
    total: str
    total_size: int


class ResultFact(NamedTuple):
    kind: str
    key: int
    problem: str
    id: str
    origin: str
    at: int
    size: int
    root: str
    time: int
    plan: str
    close: str
    unmasks: tuple[str, ...]
    check: str
    listed: int  # how many participants
    honest: int
    total: str
    total_size: int


FACTS: dict[str, Any] = {
    "request": RequestFact,
    "decision": DecisionFact,
    "release": ReleaseFact,
    "indicator": IndicatorFact,
    "withdrawal": WithdrawalFact,
    "policy": PolicyFact,
    "peer": PeerFact,
    "national-key": TrusteeKeyFact,
    "national-plan": PlanFact,
    "national-submit": SubmitFact,
    "national-prepare": PrepareFact,
    "national-close": CloseFact,
    "national-unmask": UnmaskFact,
    "national-check": CheckFact,
    "national-result": ResultFact,
}


def typed(fact: tuple[Any, ...]) -> Any:
    """The named form of a tuple as it came from a worker, which has made it as long as it should be."""
    return _NEW(FACTS[fact[0]], fact)


_NEW: Any = tuple.__new__  # `_make` without its check of the length: this runs once for every entry
