"""The entries of the registry: who is who, signed so that everybody verifies the chain for himself.

    Federation     the first entry: the federation's own keys, its certificate authority and delta
    SchemaEntry    a version of the public schema
    CatalogueEntry a version of a catalogue of indicators
    Invitation     a name, a role and a one-time key
    Party          the newcomer's own keys, signed by the one-time key and by its own
    Revocation     a party's end
    Witnesses      which nodes and trustees cosign a log's checkpoints, and how many of them must
    Partition      the groups of universities of which national sums are told apart

All but Party are signed by the registry key. What makes an order of such entries valid is `collegium.registry`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from collegium.body import Body, Closed, Count, FieldName, Hex64, Line, Name, Seconds
from collegium.errors import Invalid
from collegium.log.cosign import CosignerVerifier
from collegium.log.note import Verifier
from collegium.log.statement import read_statement

__all__ = [
    "CatalogueEntry",
    "Federation",
    "Invitation",
    "Partition",
    "Party",
    "Registration",
    "Revocation",
    "SchemaEntry",
    "WitnessedLog",
    "Witnesses",
    "least_quorum",
    "read_registration",
]

Vkey = Annotated[str, StringConstraints(min_length=10, max_length=400)]
Role = Literal["node", "researcher", "trustee"]

MIN_WITNESSES, MAX_WITNESSES = 3, 5


def least_quorum(witnesses: int) -> int:
    """The smallest quorum whose any two share an honest witness while at most (n-1)//3 lie: (n+f)//2 + 1."""
    return (witnesses + (witnesses - 1) // 3) // 2 + 1


class Registration(Body):
    """Base of the registry's entries; `what` tells them apart."""

    kind = "registration"
    what: str


class Federation(Registration):
    """The founding entry. `ca` is the PEM certificate that signs every party's TLS certificate; `delta` a decimal text."""

    what: Literal["federation"] = "federation"
    federation: Name
    registry: Vkey
    registry_log: Vkey
    coordinator: Vkey
    coordinator_log: Vkey
    ca: Annotated[str, StringConstraints(max_length=8000)]
    delta: Annotated[str, StringConstraints(pattern=r"^([1-9]e-[1-9][0-9]?|0\.[0-9]{1,30})$")]
    time: Seconds

    @model_validator(mode="after")
    def _delta_in_range(self) -> Self:
        if not 0 < float(self.delta) < 1:
            raise ValueError("delta lies between 0 and 1")
        return self


class SchemaEntry(Registration):
    """A version of the schema; `toml` is the file as it was signed."""

    what: Literal["schema"] = "schema"
    name: Name
    version: Annotated[int, Field(ge=1, le=10**9)]
    toml: str
    time: Seconds


class CatalogueEntry(Registration):
    """A version of a catalogue of indicators; `toml` is the file as it was signed, `fits` the schema it was written for.

    It says what a ministry measures and how it names it. It allows nothing: every question made from it is judged as any other.
    """

    what: Literal["catalogue"] = "catalogue"
    name: Name
    version: Annotated[int, Field(ge=1, le=10**9)]
    fits: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}/[1-9][0-9]{0,8}$")]
    toml: str
    time: Seconds


class Invitation(Registration):
    """A place in the federation for whoever holds the one-time key. `enrolment` is a public figure, 0 when unknown.

    `replaces`: the name is registered, and its holder changes its keys; the registration is then signed by the old key as well.
    """

    what: Literal["invitation"] = "invitation"
    role: Role
    name: Name
    facts: dict[FieldName, Annotated[str, StringConstraints(min_length=1, max_length=64)]]
    enrolment: Count
    expiry: Seconds
    key: Vkey
    time: Seconds
    replaces: Literal[True] | None = None


class Party(Registration):
    """The newcomer's answer to its invitation, named by statement id. Nodes and trustees have a log and a cosigner key."""

    what: Literal["party"] = "party"
    invitation: Hex64
    role: Role
    name: Name
    statements: Vkey
    log: Vkey | None = None
    cosigner: Vkey | None = None
    time: Seconds


class Revocation(Registration):
    """The party of this name, and every open invitation to the name, end here."""

    what: Literal["revocation"] = "revocation"
    name: Name
    time: Seconds
    reason: Annotated[str, StringConstraints(max_length=500)]


class WitnessedLog(Closed):
    """The witnesses of one log, by node name, and how many of them must cosign. No witness and quorum 0: the log has none."""

    origin: Line
    witnesses: Annotated[tuple[Name, ...], Field(strict=False, max_length=MAX_WITNESSES)]
    quorum: Annotated[int, Field(ge=0, le=MAX_WITNESSES)]

    @model_validator(mode="after")
    def _enough(self) -> Self:
        """A quorum that two disjoint halves cannot both reach, with f = (n-1)//3 of the witnesses lying."""
        if list(self.witnesses) != sorted(set(self.witnesses)):
            raise ValueError("witnesses are sorted and stand once")
        count = len(self.witnesses)
        if not count and not self.quorum:
            return self
        if count < MIN_WITNESSES:
            raise ValueError(f"a log has {MIN_WITNESSES} to {MAX_WITNESSES} witnesses, or none")
        if not least_quorum(count) <= self.quorum <= count:
            raise ValueError(f"{count} witnesses need a quorum of {least_quorum(count)} to {count}")
        return self


class Witnesses(Registration):
    """Who cosigns the logs named here, from now on. For each log the newest entry that names it counts."""

    what: Literal["witnesses"] = "witnesses"
    time: Seconds
    logs: Annotated[tuple[WitnessedLog, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _once(self) -> Self:
        origins = [log.origin for log in self.logs]
        if origins != sorted(set(origins)):
            raise ValueError("logs are sorted by origin and stand once")
        return self


class Partition(Registration):
    """Which codes of a public fact of nodes belong together when national sums are told apart by it, small ones with neighbours.

    There is one at a time: sums over two partitions could be subtracted. The newest counts.
    """

    what: Literal["partition"] = "partition"
    fact: FieldName
    groups: Annotated[
        tuple[Annotated[tuple[Line, ...], Field(strict=False, min_length=1, max_length=500)], ...],
        Field(strict=False, min_length=1, max_length=500),
    ]
    time: Seconds

    @model_validator(mode="after")
    def _once(self) -> Self:
        codes = [code for group in self.groups for code in group]
        if len(codes) != len(set(codes)):
            raise ValueError("a code lies in one group")
        if any(list(group) != sorted(group) for group in self.groups) or list(self.groups) != sorted(self.groups):
            raise ValueError("groups and the codes in them are sorted")
        return self


_Entry = Federation | SchemaEntry | CatalogueEntry | Invitation | Party | Revocation | Witnesses | Partition

_MODELS: dict[str, type[_Entry]] = {
    "federation": Federation,
    "schema": SchemaEntry,
    "catalogue": CatalogueEntry,
    "invitation": Invitation,
    "party": Party,
    "revocation": Revocation,
    "witnesses": Witnesses,
    "partition": Partition,
}


def read_registration(note: bytes) -> _Entry:
    """The typed entry, signature NOT checked. Raises Invalid when it is none that this version knows."""
    kind, body = read_statement(note)
    if kind != Registration.kind:
        raise Invalid(f"this is a {kind}, not a registration", place=kind)
    what: Any = body.get("what")
    model = _MODELS.get(what) if isinstance(what, str) else None
    if model is None:
        raise Invalid("this version does not know this kind of registration", place="registration: what", remedy="Update it.")
    return model.from_body(body, place=f"registration, {what}")


def verifier_of(vkey: str, name: str, place: str) -> Verifier:
    """The key, which must carry exactly this name. Raises Invalid."""
    verifier = Verifier.parse(vkey, place=place)
    if verifier.name != name:
        raise Invalid(f"the key is named {verifier.name}, not {name}", place=place)
    return verifier


def cosigner_of(vkey: str, name: str, place: str) -> CosignerVerifier:
    """The same for a witness's key."""
    verifier = CosignerVerifier.parse(vkey, place=place)
    if verifier.name != name:
        raise Invalid(f"the key is named {verifier.name}, not {name}", place=place)
    return verifier
