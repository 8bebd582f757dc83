"""The node's share: the sum over all nodes has the variance that was published, and a tally passes unchanged below it."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collegium_node
from collegium.errors import Failed
from collegium.national.addition import exact_figures
from collegium.national.share import Share, Tolerance, make_share, variance_factor
from collegium_node.national_noise import SharedPart, add_share

CELLS = 1000


def summed(share: Share, nodes: int, value: int = 0) -> np.ndarray:
    total = np.zeros(CELLS, dtype=np.uint64)
    for _ in range(nodes):
        total += add_share([SharedPart(CELLS, share, 10**6)], np.full(CELLS, value, dtype=np.int64))
    return np.array([float(cell) for cell in exact_figures(total.view(np.int64), share.fine)])


def check_variance(nodes: int, sigma: float) -> None:
    honest = Tolerance(50_000, 50_000).honest(nodes)
    found = summed(make_share(sigma, honest), nodes, value=7) - 7 * nodes
    due = sigma**2 * float(variance_factor(nodes, honest))
    assert abs(found.mean()) < 6 * math.sqrt(due / CELLS)
    assert abs(found.var() / due - 1) < 6 * math.sqrt(2 / CELLS)  # six sampling errors of a variance


@pytest.mark.parametrize(("nodes", "sigma"), [(10, 3.0), (10, 200.0), (100, 3.0)])
def test_the_sum_has_the_published_variance(nodes: int, sigma: float) -> None:
    check_variance(nodes, sigma)


@pytest.mark.long
def test_the_sum_of_a_thousand_has_the_published_variance() -> None:
    check_variance(1000, 3.0)


def test_a_sum_that_wraps_around_at_a_node_is_right_at_the_end() -> None:
    share = Share(8, 4.0)
    part = SharedPart(2, share, 2**60)
    big = np.array([2**59, -(2**59)], dtype=np.int64)
    one = add_share([part], big)
    two = add_share([part], -big + np.array([5, -5]))
    figures = (one + two).view(np.int64) / 256
    assert figures.tolist() == pytest.approx([5, -5], abs=1)  # scale 4/256, twice


def test_parts_have_their_own_scale_and_reach() -> None:
    parts = [SharedPart(300, Share(0, 4.0), 10), SharedPart(300, Share(4, 4000.0), 10**6)]
    found = add_share(parts, np.full(600, 1000, dtype=np.int64)).view(np.int64)
    assert abs(found[:300].mean() - 10) < 2  # cut to its reach, never refused
    assert 3000 < found[300:].std() < 5000
    assert abs(found[300:].mean() - 16_000) < 6 * 4000 / math.sqrt(300)


@pytest.mark.parametrize("scale", [3.99, 0.05, math.nan])
def test_a_share_below_the_smallest_scale_is_not_drawn(scale: float) -> None:
    with pytest.raises(Failed, match="smallest scale"):
        add_share([SharedPart(1, Share(0, scale), 1)], np.zeros(1, dtype=np.int64))


def test_a_tally_of_another_length() -> None:
    with pytest.raises(Failed, match="does not fit"):
        add_share([SharedPart(2, Share(0, 4.0), 1)], np.zeros(1, dtype=np.int64))


def test_two_draws_differ() -> None:
    part = SharedPart(100, Share(0, 4.0), 1)
    zeros = np.zeros(100, dtype=np.int64)
    assert add_share([part], zeros).tolist() != add_share([part], zeros).tolist()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(-50, 50)), min_size=6, max_size=6),
    st.integers(0, 12),
    st.integers(1, 2 * 10**6),
)
def test_what_a_person_moves_is_moved_as_far_on_the_finer_lattice_and_no_farther(
    cells: list[tuple[int, int]], fine: int, reach: int
) -> None:
    """Without noise. With a person and without, vectors differ by 2^f times what tallies do; a cut makes it less, not more."""
    without, moved = (np.array(column, dtype=np.int64) for column in zip(*cells, strict=True))
    parts = [SharedPart(4, Share(fine, 4.0), reach), SharedPart(2, Share(fine + 1, 9.5), 10**7)]
    both = without, without + moved
    one, two = (add_share(parts, figures, draw=lambda _: lambda zeros: zeros).view(np.int64) for figures in both)
    for part, fines in ((slice(0, 4), fine), (slice(4, 6), fine + 1)):
        change = np.linalg.norm((two - one)[part].astype(float))
        assert change <= 2**fines * np.linalg.norm(moved[part].astype(float)) * (1 + 1e-12)
        if np.all(np.abs(np.stack(both)[:, part]) <= reach) or part.start == 4:
            assert (two - one)[part].tolist() == [each << fines for each in moved[part].tolist()]


def test_nobody_in_the_node_passes_other_noise() -> None:
    """By text: `draw` is given to the two functions that take it by tests alone."""
    for path in Path(inspect.getfile(collegium_node)).parent.rglob("*.py"):
        assert "draw=" not in path.read_text(encoding="utf-8"), path.name
