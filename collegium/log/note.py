"""Signed notes: text a person can read, followed by signatures anybody can check.

The format is C2SP signed-note 1.0 with Ed25519 keys (type 0x01), unchanged, so that any other implementation verifies what is
signed here. This reader is stricter than most: base64 must re-encode to itself and sizes are bounded before anything is parsed.

    signer = Signer.generate("example-federation/ustc/statements")
    note = sign_note("hello\\n", signer)
    open_note(note, [Verifier.parse(signer.vkey)]).text

Source: https://c2sp.org/signed-note.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from collegium.errors import Invalid, NotVerified

__all__ = [
    "MAX_NOTE",
    "MAX_SIGNATURES",
    "Note",
    "Signer",
    "Verifier",
    "check_key_name",
    "decode_base64",
    "encode_base64",
    "open_note",
    "read_text",
    "sign_note",
    "split_note",
]

MAX_NOTE = 1_000_000  # bytes; a checkpoint with many cosignatures. Entries have their own, smaller limit
MAX_SIGNATURES = 64

_ED25519 = b"\x01"
_NOT_IN_NAME = re.compile(r"[\s+\x00-\x1f\ud800-\udfff]")  # white space of any script, '+', control characters, surrogates
_CONTROL = bytes(code for code in range(0x20) if code != 0x0A)  # no byte of a longer UTF-8 character is one of these
_DASH = "— "  # U+2014 and a space begin every signature line


@dataclass(frozen=True)
class Verifier:
    """A name and an Ed25519 public key. Public; whoever replaces it in a reader's configuration can sign as that name."""

    name: str
    raw: bytes  # the public key, 32 bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.raw) != 32:
            raise Invalid("an Ed25519 public key has 32 bytes", place=f"verifier key of {self.name}")

    @cached_property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name, newline, type, public key). It finds a key and proves nothing."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.raw).digest()[:4]

    @cached_property
    def public(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.raw)

    def __repr__(self) -> str:
        return f"Verifier({self.vkey})"

    @property
    def vkey(self) -> str:
        """The key as text: name+hex8(key id)+base64(type and public key)."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(_ED25519 + self.raw)}"

    @classmethod
    def parse(cls, vkey: str, *, place: str = "verifier key") -> Verifier:
        """A verifier from its text. Raises Invalid when any part of it is wrong, the key id included."""
        name, plus, rest = vkey.partition("+")
        key_id, second_plus, material = rest.partition("+")
        if not plus or not second_plus:
            raise Invalid("a verifier key reads name+id+base64", place=place, remedy="Copy it again, whole.")
        raw = decode_base64(material, place=place)
        if raw[:1] != _ED25519 or len(raw) != 33:
            raise Invalid("this version reads Ed25519 verifier keys (type 1, 33 bytes) only", place=place)
        verifier = cls(name, raw[1:])
        if verifier.key_id.hex() != key_id:
            raise Invalid("the key id does not fit name and key", place=place, remedy="Copy it again, whole.")
        return verifier

    def accepts(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's over `message`."""
        if len(signature) != 64:
            return False
        try:
            self.public.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Signer:
    """A name and an Ed25519 private key. Trusted with speaking under its name; an attacker who holds it can sign anything as it."""

    name: str
    seed: bytes = field(repr=False)  # 32 bytes; the private key itself

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.seed) != 32:
            raise Invalid("an Ed25519 seed has 32 bytes", place=f"key of {self.name}")

    @classmethod
    def generate(cls, name: str) -> Signer:
        """A new key from the system's randomness."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> Signer:
        return cls(name, seed)

    @cached_property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def verifier(self) -> Verifier:
        return Verifier(self.name, self._private.public_key().public_bytes_raw())

    @property
    def vkey(self) -> str:
        return self.verifier.vkey

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature over exactly these bytes."""
        return self._private.sign(message)

    def line(self, text: bytes) -> str:
        """The signature line over the note text `text`, newline included."""
        return f"{_DASH}{self.name} {encode_base64(self.verifier.key_id + self.sign(text))}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A verified note: its text and the names of the given verifiers that signed it, in the order of their lines."""

    text: str
    signed_by: tuple[str, ...]


def sign_note(text: str, *signers: Signer) -> bytes:
    """The note of `text` with one signature line for each signer. Ed25519 is deterministic: the same input gives the same bytes.

    Raises Invalid when the text cannot be a note's text or there is no signer.
    """
    if not signers or len(signers) > MAX_SIGNATURES:
        raise Invalid(f"a note has 1 to {MAX_SIGNATURES} signatures")
    encoded = _check_text(text)
    note = encoded + b"\n" + "".join(signer.line(encoded) for signer in signers).encode()
    if len(note) > MAX_NOTE:
        raise Invalid(f"a note has at most {MAX_NOTE} bytes")
    return note


def open_note(note: bytes, verifiers: Iterable[Verifier], *, need: int = 1, limit: int = MAX_NOTE) -> Note:
    """The text of a note that at least `need` of `verifiers` have signed.

    1. Split text from signatures at the last empty line; refuse anything that is not strictly a note (Invalid).
    2. Two different given keys of one name and id: refuse, a line could not say which one signed.
    3. Ignore lines of unknown keys. Every line of a known key must verify: one bad signature rejects the note (NotVerified).
    4. Count each key once; fewer than `need` rejects the note (NotVerified).
    """
    # (1)
    text, lines = split_note(note, limit=limit)
    # (2)
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise NotVerified(f"two different keys share the name and id of {verifier.name}")
    if need < 1 or need > len(known):
        raise NotVerified(f"{need} signatures are needed and {len(known)} keys are known")
    # (3)
    message = text.encode()
    signed: dict[tuple[str, bytes], None] = {}
    for name, key_id, signature in lines:
        found = known.get((name, key_id))
        if found is None:
            continue
        if not found.accepts(message, signature):
            raise NotVerified(f"the signature of {name} does not fit the text", remedy="Fetch the note again; it was changed.")
        signed[name, key_id] = None
    # (4)
    if len(signed) < need:
        missing = sorted({name for name, key_id in known if (name, key_id) not in signed})
        raise NotVerified(f"the note is not signed by {', '.join(missing)}")
    return Note(text, tuple(name for name, _ in signed))


def read_text(note: bytes, *, limit: int = MAX_NOTE) -> str:
    """The text of a note, strictly split but NOT verified: only to find out who should have signed it. Raises Invalid."""
    return split_note(note, limit=limit)[0]


def encode_base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()


def decode_base64(text: str, *, place: str = "base64") -> bytes:
    """The bytes of standard, padded base64 that re-encodes to itself. Raises Invalid on any other spelling."""
    try:
        raw = binascii.a2b_base64(text)
    except ValueError:  # binascii.Error is one, and a text that is not ASCII raises it
        raise Invalid("this is not base64", place=place) from None
    if encode_base64(raw) != text:  # also what the decoder overlooks: white space, strange characters, bits that are not used
        raise Invalid("this base64 is not in its one canonical form", place=place)
    return raw


def split_note(note: bytes, *, limit: int = MAX_NOTE) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Text and signature lines (name, key id of 4 bytes, what follows it) of a note. Raises Invalid; verifies nothing."""
    if len(note) > limit:
        raise Invalid(f"a note has at most {limit} bytes", place="note")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("a note is UTF-8", place="note") from None
    if len(note.translate(None, _CONTROL)) != len(note):
        raise Invalid("a note has no control characters", place="note")
    # The LAST empty line separates: an earlier one belongs to the text, so text cannot smuggle in signature lines.
    head, separator, tail = whole.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise Invalid("text and signatures are not separated by an empty line", place="note")
    rows = tail[:-1].split("\n")
    if len(rows) > MAX_SIGNATURES:
        raise Invalid(f"a note has at most {MAX_SIGNATURES} signature lines", place="note")
    return head + "\n", [_signature_line(row, number) for number, row in enumerate(rows, 1)]


def _signature_line(row: str, number: int) -> tuple[str, bytes, bytes]:
    place = f"note, signature line {number}"
    if not row.startswith(_DASH):
        raise Invalid("a signature line begins with an em dash and a space", place=place)
    name, _, material = row[len(_DASH) :].partition(" ")
    check_key_name(name, place)
    raw = decode_base64(material, place=place)
    if len(raw) < 5:
        raise Invalid("a signature has a key id of 4 bytes and a body", place=place)
    return name, raw[:4], raw[4:]


def check_key_name(name: str, place: str = "key name") -> None:
    """Raises Invalid when the name cannot stand in a signature line."""
    if not name or _NOT_IN_NAME.search(name):
        raise Invalid("a key name is not empty and has no space, no '+' and no control character", place=place)


def _check_text(text: str) -> bytes:
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError:
        raise Invalid("a note's text must be encodable as UTF-8", place="note text") from None
    if not text.endswith("\n"):
        raise Invalid("a note's text ends in a newline", place="note text")
    if len(encoded.translate(None, _CONTROL)) != len(encoded):
        raise Invalid("a note's text has no control characters except newlines", place="note text")
    return encoded
