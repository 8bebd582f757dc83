"""The bodies of signed statements, one frozen model for each kind.

    note = decision.sign(signer)
    decision = Decision.open(note, [verifier])

Registrations, which make up the registry, are written in `collegium.registration` and can be imported from here too.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints, ValidationError, model_validator

from collegium.body import (
    Blob,
    Body,
    Closed,
    Count,
    FieldName,
    Hex32,
    Hex64,
    Line,
    LogPlace,
    Name,
    RegistryView,
    Root,
    Seconds,
    first_mistake,
)
from collegium.errors import Invalid
from collegium.keys import RESERVED
from collegium.log.checkpoint import read_checkpoint
from collegium.log.note import encode_base64
from collegium.log.statement import canonical_json, parse_canonical
from collegium.question import Question
from collegium.registration import (
    CatalogueEntry,
    Federation,
    Invitation,
    Party,
    Revocation,
    SchemaEntry,
    Witnesses,
    read_registration,
)
from collegium.view import View, check_view

__all__ = [
    "Accounts",
    "Blob",
    "Body",
    "CatalogueEntry",
    "Coverage",
    "Decision",
    "Details",
    "Federation",
    "Indicator",
    "Invitation",
    "LogPlace",
    "Missing",
    "Original",
    "PartNoise",
    "Party",
    "Peer",
    "Policy",
    "PolicySnapshot",
    "RegistryView",
    "Release",
    "Renewal",
    "Request",
    "Revocation",
    "SchemaEntry",
    "UsedRelease",
    "Withdrawal",
    "Witnesses",
    "read_registration",
]

MAX_QUESTIONS = 64
Code = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MAX_AUDIENCE = 10_000
MAX_PEER = 20_000  # characters of an embedded checkpoint note: more signature lines than five witnesses ever make

Scale = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,40}(\.[0-9]{1,40})?(e[+-]?[0-9]{1,3})?$")]  # repr of a float above 0
Reason = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
NanoRho = Annotated[int, Field(ge=0, le=2**62)]
Snapshot = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
SchemaId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}/[1-9][0-9]{0,8}$")]

_relaxed = Field(strict=False)  # a JSON list may fill a tuple; what is in the tuple stays strict


def _to_question(value: Any) -> Question:
    return value if isinstance(value, Question) else Question.from_json(value)


WireQuestion = Annotated[Question, BeforeValidator(_to_question), PlainSerializer(lambda question: question.to_json())]


class Request(Body):
    """One or more questions of a researcher. Its id is the digest of its text.

    It asks the nodes named in `audience`, or, with `facts` instead, all nodes of the registry that it names which have one of the
    given codes of every given fact ({} asks them all): a country's names would not fit into an entry.

    `details` names the blob with purpose and salt (`Details`), kept apart because it may have to be erased. `views` say how
    the coordinator turns components into measures; a node checks them as it checks all that is signed, and answers without them.
    """

    kind = "request"

    researcher: Name
    audience: Annotated[tuple[Name, ...], Field(strict=False, min_length=1, max_length=MAX_AUDIENCE)] | None = None
    facts: dict[FieldName, Annotated[tuple[Code, ...], Field(strict=False, min_length=1, max_length=500)]] | None = None
    time: Seconds
    expiry: Seconds
    nonce: Hex32
    details: Hex64
    questions: Annotated[tuple[WireQuestion, ...], Field(strict=False, min_length=1, max_length=MAX_QUESTIONS)]
    views: Annotated[tuple[dict[str, Any], ...], Field(strict=False, min_length=1, max_length=MAX_QUESTIONS)]
    registry: RegistryView

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.audience is None) == (self.facts is None):
            raise ValueError("a request names its audience or the facts that select it, and not both")
        if self.audience is not None and list(self.audience) != sorted(set(self.audience)):
            raise ValueError("the audience is sorted and names every node once")
        if any(list(codes) != sorted(set(codes)) for codes in (self.facts or {}).values()):
            raise ValueError("the codes of a fact are sorted and stand once")
        if RESERVED & {self.researcher, *(self.audience or ())}:
            raise ValueError("a reserved name is no party")
        if len(self.views) != len(self.questions):
            raise ValueError("every question has one view")
        for number, (view, question) in enumerate(zip(self.views, self.questions, strict=True)):
            place = f"request: views.{number}"
            check_view(View.from_json(view, place=place), question, place=place)
        if self.expiry < self.time:
            raise ValueError("the request expires before it was signed")
        return self


class Details(Closed):
    """The part of a request that may have to be erased later; the request holds only its digest. The salt hides short purposes."""

    purpose: Annotated[str, StringConstraints(max_length=4000)]
    salt: Hex32
    sql: Annotated[str, StringConstraints(max_length=20_000)] | None = None

    @classmethod
    def of(cls, purpose: str, sql: str | None = None) -> Details:
        """Details with a fresh salt."""
        return cls(purpose=purpose, sql=sql, salt=secrets.token_hex(16))

    def to_blob(self) -> bytes:
        return canonical_json(self.model_dump(mode="json", exclude_none=True), place="details")

    @classmethod
    def from_blob(cls, blob: bytes, digest: str) -> Details:
        """The details of the request that names this digest. Raises Invalid."""
        if len(blob) > 128 * 1024 or hashlib.sha256(blob).hexdigest() != digest:
            raise Invalid("these are not the details that the request names", place="details")
        try:
            details = cls.model_validate(parse_canonical(blob, place="details"))
        except ValidationError as error:
            raise first_mistake(error, "details") from None
        if details.to_blob() != blob:
            raise Invalid("the details are not in their canonical form", place="details")
        return details

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_blob()).hexdigest()


class Original(Closed):
    """An earlier entry of the same log: its index and the id of its statement."""

    index: Count
    sha256: Hex64


class Decision(Body):
    """A node's verdict on question `number` of a request, and the charge it took.

    charge   `rho` was taken from the budget, before any noise was drawn
    reuse    nothing was taken: `original` is the release that goes out again
    refuse   `reason` is a key of the public table; hold: a person decides; allow: the steward allowed a held request

    `plan` is the id of a national sum's plan, which a charge pays for or a refusal turns down: the charge is for that plan alone.
    """

    kind = "decision"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    request: Hex64
    number: Count
    verdict: Literal["charge", "reuse", "refuse", "hold", "allow"]
    question: Hex64 | None = None
    reason: Reason | None = None
    snapshot: Snapshot | None = None
    unit: FieldName | None = None
    period: Line | None = None
    dataset: FieldName | None = None
    rho: NanoRho | None = None
    original: Original | None = None
    plan: Hex64 | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        charged = {"question", "snapshot", "unit", "period", "dataset", "rho"}
        needs = {"charge": charged, "reuse": {"question", "snapshot", "original"}, "refuse": {"reason"}}.get(self.verdict, set())
        for name in sorted(needs):
            if getattr(self, name) is None:
                raise ValueError(f"a decision to {self.verdict} names its {name}")
        if (self.original is not None) != (self.verdict == "reuse"):
            raise ValueError("a reuse, and nothing else, names an original release")
        if self.verdict != "charge" and self.rho:
            raise ValueError("only a charge takes rho")
        if self.plan is not None and self.verdict not in ("charge", "refuse"):
            raise ValueError("only a charge or a refusal is about the plan of a national sum")
        return self


class PartNoise(Closed):
    """One component of a release: its number of cells, and the scale of its discrete Gaussian noise as the repr of a float."""

    cells: Annotated[int, Field(ge=1, le=2**40)]
    scale: Scale


class Release(Body):
    """A tally with noise. The payload is the tally as int64 little endian, components one after the other.

    `absent`: columns that the question looks at and the snapshot does not serve, because the steward has mapped nothing to them.
    They are `unknown` in every row. Absent itself when there is none.
    """

    kind = "release"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    request: Hex64
    number: Count
    question: Hex64
    snapshot: Snapshot
    schema_id: SchemaId = Field(alias="schema")
    decision: Count  # index of the charge in the same log
    parts: Annotated[tuple[PartNoise, ...], Field(strict=False, min_length=1, max_length=64)]
    payload: Blob
    absent: Annotated[tuple[FieldName, ...], Field(strict=False, min_length=1)] | None = None

    model_config = ConfigDict(populate_by_name=True)

    def to_body(self) -> dict[str, Any]:
        tree: dict[str, Any] = self.model_dump(mode="json", exclude_none=True, by_alias=True)
        return tree

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.payload.size != 8 * sum(part.cells for part in self.parts):
            raise ValueError("the payload has 8 bytes for every cell of every part")
        if self.decision >= self.log.index:
            raise ValueError("the charge comes before the release")
        if self.absent is not None and list(self.absent) != sorted(set(self.absent)):
            raise ValueError("absent columns are sorted and stand once")
        return self


class UsedRelease(Closed):
    """A release that an indicator adds: the node and the id of its statement."""

    node: Name
    sha256: Hex64


class Missing(Closed):
    """A node that was asked and is not in the sum, and why."""

    node: Name
    reason: Reason


class Accounts(Closed):
    """Every node asked, once: in the sum with its release, or missing with a reason. Kept beside the indicator, by its digest."""

    releases: Annotated[tuple[UsedRelease, ...], _relaxed]
    missing: Annotated[tuple[Missing, ...], _relaxed]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        used = [release.node for release in self.releases]
        missing = [each.node for each in self.missing]
        if used != sorted(set(used)) or missing != sorted(set(missing)) or set(used) & set(missing):
            raise ValueError("releases and missing nodes are sorted, and name every node once")
        return self

    def to_blob(self) -> bytes:
        return canonical_json(self.model_dump(mode="json"), place="accounts")

    @classmethod
    def from_blob(cls, blob: bytes, indicator: Indicator) -> Accounts:
        """The accounts that an indicator names. Raises Invalid unless they are those, and its coverage is theirs."""
        if len(blob) != indicator.accounts.size or hashlib.sha256(blob).hexdigest() != indicator.accounts.sha256:
            raise Invalid("these are not the accounts that the indicator names", place="accounts")
        try:
            accounts = cls.model_validate(parse_canonical(blob, place="accounts"))
        except ValidationError as error:
            raise first_mistake(error, "accounts") from None
        coverage, used = indicator.coverage, len(accounts.releases)
        if accounts.to_blob() != blob or (coverage.answered, coverage.asked) != (used, used + len(accounts.missing)):
            raise Invalid("the coverage is not that of the accounts", place="accounts")
        return accounts


class Coverage(Closed):
    """Nodes asked and answered, and the same as known enrolment where the registry knows it."""

    asked: Count
    answered: Count
    enrolment: Count | None = None
    enrolment_asked: Count | None = None


class Indicator(Body):
    """The national figure of question `number`. `accounts` names the blob that says which nodes are in it (`Accounts`).

    A later revision replaces an earlier one. Of a question with release mode national, `results` are the ids of the RESULT
    statements that it adds, one for each group of universities in the order of the partition; the releases of its accounts are
    submissions.
    """

    kind = "indicator"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    request: Hex64
    number: Count
    question: Hex64
    revision: Count
    accounts: Blob
    coverage: Coverage
    table: Blob
    results: Annotated[tuple[Hex64, ...], Field(strict=False, min_length=1, max_length=500)] | None = None


class Withdrawal(Body):
    """A release was found wrong. Its charge stays, and indicators that used it are marked."""

    kind = "withdrawal"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    release: Original
    request: Hex64
    number: Count
    reason: Line


class PolicySnapshot(Closed):
    """A named state of the node's datasets.

    `absent`: by dataset, the columns of the schema to which nothing is mapped. Said of the current snapshot alone: with all of them
    a statement would grow beyond what an entry holds, and an earlier one's are in the statement that made it current.
    """

    id: Snapshot
    name: Line
    time: Seconds
    datasets: Annotated[tuple[FieldName, ...], _relaxed]
    current: bool
    absent: dict[FieldName, Annotated[tuple[FieldName, ...], Field(strict=False, min_length=1)]] | None = None


class Policy(Body):
    """Budgets, limits and allowed researchers as the steward set them, and the snapshots there are."""

    kind = "policy"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    policy: dict[str, Any]
    snapshots: Annotated[tuple[PolicySnapshot, ...], _relaxed]


class Peer(Body):
    """Another log's checkpoint, as this party saw it: the whole note, the log's own signature and cosignatures included.

    It stands before the entries that rest on it, so that an auditor knows what came first without anybody's clock. `origin`, `size`
    and `root` repeat what the note says.
    """

    kind = "peer"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    origin: Line
    size: Count
    root: Root
    checkpoint: Annotated[str, StringConstraints(min_length=1, max_length=MAX_PEER)]

    @model_validator(mode="after")
    def _as_the_note_says(self) -> Self:
        try:
            found = read_checkpoint(self.checkpoint.encode("utf-8"))
        except (Invalid, UnicodeEncodeError):
            raise ValueError("the checkpoint is none") from None
        if (found.origin, found.size, encode_base64(found.root)) != (self.origin, self.size, self.root):
            raise ValueError("origin, size and root are those of the checkpoint")
        if found.origin == self.log.origin:
            raise ValueError("a log is not its own peer")
        return self

    @property
    def note(self) -> bytes:
        """The checkpoint note."""
        return self.checkpoint.encode()


class Renewal(Body):
    """A registered party asks for a new certificate. `csr` is the SHA-256 of the DER. No log entry."""

    kind = "renewal"

    party: Name
    time: Seconds
    csr: Hex64
