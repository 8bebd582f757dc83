"""A sealed seed opens for its trustee, plan, node and place, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from collegium.errors import Invalid, NotVerified
from collegium.national.seal import CIPHERTEXT, PUBLIC_KEY, SealingKey, SeedContext, open_seed, seal_seed

KEY = SealingKey(bytes(range(96)))
HERE = SeedContext(b"p" * 32, 5, 1, b"n" * 32)
SEED = b"s" * 32
SEALED = seal_seed(KEY.public, SEED, HERE)


def test_a_seed_comes_back() -> None:
    assert (len(KEY.public), len(SEALED)) == (PUBLIC_KEY, CIPHERTEXT)
    assert open_seed(KEY, SEALED, HERE) == SEED
    assert seal_seed(KEY.public, SEED, HERE) != SEALED  # fresh randomness each time


def test_it_is_plain_hpke_with_the_written_info() -> None:
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    info = b"collegium/v1/seed" + b"p" * 32 + b"\0\0\0\5" + b"\1" + b"n" * 32
    assert suite.decrypt(SEALED, KEY._private, info=info) == SEED


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(HERE, plan=b"q" * 32),
        replace(HERE, member=6),
        replace(HERE, trustee=2),
        replace(HERE, node_key=b"m" * 32),
    ],
)
def test_it_opens_nowhere_else(elsewhere: SeedContext) -> None:
    with pytest.raises(NotVerified):
        open_seed(KEY, SEALED, elsewhere)


@pytest.mark.parametrize("at", [0, 1087, 1088, 1119, 1120, CIPHERTEXT - 1])
def test_an_altered_byte(at: int) -> None:
    changed = bytearray(SEALED)
    changed[at] ^= 1
    with pytest.raises(NotVerified):
        open_seed(KEY, bytes(changed), HERE)


@pytest.mark.parametrize("ciphertext", [b"", SEALED[:-1], SEALED + b"\0"])
def test_a_wrong_length(ciphertext: bytes) -> None:
    with pytest.raises(NotVerified):
        open_seed(KEY, ciphertext, HERE)


def test_another_trustees_key() -> None:
    with pytest.raises(NotVerified):
        open_seed(SealingKey.generate(), SEALED, HERE)


@pytest.mark.parametrize("public", [b"", b"\xff" * PUBLIC_KEY, KEY.public[:-32] + bytes(32)])
def test_a_key_that_is_none(public: bytes) -> None:
    with pytest.raises(Invalid):
        seal_seed(public, SEED, HERE)


def test_a_sealing_key_is_never_shown() -> None:
    assert repr(KEY) == "SealingKey()"
    with pytest.raises(Invalid):
        SealingKey(bytes(95))
