"""Masked, added and unmasked, a sum is the plain sum exactly: for random numbers of nodes, lengths and dropouts."""

from __future__ import annotations

import hashlib
import io
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.errors import NotVerified
from collegium.national.addition import Total, exact_figures, figures, mask, read_vector, vector_digest
from collegium.national.mask import mask_chunks


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_unmasked_sum_is_the_plain_sum(data: st.DataObject) -> None:
    nodes, length = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 60))
    chunk = data.draw(st.integers(1, 70))
    present = sorted(data.draw(st.sets(st.integers(0, nodes - 1), min_size=1)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    reach = 2**63 // nodes - 1
    values = [rng.integers(-reach, reach, length) for _ in range(nodes)]
    keys = [[rng.bytes(32) for _ in range(3)] for _ in range(nodes)]
    masked = [mask(value.view(np.uint64), key) for value, key in zip(values, keys, strict=True)]
    total = Total(length)
    for member in present:
        whole = masked[member]
        total.add(whole[start : start + chunk] for start in range(0, length, chunk))
    for trustee in range(3):
        masks = Total(length)
        for member in present:
            masks.add(mask_chunks(keys[member][trustee], length, chunk=chunk))
        total.subtract([masks.modular()])
    assert total.signed().tolist() == [sum(int(values[member][cell]) for member in present) for cell in range(length)]


def test_one_mask_missing_leaves_nothing_of_the_sum() -> None:
    value = np.zeros(1000, dtype=np.uint64)
    keys = [bytes([i]) * 32 for i in range(3)]
    left = Total(1000)
    left.add([mask(value, keys)])
    for key in keys[:2]:
        left.subtract(mask_chunks(key, 1000))
    assert np.array_equal(left.modular(), np.concatenate(list(mask_chunks(keys[2], 1000))))
    assert len(np.unique(left.modular())) == 1000


def test_the_input_of_a_mask_is_left_alone() -> None:
    value = np.arange(5, dtype=np.uint64)
    mask(value, [bytes(32)])
    assert value.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("pieces", [[3], [3, 3], [], [5]])
def test_a_vector_of_another_length(pieces: list[int]) -> None:
    with pytest.raises(NotVerified, match="cells"):
        Total(4).add(np.zeros(size, dtype=np.uint64) for size in pieces)


def test_a_stored_vector_is_read_only_as_it_was_signed() -> None:
    raw = np.arange(10, dtype="<u8").tobytes()
    sha256 = hashlib.sha256(raw).hexdigest()
    assert vector_digest(np.arange(10, dtype=np.uint64)) == sha256
    pieces = list(read_vector(io.BytesIO(raw), 10, sha256, place="v", chunk=3))
    assert [len(piece) for piece in pieces] == [3, 3, 3, 1]
    for wrong in (raw[:-1], raw + b"\0", raw[::-1]):
        with pytest.raises(NotVerified, match=r"^v: "):
            list(read_vector(io.BytesIO(wrong), 10, sha256, place="v", chunk=3))


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 32))
def test_division_is_exact(cell: int, fine: int) -> None:
    total = np.array([cell], dtype=np.int64)
    assert exact_figures(total, fine) == (Fraction(cell, 2**fine),)
    if abs(cell) <= 2**53:
        assert Fraction(float(figures(total, fine)[0])) == Fraction(cell, 2**fine)
    assert float(figures(total, fine)[0]) == float(cell) / 2**fine
