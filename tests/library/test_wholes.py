"""Parts of a whole: not negative, adding up exactly, and left alone where they stand clear of the noise."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from collegium.wholes import parts_of_whole

COUNTS = arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(-1000, 1000))


@given(COUNTS)
def test_parts_are_not_negative_and_add_up_to_what_was_measured(counts: np.ndarray) -> None:
    parts = parts_of_whole(counts.astype(np.float64))
    assert parts.shape == counts.shape
    assert (parts >= 0).all()
    np.testing.assert_array_equal(parts.sum(axis=1), np.maximum(counts.sum(axis=1), 0))


@given(COUNTS)
def test_what_is_cut_off_is_taken_from_the_smallest_and_no_part_grows(counts: np.ndarray) -> None:
    for row, parts in zip(counts, parts_of_whole(counts.astype(np.float64)), strict=True):
        if row.sum() <= 0:
            continue
        assert (parts <= np.maximum(row, 0)).all()
        changed = row[(row > 0) & (parts < row)]
        kept = row[(row > 0) & (parts == row)]
        assert not len(changed) or not len(kept) or changed.max() <= kept.min()


def test_nothing_changes_where_nothing_is_negative() -> None:
    counts = np.array([[5.0, 0.0, 12.0]])
    np.testing.assert_array_equal(parts_of_whole(counts), counts)
    np.testing.assert_array_equal(parts_of_whole(np.array([[900.0, 4.0, -6.0, 100.0]])), [[900.0, 0.0, 0.0, 98.0]])
