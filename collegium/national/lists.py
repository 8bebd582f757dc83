"""What the steps name by digest because a country does not fit into one log entry: roster, verdicts of a trustee, participants.

Each is one line of canonical JSON, kept beside the log. A member is a node's position in the roster; members strictly increase in
every list, so that no node can stand in one twice.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from collegium.body import Blob, Closed, Hex64, Line, Name, first_mistake
from collegium.errors import Invalid, NotVerified
from collegium.log.note import Verifier
from collegium.log.statement import canonical_json, parse_canonical

__all__ = ["MAX_NODES", "Member", "Participant", "Participants", "Prepared", "Rejected", "Roster", "RosterNode", "Submitted"]

MAX_NODES = 100_000
MAX_LIST = 64 * 2**20  # bytes

Member = Annotated[int, Field(ge=0, lt=MAX_NODES)]


class _Listed(Closed):
    def to_blob(self) -> bytes:
        return canonical_json(self.model_dump(mode="json"), place=type(self).__name__.lower())

    @property
    def blob(self) -> Blob:
        """Digest and size, as a statement names it."""
        raw = self.to_blob()
        return Blob(sha256=hashlib.sha256(raw).hexdigest(), size=len(raw))

    @classmethod
    def from_blob(cls, raw: bytes, named: Blob) -> Self:
        """The list that a statement names. Raises NotVerified when it is another one, Invalid when it is none."""
        place = cls.__name__.lower()
        if len(raw) > MAX_LIST or len(raw) != named.size or hashlib.sha256(raw).hexdigest() != named.sha256:
            raise NotVerified("this is not the list that was signed", place=place)
        try:
            typed = cls.model_validate(parse_canonical(raw, place=place))
        except ValidationError as error:
            raise first_mistake(error, place) from None
        if typed.to_blob() != raw:
            raise Invalid("the list is not in its canonical form", place=place)
        return typed


class RosterNode(Closed):
    """A node that may take part, and the verifier key of its statements."""

    node: Name
    key: Line


class Roster(_Listed):
    """The nodes of one plan, by name. A node's position is its member number."""

    nodes: Annotated[tuple[RosterNode, ...], Field(strict=False, min_length=2, max_length=MAX_NODES)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [each.node for each in self.nodes]
        if names != sorted(set(names)) or len({each.key for each in self.nodes}) != len(names):
            raise ValueError("the roster is sorted and has every node and every key once")
        return self

    def verifier(self, member: int) -> Verifier:
        """The key of a member. Raises NotVerified when there is no such member."""
        if member >= len(self.nodes):
            raise NotVerified(f"the roster has no member {member}", place="roster")
        return Verifier.parse(self.nodes[member].key, place=f"roster, member {member}")


class Submitted(Closed):
    """A member and the id of its SUBMIT."""

    member: Member
    submit: Hex64


class Rejected(Closed):
    """A submission that a trustee cannot use: `signature` (or it names another plan or member), or `seed` (does not open)."""

    member: Member
    submit: Hex64
    reason: Literal["seed", "signature"]


class Prepared(_Listed):
    """A trustee's verdict on every submission that it was shown."""

    accepted: Annotated[tuple[Submitted, ...], Field(strict=False, max_length=MAX_NODES)]
    rejected: Annotated[tuple[Rejected, ...], Field(strict=False, max_length=MAX_NODES)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _strictly([each.member for each in self.accepted])
        _strictly([each.member for each in self.rejected])
        if {each.member for each in self.accepted} & {each.member for each in self.rejected}:
            raise ValueError("a member is accepted or rejected, not both")
        return self


class Participant(Closed):
    """A member in the sum: the id of its SUBMIT and the SHA-256 of its masked vector."""

    member: Member
    submit: Hex64
    vector: Hex64


class Participants(_Listed):
    """U: who is in the sum, fixed by the CLOSE."""

    members: Annotated[tuple[Participant, ...], Field(strict=False, min_length=1, max_length=MAX_NODES)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _strictly([each.member for each in self.members])
        return self


def _strictly(members: list[int]) -> None:
    if any(after <= before for before, after in pairwise(members)):
        raise ValueError("members strictly increase: nobody stands in a list twice")
