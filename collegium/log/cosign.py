"""Cosignatures: a witness signs that a checkpoint is of the largest consistent tree it has seen. C2SP tlog-cosignature 1.0.1.

A line under the checkpoint's own signature carries, after the key id, 8 bytes of big-endian Unix seconds and an Ed25519 signature
over `cosignature/v1`, the time and the checkpoint's text. The key's type is 0x04, so that nothing else it signs reads as one.

    line = cosigner.cosign(checkpoint, 1_766_000_000)
    checkpoint = add_cosignatures(checkpoint, [line])
    check_quorum(checkpoint, verifiers, 3)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from collegium.errors import Invalid, NotVerified
from collegium.log.checkpoint import read_checkpoint
from collegium.log.note import (
    MAX_NOTE,
    MAX_SIGNATURES,
    Signer,
    Verifier,
    check_key_name,
    decode_base64,
    encode_base64,
    open_note,
    read_text,
    split_note,
)

__all__ = ["CosignerSigner", "CosignerVerifier", "add_cosignatures", "check_quorum", "open_cosignatures", "own_lines"]

_COSIGNER = b"\x04"
_MAX_TIME = 2**63 - 1


@dataclass(frozen=True)
class CosignerVerifier:
    """A witness's name and Ed25519 public key. Public; whoever replaces it in a reader's trust can cosign as that witness."""

    name: str
    raw: bytes  # the public key, 32 bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.raw) != 32:
            raise Invalid("an Ed25519 public key has 32 bytes", place=f"cosigner key of {self.name}")

    @cached_property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name, newline, type, public key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + _COSIGNER + self.raw).digest()[:4]

    @cached_property
    def _key(self) -> Verifier:
        return Verifier(self.name, self.raw)  # the same curve and checks; its own key id is never used

    def __repr__(self) -> str:
        return f"CosignerVerifier({self.vkey})"

    @property
    def vkey(self) -> str:
        """The key as text: name+hex8(key id)+base64(type and public key)."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(_COSIGNER + self.raw)}"

    @classmethod
    def parse(cls, vkey: str, *, place: str = "cosigner key") -> CosignerVerifier:
        """A verifier from its text. Raises Invalid when any part of it is wrong, the type and the key id included."""
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise Invalid("a verifier key reads name+id+base64", place=place, remedy="Copy it again, whole.")
        name, key_id, material = parts
        raw = decode_base64(material, place=place)
        if raw[:1] != _COSIGNER or len(raw) != 33:
            raise Invalid("this version reads Ed25519 cosigner keys (type 4, 33 bytes) only", place=place)
        verifier = cls(name, raw[1:])
        if verifier.key_id.hex() != key_id:
            raise Invalid("the key id does not fit name and key", place=place, remedy="Copy it again, whole.")
        return verifier

    def time_of(self, text: bytes, timed: bytes) -> int | None:
        """The Unix seconds of this key's cosignature `timed` (72 bytes) over the checkpoint text; None when it is not its own."""
        time = int.from_bytes(timed[:8], "big")
        if len(timed) != 72 or time > _MAX_TIME or not self._key.accepts(_message(text, time), timed[8:]):
            return None
        return time


@dataclass(frozen=True)
class CosignerSigner:
    """A witness's name and private key.

    Trusted with saying what is the newest tree it knows; an attacker who holds it can hide a log's second history from everybody
    who counts on this witness, together with a quorum of others.
    """

    name: str
    seed: bytes = field(repr=False)  # 32 bytes; the private key itself

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.seed) != 32:
            raise Invalid("an Ed25519 seed has 32 bytes", place=f"key of {self.name}")

    @classmethod
    def generate(cls, name: str) -> CosignerSigner:
        """A new key from the system's randomness."""
        return cls(name, Signer.generate(name).seed)

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> CosignerSigner:
        return cls(name, seed)

    @cached_property
    def _key(self) -> Signer:
        return Signer(self.name, self.seed)

    @cached_property
    def verifier(self) -> CosignerVerifier:
        return CosignerVerifier(self.name, self._key.verifier.raw)

    @property
    def vkey(self) -> str:
        return self.verifier.vkey

    def cosign(self, checkpoint: bytes, time: int) -> bytes:
        """The cosignature line, newline included, over a checkpoint note at `time` (Unix seconds).

        The caller has verified the checkpoint's own signature and its consistency, and has stored it (see `collegium.log.witness`).
        Raises Invalid when it is no checkpoint.
        """
        if not 0 <= time <= _MAX_TIME:
            raise Invalid("a cosignature's time is Unix seconds", place="cosignature")
        read_checkpoint(checkpoint)
        text = read_text(checkpoint).encode()
        timed = time.to_bytes(8, "big") + self._key.sign(_message(text, time))
        return f"— {self.name} {encode_base64(self.verifier.key_id + timed)}\n".encode()


def open_cosignatures(checkpoint: bytes, verifiers: Iterable[CosignerVerifier]) -> dict[CosignerVerifier, int]:
    """Which of the verifiers have cosigned this checkpoint note, and when (the newest time of each).

    1. Split strictly; it reads as a checkpoint (Invalid). The log's own signature is NOT checked here: `open_checkpoint` does.
    2. Two different given keys of one name and id: refuse, a line could not say which one signed.
    3. Ignore lines of unknown keys. Every line of a known key must verify: a bad one rejects the note (NotVerified).
    4. Count each key once, however many lines it has.
    """
    # (1)
    read_checkpoint(checkpoint)
    text, lines = split_note(checkpoint)
    # (2)
    known: dict[tuple[str, bytes], CosignerVerifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise NotVerified(f"two different keys share the name and id of {verifier.name}")
    # (3)
    message = text.encode()
    times: dict[CosignerVerifier, int] = {}
    for name, key_id, timed in lines:
        found = known.get((name, key_id))
        if found is None:
            continue
        time = found.time_of(message, timed)
        if time is None:
            raise NotVerified(f"the cosignature of {name} does not fit the checkpoint", remedy="Fetch it again; it was changed.")
        # (4)
        times[found] = max(time, times.get(found, 0))
    return times


def check_quorum(checkpoint: bytes, verifiers: Mapping[str, CosignerVerifier], quorum: int) -> dict[str, int]:
    """The witnesses (by the mapping's names) that have cosigned, and when. Raises NotVerified when they are fewer than `quorum`.

    Distinct keys are counted: one key under two names counts once. With `quorum` 0 (a log that has no witnesses) nothing is needed.
    """
    times = open_cosignatures(checkpoint, verifiers.values())
    if len({verifier.raw for verifier in times}) < quorum:
        missing = ", ".join(sorted(name for name, verifier in verifiers.items() if verifier not in times))
        raise NotVerified(
            f"{len(times)} of {quorum} witnesses have cosigned it", place="checkpoint", remedy=f"Not cosigned by: {missing}."
        )
    return {name: times[verifier] for name, verifier in verifiers.items() if verifier in times}


def add_cosignatures(checkpoint: bytes, lines: Iterable[bytes]) -> bytes:
    """The checkpoint note with more signature lines, unverified: check them first, with `open_cosignatures` of the result.

    A line whose (name, key id) is there already replaces it when it is newer; equal notes and lines always give equal bytes.
    Raises Invalid when a line is none or there would be too many.
    """
    read_checkpoint(checkpoint)
    text, signed = split_note(checkpoint)
    merged = {(name, key_id): body for name, key_id, body in signed}
    for line in lines:
        around, parsed = split_note(text.encode() + b"\n" + line)
        if around != text:
            raise Invalid("a signature line holds no empty line", place="cosignature")
        for name, key_id, body in parsed:
            held = merged.get((name, key_id))
            if held is None or (len(body) == 72 and body[:8] > held[:8]):
                merged[name, key_id] = body
    return _note(text, merged)


def own_lines(checkpoint: bytes, verifier: Verifier) -> bytes:
    """The checkpoint note with the log's own signature alone: what a witness stores. Raises NotVerified when it has none."""
    open_note(checkpoint, [verifier])
    text, signed = split_note(checkpoint)
    return _note(text, {(name, key): body for name, key, body in signed if (name, key) == (verifier.name, verifier.key_id)})


def _message(text: bytes, time: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % time + text


def _note(text: str, lines: Mapping[tuple[str, bytes], bytes]) -> bytes:
    rows = [f"— {name} {encode_base64(key_id + body)}\n" for (name, key_id), body in lines.items()]
    note = f"{text}\n{''.join(rows)}".encode()
    if len(rows) > MAX_SIGNATURES or len(note) > MAX_NOTE:
        raise Invalid(f"a checkpoint has at most {MAX_SIGNATURES} signature lines", place="checkpoint")
    return note
