"""Masking, adding and unmasking modulo 2^64: exact whatever the order, in streams of chunks.

    masked_i = value_i + M_i0 + M_i1 + M_i2        total = Σ masked_i − Σ_j Σ_i M_ij = Σ value_i        (mod 2^64)

The total is read as int64, which is exact because the plan has checked that no sum leaves its range. Memory is one vector of the
length asked for and one chunk, however many nodes there are. numpy's uint64 arrays wrap around without a word, which is meant here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from collegium.errors import NotVerified
from collegium.national.mask import CHUNK, U64, mask_chunks

__all__ = ["Total", "exact_figures", "figures", "mask", "read_vector", "vector_digest"]


class Total:
    """A running sum of `length` cells. Trusted with the result; whoever changes it makes a sum that re-verification refutes."""

    def __init__(self, length: int) -> None:
        self._sum: U64 = np.zeros(length, dtype=np.uint64)

    @property
    def length(self) -> int:
        return len(self._sum)

    def add(self, chunks: Iterable[U64]) -> None:
        """Add one vector, given in pieces. Raises NotVerified when the pieces are not `length` cells; the total is void then."""
        for start, chunk in self._pieces(chunks):
            self._sum[start : start + len(chunk)] += chunk

    def subtract(self, chunks: Iterable[U64]) -> None:
        """The same with the other sign."""
        for start, chunk in self._pieces(chunks):
            self._sum[start : start + len(chunk)] -= chunk

    def modular(self) -> U64:
        """The sum modulo 2^64, shape (length,)."""
        return self._sum.copy()

    def signed(self) -> NDArray[np.int64]:
        """The sum read as int64, shape (length,)."""
        return self._sum.view(np.int64).copy()

    def _pieces(self, chunks: Iterable[U64]) -> Iterator[tuple[int, U64]]:
        start = 0
        for chunk in chunks:
            if start + len(chunk) > self.length:
                raise NotVerified(f"a vector has more than {self.length} cells", place="national sum")
            yield start, chunk
            start += len(chunk)
        if start != self.length:
            raise NotVerified(f"a vector has {start} cells instead of {self.length}", place="national sum")


def mask(values: U64, keys: Iterable[bytes]) -> U64:
    """`values` plus the mask of each key, shape (length,). The input is left alone."""
    total = Total(len(values))
    total.add([values])
    for key in keys:
        total.add(mask_chunks(key, len(values)))
    return total.modular()


def vector_digest(vector: NDArray[np.uint64] | NDArray[np.int64]) -> str:
    """SHA-256 of the vector's bytes, 8 a cell, little endian."""
    return hashlib.sha256(np.ascontiguousarray(vector).astype(vector.dtype.newbyteorder("<"), copy=False).data).hexdigest()


def read_vector(file: BinaryIO, length: int, sha256: str, *, place: str, chunk: int = CHUNK) -> Iterator[U64]:
    """The cells of a stored vector in pieces. After the last piece its digest is compared, before whoever adds it can go on.

    Raises:
        NotVerified: it has another length, or is not what the statement named.
    """
    digest = hashlib.sha256()
    for start in range(0, length, chunk):
        size = 8 * min(chunk, length - start)
        data = file.read(size)
        if len(data) != size:
            raise NotVerified(f"the vector is shorter than {length} cells", place=place)
        digest.update(data)
        yield np.frombuffer(data, dtype="<u8")
    if file.read(1) or digest.hexdigest() != sha256:
        raise NotVerified("this is not the vector that was signed", place=place)


def exact_figures(total: NDArray[np.int64], fine: int) -> tuple[Fraction, ...]:
    """The figures in steps, total / 2^f, exactly."""
    return tuple(Fraction(cell, 1 << fine) for cell in total.tolist())


def figures(total: NDArray[np.int64], fine: int) -> NDArray[np.float64]:
    """The figures in steps as doubles: rounded once, and exact below 2^53 lattice steps."""
    return np.ldexp(total.astype(np.float64), -fine)
