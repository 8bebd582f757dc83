"""Seeds sealed to trustees: HPKE (RFC 9180) in base mode as `cryptography` has it, with nothing of our own in it.

KEM ML-KEM-768 + X25519 (hybrid: whoever records the ciphertexts today needs to break both), KDF HKDF-SHA256, AEAD
ChaCha20-Poly1305. The info binds a ciphertext to its plan, node, trustee and the node's statement key: it opens nowhere else.

    "collegium/v1/seed" ‖ plan digest (32) ‖ member (4) ‖ trustee (1) ‖ node's Ed25519 public key (32)

There is no fallback to X25519 alone: a fallback is what an attacker would ask for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from collegium.errors import Invalid, NotVerified
from collegium.national.mask import SEED, place_bytes

__all__ = ["CIPHERTEXT", "PUBLIC_KEY", "SealingKey", "SeedContext", "open_seed", "seal_seed"]

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_INFO = b"collegium/v1/seed"
_MLKEM_PUBLIC, _MLKEM_SEED, _X25519 = 1184, 64, 32

PUBLIC_KEY = _MLKEM_PUBLIC + _X25519
"""Bytes of a trustee's public key: ML-KEM-768, then X25519."""
CIPHERTEXT = KEM.MLKEM768_X25519.enc_length() + SEED + 16
"""Bytes of a sealed seed."""


@dataclass(frozen=True, slots=True)
class SeedContext:
    """Where a seed belongs: the plan's digest, the node's place and statement key (raw, 32 bytes each), the trustee's place."""

    plan: bytes
    member: int
    trustee: int
    node_key: bytes

    @property
    def info(self) -> bytes:
        if len(self.plan) != 32 or len(self.node_key) != 32:
            raise Invalid("a plan digest and a node's key have 32 bytes", place="sealed seed")
        return _INFO + self.plan + place_bytes(self.member, self.trustee) + self.node_key


@dataclass(frozen=True)
class SealingKey:
    """A trustee's private key of one month, 96 bytes: the ML-KEM-768 seed, then the X25519 key.

    Trusted with the seeds sealed to it. An attacker who holds it learns this trustee's masks of that month, and nothing as long as
    one other trustee is honest; it is deleted when its month's rounds are over.
    """

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != _MLKEM_SEED + _X25519:
            raise Invalid("a sealing key has 96 bytes", place="sealing key")

    @classmethod
    def generate(cls) -> SealingKey:
        """A new key from the system's randomness."""
        return cls(MLKEM768PrivateKey.generate().private_bytes_raw() + X25519PrivateKey.generate().private_bytes_raw())

    @cached_property
    def _private(self) -> MLKEM768X25519PrivateKey:
        return MLKEM768X25519PrivateKey(
            MLKEM768PrivateKey.from_seed_bytes(self.raw[:_MLKEM_SEED]), X25519PrivateKey.from_private_bytes(self.raw[_MLKEM_SEED:])
        )

    @cached_property
    def public(self) -> bytes:
        """The public key, PUBLIC_KEY bytes."""
        mlkem = MLKEM768PrivateKey.from_seed_bytes(self.raw[:_MLKEM_SEED]).public_key().public_bytes_raw()
        return mlkem + X25519PrivateKey.from_private_bytes(self.raw[_MLKEM_SEED:]).public_key().public_bytes_raw()


def seal_seed(public: bytes, seed: bytes, context: SeedContext) -> bytes:
    """The sealed seed, CIPHERTEXT bytes. Raises Invalid when the key is none or the seed has another length."""
    if len(public) != PUBLIC_KEY or len(seed) != SEED:
        raise Invalid(f"a trustee's key has {PUBLIC_KEY} bytes and a seed {SEED}", place="sealed seed")
    try:
        key = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC]), X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:])
        )
        return _SUITE.encrypt(seed, key, info=context.info)
    except ValueError:  # not a key of ML-KEM, or an X25519 point without a secret
        raise Invalid("this is no trustee's key", place="sealed seed") from None


def open_seed(key: SealingKey, ciphertext: bytes, context: SeedContext) -> bytes:
    """The seed, 32 bytes. Raises NotVerified when it was not sealed to this key for exactly this place."""
    info = context.info
    try:
        seed = _SUITE.decrypt(ciphertext, key._private, info=info) if len(ciphertext) == CIPHERTEXT else b""
    except (InvalidTag, ValueError):
        seed = b""
    if len(seed) != SEED:
        raise NotVerified("this seed was not sealed for this plan, node and trustee", place="sealed seed")
    return seed
