"""Masks: a seed stretched to as many uint64 as the vector has cells.

    key  = HKDF-SHA256(seed, salt = plan digest, info = "collegium/v1/mask" ‖ member ‖ trustee)     32 bytes
    mask = the keystream of AES-256-CTR(key, first counter block 0), read as little-endian uint64

member is a uint32 and trustee a uint8, both big endian. The first counter block may be zero because a key serves one stream alone:
seeds are fresh for every node, trustee and round. RFC 5869 (HKDF), NIST SP 800-38A (CTR). Made in chunks: memory does not grow
with the vector.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from collegium.errors import Invalid

__all__ = ["CHUNK", "SEED", "TRUSTEES", "U64", "mask_chunks", "mask_key", "new_seeds", "place_bytes"]

U64 = NDArray[np.uint64]
CHUNK = 16_384
"""Cells handled at once (128 KiB)."""
SEED = 32
TRUSTEES = 3

_INFO = b"collegium/v1/mask"


def new_seeds() -> tuple[bytes, bytes, bytes]:
    """Three seeds of 32 bytes from the system's randomness. For one message: a repeated round draws new ones."""
    return secrets.token_bytes(SEED), secrets.token_bytes(SEED), secrets.token_bytes(SEED)


def place_bytes(member: int, trustee: int) -> bytes:
    """member ‖ trustee as 5 bytes. Raises Invalid when one is out of range."""
    if not 0 <= member < 2**32 or not 0 <= trustee < TRUSTEES:
        raise Invalid(f"no mask has the place {member}, {trustee}", place="mask")
    return member.to_bytes(4, "big") + trustee.to_bytes(1, "big")


def mask_key(seed: bytes, plan: bytes, member: int, trustee: int) -> bytes:
    """The AES-256 key of one mask. `plan` is the plan's digest, 32 bytes."""
    if len(seed) != SEED or len(plan) != 32:
        raise Invalid("a seed and a plan digest have 32 bytes", place="mask")
    return HKDF(SHA256(), 32, salt=plan, info=_INFO + place_bytes(member, trustee)).derive(seed)


def mask_chunks(key: bytes, length: int, *, chunk: int = CHUNK) -> Iterator[U64]:
    """The mask of `length` cells in pieces of `chunk` cells (the last may be shorter)."""
    stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()
    zeros = bytes(8 * chunk)
    for start in range(0, length, chunk):
        size = 8 * min(chunk, length - start)
        yield np.frombuffer(stream.update(memoryview(zeros)[:size]), dtype="<u8")
