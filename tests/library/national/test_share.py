"""Shares of noise: enough in every sum the plan allows, never below the smallest scale, the loss never stated too small."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.errors import Invalid
from collegium.lattice import national_noise
from collegium.national.plan import Wanted, plan_parts
from collegium.national.share import (
    SMALLEST_SCALE,
    Share,
    Tolerance,
    fits_64_bits,
    make_share,
    national_rho,
    sigma_for,
    variance_factor,
)

sigmas = st.floats(0.01, 1e7)


@settings(max_examples=300, deadline=None)
@given(sigmas, st.integers(2, 100_000))
def test_m_shares_have_the_whole_variance_and_no_share_is_below_the_smallest_scale(sigma: float, honest: int) -> None:
    share = make_share(sigma, honest)
    assert share.scale >= SMALLEST_SCALE
    whole = honest * Fraction(share.scale) ** 2 / 4**share.fine
    target = Fraction(sigma) ** 2
    assert target * (1 + Fraction(1, 10**12)) <= whole <= target * (1 + Fraction(2, 10**12))
    assert share.fine == max(0, math.ceil(math.log2(4 * math.sqrt(honest) / sigma) - 1e-12))


def test_without_the_finer_lattice_the_shares_would_round_to_nothing() -> None:
    """n = 3,074 and σ = 3: the noise that is really there (exact law of whole-number noise), with the scaling and without."""
    honest = Tolerance(50_000, 50_000).honest(3074)
    share = make_share(3.0, honest)
    scaled = national_noise(share.scale, honest).sd / 2**share.fine
    assert scaled == pytest.approx(3.0, rel=1e-6)
    assert national_noise(3.0 / math.sqrt(honest), honest).sd < 1e-6


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 10**12), st.integers(1, 2**75), st.integers(1, 20))
def test_sigma_buys_the_rho_and_rho_is_rounded_up(rho: int, squared: int, homes: int) -> None:
    sigma = sigma_for(rho, squared, homes)
    assert national_rho(sigma, squared, homes) <= rho
    below = math.nextafter(sigma, 0.0)
    assert Fraction(homes**2 * squared * 10**9, 2) / Fraction(below) ** 2 > rho  # and no noise is wasted
    assert national_rho(below, squared, homes) > rho


def test_a_person_at_k_nodes_costs_k_squared() -> None:
    assert [national_rho(10.0, 1, k) for k in (1, 2, 3)] == [5_000_000, 20_000_000, 45_000_000]
    assert sigma_for(10**8, 4, 3) == pytest.approx(3 * sigma_for(10**8, 4, 1))


def test_smallest_participation_and_honest_nodes() -> None:
    five = Tolerance(50_000, 50_000)
    assert (five.least(3074), five.honest(3074)) == (2921, 2767)
    assert (five.least(100), five.honest(100)) == (95, 90)
    assert float(variance_factor(100, 90)) == pytest.approx(1.11, abs=0.01)
    assert (Tolerance(0, 0).least(7), Tolerance(0, 0).honest(7)) == (7, 7)
    assert Tolerance(1, 0).least(7) == 7  # rounded up


@pytest.mark.parametrize(("nodes", "dropout", "colluding"), [(1, 0, 0), (10, 800_000, 100_000), (4, 0, 600_000), (0, 0, 0)])
def test_too_few_to_carry_the_noise(nodes: int, dropout: int, colluding: int) -> None:
    with pytest.raises(Invalid, match="would have to carry the noise"):
        Tolerance(dropout, colluding).honest(nodes)


@pytest.mark.parametrize(("dropout", "colluding"), [(-1, 0), (10**6, 0), (0, -1), (0, 10**6)])
def test_a_tolerance_is_a_fraction(dropout: int, colluding: int) -> None:
    with pytest.raises(Invalid):
        Tolerance(dropout, colluding)


def test_the_head_room_is_that_of_all_nodes_and_twenty_deviations() -> None:
    share = Share(3, 4.0)
    spread = 20 * 4 * (math.isqrt(10) + 1)
    largest = (2**63 - 1 - spread) // (10 * 8)
    assert fits_64_bits(largest, 10, share)
    assert not fits_64_bits(largest + 1, 10, share)
    with pytest.raises(Invalid, match="could leave 64 bits"):
        plan_parts([Wanted(1, 1, 10**8, 2**62)], 10, Tolerance(0, 0), 1)


@pytest.mark.parametrize(("sigma", "honest"), [(0.0, 5), (-1.0, 5), (math.inf, 5), (math.nan, 5), (1.0, 0), (1e-12, 5)])
def test_no_share_for_nonsense(sigma: float, honest: int) -> None:
    with pytest.raises(Invalid):
        make_share(sigma, honest)


def test_a_variance_factor_needs_the_honest_in_the_sum() -> None:
    with pytest.raises(Invalid):
        variance_factor(89, 90)
