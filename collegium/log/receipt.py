"""Receipts: the proof that a log holds an entry. C2SP tlog-proof, without its optional extra line.

    c2sp.org/tlog-proof@v1
    index <n>
    <base64 hash>              one a line, from the leaf's sibling to the root's child

    <cosigned checkpoint, verbatim>

Who holds a receipt can show any later day that the log held the entry, whatever the log shows then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from collegium.errors import Invalid
from collegium.log.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from collegium.log.cosign import CosignerVerifier, check_quorum
from collegium.log.merkle import MAX_SIZE, leaf_hash, verify_inclusion
from collegium.log.note import MAX_NOTE, Verifier, decode_base64, encode_base64
from collegium.log.tree import Tree

__all__ = ["MAX_RECEIPT", "Proven", "Receipt", "make_receipt", "verify_receipt"]

_HEADER = "c2sp.org/tlog-proof@v1\n"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
_MAX_PATH = 63
MAX_RECEIPT = MAX_NOTE + 4096  # bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """A parsed receipt, NOT verified: the entry's index, the inclusion path (32 bytes each) and the checkpoint note."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes

    def to_bytes(self) -> bytes:
        hashes = "".join(f"{encode_base64(each)}\n" for each in self.path)
        return f"{_HEADER}index {self.index}\n{hashes}\n".encode() + self.checkpoint

    @classmethod
    def parse(cls, raw: bytes, *, place: str = "receipt") -> Receipt:
        """Strictly: `to_bytes` gives the same bytes again. Raises Invalid."""
        if len(raw) > MAX_RECEIPT:
            raise Invalid(f"a receipt has at most {MAX_RECEIPT} bytes", place=place)
        # Neither the header nor the hashes hold an empty line, so the first one separates.
        head, separator, checkpoint = raw.partition(b"\n\n")
        try:
            header, *lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise Invalid("the lines above the checkpoint are plain ASCII", place=place) from None
        if not separator or f"{header}\n" != _HEADER or not lines:
            raise Invalid("this is no c2sp.org/tlog-proof@v1", place=place)
        match = _INDEX.fullmatch(lines[0])
        if match is None or int(match[1]) >= MAX_SIZE or len(lines) - 1 > _MAX_PATH:
            raise Invalid("a receipt names an index and at most 63 hashes", place=place)
        path = tuple(decode_base64(line, place=place) for line in lines[1:])
        if any(len(each) != 32 for each in path):
            raise Invalid("a hash has exactly 32 bytes", place=place)
        read_checkpoint(checkpoint)
        return cls(int(match[1]), path, checkpoint)


@dataclass(frozen=True, slots=True)
class Proven:
    """What a verified receipt proves: the entry has this index in this tree, which these witnesses cosigned at these times."""

    index: int
    checkpoint: Checkpoint
    cosigned: Mapping[str, int]


def make_receipt(tree: Tree, index: int, checkpoint: bytes) -> bytes:
    """The receipt of entry `index` under a checkpoint note of the same log. Raises Invalid when the checkpoint is before it."""
    return Receipt(index, tuple(tree.inclusion(index, read_checkpoint(checkpoint).size)), checkpoint).to_bytes()


def verify_receipt(
    receipt: bytes,
    entry: bytes,
    log: Verifier,
    *,
    witnesses: Mapping[str, CosignerVerifier] | None = None,
    quorum: int = 0,
    place: str = "receipt",
) -> Proven:
    """What `receipt` proves of `entry` (the note's bytes, verbatim) and the log whose key this is.

    1. It is strictly a receipt (Invalid). 2. Its checkpoint is signed by the log's key, under the log's name (NotVerified).
    3. At least `quorum` of the witnesses have cosigned the checkpoint; a bad cosignature of one of them is refused.
    4. The entry lies at the index in the tree of the checkpoint.
    """
    try:
        # (1)
        parsed = Receipt.parse(receipt, place=place)
        # (2)
        checkpoint = open_checkpoint(parsed.checkpoint, log)
        # (3)
        cosigned = check_quorum(parsed.checkpoint, witnesses or {}, quorum)
        # (4)
        verify_inclusion(leaf_hash(entry), parsed.index, checkpoint.size, parsed.path, checkpoint.root)
    except Invalid as error:
        raise type(error)(error.text, place=place, remedy=error.remedy, reason=error.reason) from None
    return Proven(parsed.index, checkpoint, cosigned)
