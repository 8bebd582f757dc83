"""The noise law of a national sum is the exact one, and intervals of whole figures hold every truth equally often."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from collegium.lattice import LEVEL, ONE_SIDED, TWO_SIDED, national_noise, whole_interval

SCALES = (0.05, 0.3, 0.5, 1.0, 1.7, 4.0, 9.5)
NODES = (1, 2, 5, 31)


def law(scale: float, nodes: int, reach: int) -> np.ndarray:
    """P(N = -reach … reach) of the sum, from the characteristic function: another way than the one under test."""
    size = 8 * reach + 1
    xs = np.arange(size) - size // 2
    one = np.exp(-((xs / scale) ** 2) / 2)
    spectrum = np.fft.fft(np.fft.ifftshift(one / one.sum())) ** nodes
    total = np.fft.fftshift(np.fft.ifft(spectrum)).real
    return total[size // 2 - reach : size // 2 + reach + 1]


def test_normal_points_are_the_normals() -> None:
    assert stats.norm.ppf(0.975) == pytest.approx(TWO_SIDED, abs=1e-15)
    assert stats.norm.ppf(0.95) == pytest.approx(ONE_SIDED, abs=1e-15)


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("scale", SCALES)
def test_points_are_the_smallest_that_hold_95_percent(scale: float, nodes: int) -> None:
    noise = national_noise(scale, nodes)
    reach = math.ceil(8 * max(1.0, scale * math.sqrt(nodes))) + 2
    p = law(scale, nodes, reach)
    xs = np.arange(-reach, reach + 1)
    assert noise.sd == pytest.approx(math.sqrt(abs(float((p * xs * xs).sum()))), rel=1e-6, abs=1e-6)

    def inside(k: int) -> float:
        return float(p[np.abs(xs) <= k].sum())

    assert inside(noise.two_sided) >= LEVEL - 1e-12
    assert noise.two_sided == 0 or inside(noise.two_sided - 1) < LEVEL
    assert float(p[xs <= noise.one_sided].sum()) >= LEVEL - 1e-12
    assert noise.one_sided == 0 or float(p[xs <= noise.one_sided - 1].sum()) < LEVEL
    # what is held beyond 95 % is what whole numbers force, as the docstring bounds it
    assert inside(noise.two_sided) - LEVEL <= 0.13 / max(noise.sd, 0.13)


def test_exact_and_normal_laws_meet_where_one_takes_over() -> None:
    for nodes in (1, 4, 3074):
        below, above = national_noise(59.99 / math.sqrt(nodes), nodes), national_noise(60.01 / math.sqrt(nodes), nodes)
        assert below.sd == pytest.approx(above.sd, rel=1e-3)
        assert above.two_sided - below.two_sided in (0, 1)
        assert above.one_sided - below.one_sided in (0, 1)


def test_many_nodes_with_little_noise_each_have_less_than_the_scale_says() -> None:
    """Below scale 0.5 a discrete Gaussian is mostly zero; sigma·√n would overstate the national noise."""
    noise = national_noise(0.2, 3074)
    assert noise.sd == pytest.approx(math.sqrt(3074 * 2 * math.exp(-12.5) / (1 + 2 * math.exp(-12.5))), rel=1e-6)
    assert noise.sd < 0.02 * 0.2 * math.sqrt(3074)


@pytest.mark.parametrize("scale", [0.7, 3.0, 12.0, 200.0])
@pytest.mark.parametrize("times", [0, 0.3, 1, 1.7, 2, 2.5, 4, 50])
def test_a_count_is_held_95_percent_of_the_time_near_its_floor_too(scale: float, times: float) -> None:
    """Exactly, by summing the law over all noisy values, for truths from an empty cell to far away."""
    noise = national_noise(scale, 1)
    truth = round(times * scale)
    reach = math.ceil(9 * scale) + 2
    xs = np.arange(-reach, reach + 1)
    p = np.exp(-((xs / scale) ** 2) / 2)
    p /= p.sum()
    value, low, high = whole_interval(truth + xs, noise, floor=True)
    assert ((low >= 0) & (low <= value) & (value <= high)).all()
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) >= 0).all()
    held = float(p[(low <= truth) & (truth <= high)].sum())
    assert LEVEL - 1e-9 <= held <= LEVEL + 0.13 / scale


def test_without_a_floor_the_interval_is_plain_and_negative_values_stay() -> None:
    noise = national_noise(10.0, 4)
    value, low, high = whole_interval(np.array([-500, 3]), noise)
    assert value.tolist() == [-500, 3]
    assert (high - value == noise.two_sided).all()
    assert (value - low == noise.two_sided).all()
