"""The steps of a national sum as signed statements: PLAN, SUBMIT, PREPARE, CLOSE, UNMASK, CHECK, RESULT; and KEY before all.

Each is an entry of its signer's log. Vectors (8 bytes a cell, little endian), sealed seeds and lists lie beside it, by SHA-256.
The plan's digest is the id of its statement, and everything else in a round names it.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from collegium.body import Blob, Body, Closed, Count, Hex32, Hex64, Line, LogPlace, Name, RegistryView, Seconds
from collegium.errors import Invalid
from collegium.log.note import decode_base64
from collegium.log.statement import statement_id
from collegium.national.lists import MAX_NODES, Member
from collegium.national.mask import TRUSTEES
from collegium.national.seal import PUBLIC_KEY
from collegium.statements import NanoRho, Scale

__all__ = [
    "Check",
    "Close",
    "Plan",
    "PlanPart",
    "PlanTrustee",
    "Prepare",
    "Result",
    "Submit",
    "TrusteeKey",
    "Unmask",
    "lot",
    "plan_digest",
]

Millionths = Annotated[int, Field(ge=0, lt=10**6)]
Nodes = Annotated[int, Field(ge=1, le=MAX_NODES)]
Three = Annotated[tuple[Hex64, ...], Field(strict=False, min_length=TRUSTEES, max_length=TRUSTEES)]
Place = Annotated[int, Field(ge=0, lt=TRUSTEES)]


class PlanPart(Closed):
    """One component: cells, f, σ in steps, s in lattice steps (both reprs of floats), the national charge, the reach of a cell."""

    cells: Annotated[int, Field(ge=1, le=2**40)]
    fine: Annotated[int, Field(ge=0, le=32)]
    sigma: Scale
    scale: Scale
    rho: NanoRho
    reach: Annotated[int, Field(ge=1, le=2**62)]


Sealing = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class PlanTrustee(Closed):
    """A trustee, the verifier key of its statements, and its sealing key of the month (base64)."""

    trustee: Name
    key: Line
    sealing: Sealing

    @property
    def sealing_key(self) -> bytes:
        return decode_base64(self.sealing, place=f"sealing key of {self.trustee}")


class TrusteeKey(Body):
    """KEY, signed by a trustee: the sealing key to which seeds may be sealed for plans whose deadline is not after `until`."""

    kind = "national-key"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    sealing: Sealing
    until: Seconds

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.until <= self.time:
            raise ValueError("a sealing key serves for some time")
        return self


class Plan(Body):
    """PLAN, signed by the coordinator. `registry` is the roster's root, `least` u_min and `honest` m (see `share`).

    `group`: the codes of one group of the registry's partition, when the question is answered group by group; every member of the
    roster has one of them. Without it the sum is over everybody whom the request asks.
    """

    kind = "national-plan"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    request: Hex64
    number: Count
    question: Hex64
    nonce: Hex32
    nodes: Nodes
    roster: Blob
    dropout: Millionths
    colluding: Millionths
    least: Nodes
    honest: Nodes
    homes: Annotated[int, Field(ge=1, le=1000)]  # k: at how many nodes one person can be
    parts: Annotated[tuple[PlanPart, ...], Field(strict=False, min_length=1, max_length=64)]
    trustees: Annotated[tuple[PlanTrustee, ...], Field(strict=False, min_length=TRUSTEES, max_length=TRUSTEES)]
    deadline: Seconds
    group: Annotated[tuple[Line, ...], Field(strict=False, min_length=1, max_length=500)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.group is not None and list(self.group) != sorted(set(self.group)):
            raise ValueError("the codes of a group are sorted and stand once")
        names = [each.trustee for each in self.trustees]
        if names != sorted(set(names)) or len({each.key for each in self.trustees}) != TRUSTEES:
            raise ValueError("three different trustees, sorted by name")
        if len({each.sealing for each in self.trustees}) != TRUSTEES:
            raise ValueError("each trustee has its own sealing key")
        try:
            if any(len(each.sealing_key) != PUBLIC_KEY for each in self.trustees):
                raise ValueError(f"a sealing key has {PUBLIC_KEY} bytes")
        except Invalid as error:
            raise ValueError(error.text) from None
        if not self.honest <= self.least <= self.nodes:
            raise ValueError("the honest are not more than the least participants, and these not more than the nodes")
        if self.deadline <= self.time:
            raise ValueError("the deadline is after the plan")
        return self

    @property
    def length(self) -> int:
        """L: cells of all parts."""
        return sum(part.cells for part in self.parts)


class Submit(Body):
    """SUBMIT, signed by a node: digests of its three sealed seeds, of its masked vector, and its commitment.

    `decision` is the index of the charge in the node's own log: a share belongs to one charge, and a charge to one share.
    """

    kind = "national-submit"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    plan: Hex64
    member: Member
    decision: Count
    seeds: Three
    vector: Blob
    commitment: Hex64

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.decision >= self.log.index:
            raise ValueError("the charge comes before the submission")
        if len(set(self.seeds)) != TRUSTEES:
            raise ValueError("every trustee has its own seed")
        return self


class Prepare(Body):
    """PREPARE, signed by the trustee at `trustee` in the plan: its verdict on every submission (`Prepared`)."""

    kind = "national-prepare"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    plan: Hex64
    trustee: Place
    prepared: Blob


class Close(Body):
    """CLOSE, signed by the coordinator: the participants (`Participants`), and the three PREPARE that it rests on."""

    kind = "national-close"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    plan: Hex64
    prepares: Three
    participants: Blob
    count: Nodes


class Unmask(Body):
    """UNMASK, signed by a trustee: the sum of its masks over the participants of one CLOSE. One for each plan, ever."""

    kind = "national-unmask"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    plan: Hex64
    close: Hex64
    trustee: Place
    masks: Blob


class Check(Body):
    """CHECK, signed by the trustee drawn by lot, who has added up again: masked vectors less masks come to `total`."""

    kind = "national-check"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    plan: Hex64
    close: Hex64
    unmasks: Three
    trustee: Place
    total: Blob


class Result(Body):
    """RESULT, signed by the coordinator. It rests on the CHECK of the trustee drawn by lot and says the same `total`: int64, each
    part on its own lattice. The variance of a figure is σ²·count/honest.
    """

    kind = "national-result"

    log: LogPlace
    registry: RegistryView
    time: Seconds
    plan: Hex64
    close: Hex64
    unmasks: Three
    check: Hex64
    count: Nodes
    honest: Nodes
    total: Blob


@lru_cache(maxsize=16)
def plan_digest(plan: bytes) -> bytes:
    """The 32 bytes that keys, seals and commitments of a round are bound to. `plan` is the signed note."""
    return bytes.fromhex(statement_id(plan))


def lot(unmasks: tuple[str, ...]) -> int:
    """Which trustee recomputes and cosigns the result. Drawn from the ids of all three UNMASK: no single party chooses it."""
    digest = hashlib.sha256(b"collegium/v1/lot" + b"".join(bytes.fromhex(each) for each in unmasks)).digest()
    return int.from_bytes(digest, "big") % TRUSTEES
