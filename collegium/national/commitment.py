"""A node's salted commitment to the vector it masked: later it can show what it sent, and until then the commitment shows nothing.

    SHA-256("collegium/v1/commitment" ‖ plan digest (32) ‖ member (4) ‖ salt (32) ‖ cells as little-endian uint64)

All parts but the last have fixed lengths, so two inputs never spell alike. Without the salt a small vector could be guessed.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np

from collegium.errors import Invalid
from collegium.national.mask import U64

__all__ = ["commitment", "new_salt"]

_PREFIX = b"collegium/v1/commitment"


def new_salt() -> bytes:
    """32 bytes from the system's randomness; kept by the node with the round."""
    return secrets.token_bytes(32)


def commitment(plan: bytes, member: int, salt: bytes, unmasked: U64) -> str:
    """The commitment, hex. `unmasked` is 2^f·tally + noise modulo 2^64, shape (length,)."""
    if len(plan) != 32 or len(salt) != 32 or not 0 <= member < 2**32:
        raise Invalid("a commitment has a plan digest and a salt of 32 bytes and a member", place="commitment")
    digest = hashlib.sha256(_PREFIX + plan + member.to_bytes(4, "big") + salt)
    digest.update(np.ascontiguousarray(unmasked, dtype="<u8").data)
    return digest.hexdigest()
