"""The keyed choice of one person's cells and rows, portable to every engine.

Where a person has more cells or rows than the question's bounds allow, a hash decides which count. It depends on the node's
secret, the question, and *that person's own* digest and rows, never on a rank, a position or a code that other persons could
shift: with those, removing one person could change what is kept of another, and the stated sensitivity would be wrong.

    p          = 2^31 - 1
    key        = 8 integers in [1, p-1]: HMAC-SHA256(secret, "collegium/v1/choice" 0 label 0 context counter), counter = 0, 1,
                 read as big-endian uint64 u and taken as 1 + u mod (p-1)
    mix31      t = k0·d1 + k1·d2 + k2·c + k3;  t ^= t>>16;  t = k4·t + k5;  t ^= t>>15;  t = k6·t + k7      (each step mod p)
    digest     62 bits: d1 = low 31 bits, d2 = high 31 bits
    a cell     order = mix31(groups key, person digest, cell) << 31 | cell;                smallest first
    a row      order = mix31(rows key, row digest, 0) << 31 | low 31 bits of row digest;   smallest first, ties as stored

Every product is below 2^62, so any SQL engine with signed 64-bit integers computes the same numbers. `tests/vectors/choice.json`
holds golden vectors. The function is for near-uniform choice and is no cryptographic hash: the keys never leave the node.

The secret is trusted with the unpredictability of the choice only; an attacker who holds it can tell which of a known person's
rows would be kept. The guarantee does not rest on it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collegium_node.compiled import compiled

__all__ = [
    "NULL",
    "Int64s",
    "QuestionKeys",
    "cell_order",
    "derive_key",
    "fold_row_digests",
    "mix31",
    "mix31_compiled",
    "question_keys",
    "row_order",
]

Int64s = NDArray[np.int64]

P = 2**31 - 1
LOW31 = 2**31 - 1
NULL = -(2**63)
"""Stands for null wherever prepared integers are held in plain int64 arrays."""

SHIFT = 2**41  # prepared integers are within ±2^40, so shifted ones are above 0, which is left for null


@dataclass(frozen=True, slots=True, repr=False)
class QuestionKeys:
    """The two keys of one question at one node. Never logged, shown or sent."""

    groups: Int64s
    rows: Int64s


def derive_key(secret: bytes, label: str, context: bytes = b"") -> Int64s:
    """Eight integers in [1, p-1] for one use (`label`) of the node's secret."""
    if len(secret) < 32:
        raise ValueError("the secret has at least 32 bytes")
    prefix = b"collegium/v1/choice\0" + label.encode() + b"\0" + context
    stream = b"".join(hmac.digest(secret, prefix + bytes([counter]), "sha256") for counter in (0, 1))
    words = (int.from_bytes(stream[i : i + 8], "big") for i in range(0, 64, 8))
    return np.array([1 + word % (P - 1) for word in words], dtype=np.int64)


def question_keys(secret: bytes, question_digest: str) -> QuestionKeys:
    """The keys by which one question chooses cells and rows. The same question chooses the same ones again."""
    context = bytes.fromhex(question_digest)
    return QuestionKeys(groups=derive_key(secret, "groups", context), rows=derive_key(secret, "rows", context))


def mix31(key: Int64s, d1: int, d2: int, c: int) -> int:
    """The hash: three integers in [0, 2^31) to one in [0, p). The reference is this very function, run by the interpreter."""
    t = ((key[0] * d1) % P + (key[1] * d2) % P + (key[2] * c) % P + key[3]) % P
    t ^= t >> 16
    t = (t * key[4] + key[5]) % P
    t ^= t >> 15
    return (t * key[6] + key[7]) % P  # type: ignore[no-any-return]


mix31_compiled = compiled(mix31)


def _cell_order(key: Int64s, person_digest: int, cell: int) -> int:
    return (mix31_compiled(key, person_digest & LOW31, person_digest >> 31, cell) << 31) | cell


def _row_order(key: Int64s, row_digest: int) -> int:
    return (mix31_compiled(key, row_digest & LOW31, row_digest >> 31, 0) << 31) | (row_digest & LOW31)


cell_order = compiled(_cell_order)
"""The order of one cell for one person; distinct for distinct cells."""

row_order = compiled(_row_order)
"""The order of one row. Equal for rows whose prepared values are equal, so which of those is kept makes no difference."""


def fold_row_digests(person_digest: Int64s, columns: Iterable[Int64s], secret: bytes) -> Int64s:
    """A 62-bit digest of each row: of its person's digest and its prepared integers in the schema's column order.

    Args:
        person_digest: int64[rows], 62 bits, the digest of the person each row belongs to.
        columns: int64[rows] each, codes or steps within ±2^40, `NULL` for null. May be a generator: one is held at a time.
        secret: the node's secret.

    Portable as all of this file: two 31-bit lanes a, b start as the person's low and high bits; each value v becomes
    u = v + 2^41 (null: 0) and a = mix31(key a, a, u mod 2^31, u div 2^31), b likewise; the digest is b·2^31 + a.
    """
    a = person_digest & LOW31
    b = person_digest >> 31
    key_a, key_b = derive_key(secret, "row-a"), derive_key(secret, "row-b")
    for column in columns:
        if column.shape != a.shape:
            raise ValueError("every column has one value for each row")
        values = np.ascontiguousarray(column, dtype=np.int64).view()
        values.flags.writeable = False  # one kind of argument means one compilation
        _fold(key_a, key_b, a, b, values)
    return (b << 31) | a


def _fold_loop(key_a: Int64s, key_b: Int64s, a: Int64s, b: Int64s, column: Int64s) -> None:
    for i in range(column.size):
        u = 0 if column[i] == NULL else column[i] + SHIFT
        low, high = u & LOW31, u >> 31
        a[i] = mix31_compiled(key_a, a[i], low, high)
        b[i] = mix31_compiled(key_b, b[i], low, high)


_fold = compiled(_fold_loop)
