"""What any party says about logs and about errors. For a node this is a part of its gate (`collegium_node.gate`), which has the
inventory of everything that may leave; so the same holds here: built only from what is signed or public, and never from the text
of an exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from collegium.errors import PUBLIC_TEXTS, CollegiumError, Failed, Invalid, NotReleased, NotVerified, Offline, Refused, public_text
from collegium.log.checkpoint import read_checkpoint
from collegium.log.statement import read_statement
from collegium.v1.log_pb2 import BlobReply, CheckpointReply, EntriesReply, ProofReply
from collegium.v1.node_pb2 import LearnReply
from collegium.v1.witness_pb2 import CosignReply

__all__ = ["blob", "checkpoint", "cosigned", "entries", "learnt", "proof", "public_error"]


def learnt(registry_size: int) -> LearnReply:
    """How much of the registry this party has verified."""
    return LearnReply(registry_size=registry_size)


def checkpoint(note: bytes) -> CheckpointReply:
    """This log's newest confirmed checkpoint; empty while there is none."""
    if note:
        read_checkpoint(note)
    return CheckpointReply(checkpoint=note)


def entries(first: int, notes: Sequence[bytes], size: int) -> EntriesReply:
    """Entries of this log as they were signed; the caller has seen to it that they lie under a confirmed checkpoint."""
    for note in notes:
        read_statement(note)
    return EntriesReply(first=first, entries=notes, size=size)


def proof(hashes: Sequence[bytes]) -> ProofReply:
    """An inclusion or consistency proof."""
    if any(len(each) != 32 for each in hashes):
        raise AssertionError("a hash has exactly 32 bytes")
    return ProofReply(hashes=hashes)


def blob(sha256: str, data: bytes) -> BlobReply:
    """A payload that a signed, confirmed entry names by its digest."""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise AssertionError("the payload is not the one of its digest")
    return BlobReply(data=data)


def cosigned(line: bytes, known_size: int, known_checkpoint: bytes) -> CosignReply:
    """This party's word as a witness: its cosignature, or what it knows of the log instead."""
    if known_checkpoint:
        read_checkpoint(known_checkpoint)
    return CosignReply(cosignature=line, known_size=known_size, known_checkpoint=known_checkpoint)


def public_error(error: BaseException) -> CollegiumError:
    """The error that may leave for any error inside: its kind, a reason of the public table, and that table's text. No more."""
    reason = error.reason if isinstance(error, CollegiumError) and error.reason in PUBLIC_TEXTS else "failed"
    if isinstance(error, Refused):
        return Refused(public_text(reason), by=error.by, reason=reason)
    kind = next((kind for kind in _PLAIN if type(error) is kind), Failed)
    return kind(public_text(reason), reason=reason)


_PLAIN: tuple[type[CollegiumError], ...] = (Invalid, NotVerified, NotReleased, Offline, Failed)
