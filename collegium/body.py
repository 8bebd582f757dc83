"""What all statement bodies share: frozen, strict, one spelling. Nothing that a body cannot hold can be signed.

Unknown fields, wrong types and any spelling but the canonical one are refused: an older party must never act on a part of what was
signed. "Absent" always means that the key is left out, never null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from collegium.errors import CollegiumError, Invalid
from collegium.log.note import Signer, Verifier, open_note, read_text
from collegium.log.statement import MAX_STATEMENT, canonical_json, open_statement, read_statement, sign_statement

__all__ = [
    "Blob",
    "Body",
    "Closed",
    "Count",
    "FieldName",
    "Hex32",
    "Hex64",
    "Line",
    "LogPlace",
    "Name",
    "RegistryView",
    "Root",
    "Seconds",
    "first_mistake",
]

Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Root = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]  # base64 of 32 bytes
Seconds = Annotated[int, Field(ge=0, le=2**53)]  # Unix time


def _no_float(_: str) -> Any:
    raise ValueError("float")


def _short_int(digits: str) -> int:
    """Of at most 18 digits: what has more might not fit 64 bits."""
    if len(digits) > 18:
        raise ValueError("long number")
    return int(digits)


_DECODER = json.JSONDecoder(parse_float=_no_float, parse_int=_short_int, parse_constant=_no_float)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class Closed(BaseModel):
    """Frozen, strict, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Body(Closed):
    """Base of all bodies. `kind` is what stands in the type line."""

    kind: ClassVar[str]

    def to_body(self) -> dict[str, Any]:
        """The JSON object that is signed; absent fields are left out."""
        tree: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return tree

    @classmethod
    def from_body(cls, body: dict[str, Any], *, place: str = "") -> Self:
        """The typed body. Raises Invalid with the place of the first part that is unknown, missing or wrong."""
        place = place or cls.kind
        try:
            typed = cls.model_validate(body)
            again = canonical_json(typed.to_body(), place=place)
        except ValidationError as error:
            raise first_mistake(error, place) from None
        except RecursionError:
            raise Invalid("nested too deeply", place=place) from None
        if again != canonical_json(body, place=place):
            raise Invalid("a part is not in its canonical form", place=place, remedy="Build it with this library.")
        return typed

    def sign(self, *signers: Signer) -> bytes:
        """The signed statement. Raises Invalid when it is too large for a log entry."""
        return sign_statement(self.kind, self.to_body(), *signers)

    @classmethod
    def open(cls, note: bytes, verifiers: Iterable[Verifier], need: int = 1) -> Self:
        """The body of a statement of this kind that `need` of the verifiers have signed. Raises NotVerified or Invalid."""
        known = list(verifiers)
        typed = cls._spelt_alike(open_note(note, known, need=need, limit=MAX_STATEMENT).text)
        return typed if typed is not None else cls.from_body(open_statement(note, cls.kind, known, need=need))

    @classmethod
    def read(cls, note: bytes) -> Self:
        """The body, signature NOT checked: only to find out who should have signed. Raises Invalid."""
        typed = cls._spelt_alike(read_text(note, limit=MAX_STATEMENT))
        if typed is not None:
            return typed
        kind, body = read_statement(note)
        if kind != cls.kind:
            raise Invalid(f"this is a {kind}, not a {cls.kind}", place=kind)
        return cls.from_body(body)

    @classmethod
    def _spelt_alike(cls, text: str) -> Self | None:
        """The body of a statement's text whose every byte the typed body spells again; None when it has to be looked at closely.

        One parse and one encoding instead of the several of `from_body`: half of what verifying an answer cost beyond its
        signatures. Nothing is let through that the long way refuses. The line came from a typed body's canonical keys, order and
        spacing if it equals them, so it has no duplicate key and nothing that was skipped; floats stop the parser; a number too
        long for 64 bits is left to the long way, and so is everything wrong, which then says what and where.
        """
        head = f"collegium/v1/{cls.kind}\n"
        line = text[len(head) : -1]
        if not text.startswith(head):
            return None
        try:
            typed = cls.model_validate(_DECODER.decode(line))
            alike = _ENCODER.encode(typed.to_body()) == line
        except (ValueError, RecursionError, CollegiumError):  # ValidationError is a ValueError
            return None
        return typed if alike else None


class LogPlace(Closed):
    """Where the signer's own log holds the statement: the log's name and the entry's index."""

    origin: Line
    index: Count


class RegistryView(Closed):
    """The newest registry checkpoint that the signer had verified: number of entries and base64 of the root."""

    size: Count
    root: Root


class Blob(Closed):
    """A payload kept beside the entry, named by its SHA-256; `size` in bytes."""

    sha256: Hex64
    size: Count


def first_mistake(error: ValidationError, place: str) -> Invalid:
    """The first thing that is wrong, with its place; the input's values are left out, for some are secret."""
    detail = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return Invalid(detail["msg"], place=f"{place}: {where}" if where else place)
