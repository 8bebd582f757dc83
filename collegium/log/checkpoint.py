"""Checkpoints: the signed head of a log. C2SP tlog-checkpoint 1.0, without extension lines.

    <origin>
    <size>
    <base64 of the root>

    — <origin> <signature>

Signed by the log's own key, whose name is the origin; cosignatures of witnesses may follow as further lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from collegium.errors import Invalid, NotVerified
from collegium.log.merkle import EMPTY_ROOT, MAX_SIZE
from collegium.log.note import Signer, Verifier, decode_base64, encode_base64, open_note, read_text, sign_note

__all__ = ["Checkpoint", "open_checkpoint", "read_checkpoint", "sign_checkpoint"]

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's name, its number of entries, and the 32 bytes of its root."""

    origin: str
    size: int
    root: bytes


def sign_checkpoint(origin: str, size: int, root: bytes, signer: Signer) -> bytes:
    """The signed checkpoint. A log never signs two that are not consistent: the caller holds the tree and sees to that."""
    if signer.name != origin:
        raise Invalid(f"a checkpoint of {origin} is signed by the key of that name, not by {signer.name}")
    _check(Checkpoint(origin, size, root))  # a signer's name is never empty and holds no white space
    return sign_note(f"{origin}\n{size}\n{encode_base64(root)}\n", signer)


def open_checkpoint(note: bytes, verifier: Verifier) -> Checkpoint:
    """The checkpoint of the log whose key this is. Raises NotVerified, or Invalid when it is none. Cosignatures are ignored."""
    checkpoint = _parse(open_note(note, [verifier]).text)
    if checkpoint.origin != verifier.name:
        raise NotVerified(f"the key of {verifier.name} signed a checkpoint of {checkpoint.origin}")
    return checkpoint


def read_checkpoint(note: bytes) -> Checkpoint:
    """The checkpoint as it reads, NOT verified. Raises Invalid."""
    return _parse(read_text(note))


def _parse(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 4 or not lines[0]:
        raise Invalid("a checkpoint has three lines: origin, size, root", place="checkpoint")
    origin, digits, encoded, _ = lines
    if not _SIZE.fullmatch(digits):
        raise Invalid("the size is not a plain number below 2^63", place="checkpoint")
    return _check(Checkpoint(origin, int(digits), decode_base64(encoded, place="checkpoint root")))


def _check(checkpoint: Checkpoint) -> Checkpoint:
    if not 0 <= checkpoint.size <= MAX_SIZE:
        raise Invalid("the size is not a plain number below 2^63", place="checkpoint")
    if len(checkpoint.root) != 32:
        raise Invalid("the root has 32 bytes", place="checkpoint")
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise Invalid("the empty tree has another root", place="checkpoint")
    return checkpoint
