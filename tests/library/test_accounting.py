"""The conversion is the optimal one, rounds against the asker, and agrees with two other implementations of it."""

from __future__ import annotations

import math

import dp_accounting
import numpy as np
import opendp.prelude as dp
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.rdp import rdp_privacy_accountant as rdp
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.accounting import (
    MAX_NANO,
    NANO,
    epsilon_of,
    guarantee_sentence,
    noise_scale,
    read_delta,
    rho_of,
    scale_is_right,
    split,
)
from collegium.errors import Invalid
from collegium.layout import Part
from collegium.question import Component

DELTAS = ("1e-3", "1e-6", "1e-9")
RHOS = (1, 1_000, 10**6, 24_355_970, 10**8, NANO, 10 * NANO, 1000 * NANO)

dp.enable_features("contrib")


def part(rho: int, bound: int = 1, groups: int = 1) -> Part:
    return Part(Component(kind="people", rho=rho), 0, 1, None, bound, groups)


def opendp_epsilon(rho: float, delta: float) -> float:
    """OpenDP's own conversion of a discrete Gaussian whose rho is `rho`."""
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    gaussian = dp.m.make_gaussian(*space, scale=math.sqrt(1 / (2 * rho)))
    return float(dp.c.make_zCDP_to_approxDP(gaussian).map(1.0).epsilon(delta))


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("rho", RHOS)
def test_epsilon_is_opendps(rho: int, delta: str) -> None:
    assert epsilon_of(rho, delta) == pytest.approx(opendp_epsilon(rho / NANO, float(delta)), rel=1e-6)


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("rho", RHOS)
def test_epsilon_is_googles(rho: int, delta: str) -> None:
    """Google's accountant minimises the same formula over a given grid of orders: never below ours, and close to it."""
    orders = 1 + np.exp(np.linspace(-4, 16, 20_001))
    theirs = float(rdp.compute_epsilon(list(orders), list(orders * rho / NANO), float(delta))[0])
    ours = epsilon_of(rho, delta)
    if theirs == 0:  # theirs also knows a bound by KL divergence, which wins where rho is tiny beside delta
        assert ours < 1e-3
    else:
        assert ours <= theirs * (1 + 1e-9)
        assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("rho", [10**6, 24_355_970, NANO])
def test_epsilon_is_an_upper_bound_of_the_gaussian_itself(rho: int) -> None:
    exact = pld.from_gaussian_mechanism(math.sqrt(NANO / (2 * rho)), pessimistic_estimate=False).get_epsilon_for_delta(1e-6)
    assert exact <= epsilon_of(rho, 1e-6) < 1.5 * exact + 0.01


def test_charges_compose_as_google_composes_them() -> None:
    """The sum of charges is the rho of the mechanisms together, m universities included."""
    charges = [7_000_000, 1_234_567, 33_000_001]
    accountant = rdp.RdpAccountant(list(1 + np.exp(np.linspace(-3, 12, 5_001))))
    for charge in charges * 3:
        accountant.compose(dp_accounting.GaussianDpEvent(math.sqrt(NANO / (2 * charge))))
    assert accountant.get_epsilon(1e-6) == pytest.approx(epsilon_of(3 * sum(charges), 1e-6), rel=1e-4)


@settings(deadline=None, max_examples=60)
@given(st.floats(1e-3, 50), st.floats(1e-12, 0.01))
def test_rho_of_buys_at_most_what_was_asked(epsilon: float, delta: float) -> None:
    rho = rho_of(epsilon, delta)
    assert epsilon_of(rho, delta) <= epsilon < epsilon_of(rho + 1, delta)


def test_nothing_costs_nothing_and_more_costs_more() -> None:
    assert epsilon_of(0, "1e-6") == 0
    values = [epsilon_of(rho, "1e-6") for rho in sorted(RHOS)]
    assert values == sorted(values)
    assert math.isfinite(epsilon_of(MAX_NANO, "1e-6"))


@pytest.mark.parametrize("epsilon", ["0", "-1", "nan", "inf", "x", "1e-9", "1e9"])
def test_a_useless_epsilon_is_refused_with_what_to_write(epsilon: str) -> None:
    with pytest.raises(Invalid) as caught:
        rho_of(epsilon, "1e-6")
    assert caught.value.place == "epsilon"
    assert "such as 0.5" in caught.value.remedy or "larger" in caught.value.remedy


@pytest.mark.parametrize("delta", ["0", "1", "-1e-6", "nan", "x", ""])
def test_delta_is_between_0_and_1(delta: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_delta(delta)
    assert caught.value.place == "delta"


@given(st.integers(1000, 10**15), st.lists(st.integers(1, 100), min_size=1, max_size=10))
def test_shares_never_exceed_the_total(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) <= total < sum(parts) + len(parts)
    assert all(abs(part - total * weight / sum(weights)) <= 1 for part, weight in zip(parts, weights, strict=True))


@pytest.mark.parametrize(("total", "weights"), [(10, []), (10, [0, 1]), (1, [1, 1])])
def test_a_share_of_nothing_is_refused(total: int, weights: list[int]) -> None:
    with pytest.raises(Invalid):
        split(total, weights)


@pytest.mark.parametrize(("rho", "bound", "groups"), [(1, 1, 1), (12_177_985, 37, 3), (NANO, 2**30, 10_000), (10**15, 1, 7)])
def test_the_published_scale_is_right_and_its_neighbours_are_not(rho: int, bound: int, groups: int) -> None:
    one = part(rho, bound, groups)
    scale = noise_scale(one)
    assert scale_is_right(repr(scale), one)
    assert scale_is_right(repr(math.nextafter(scale, math.inf)), one)  # the node may round up in the last place
    for factor in (1 / 3, 1 - 1e-11, 1 + 1e-8, 3):
        assert not scale_is_right(repr(scale * factor), one)


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-1.0", "0.0", "1", " 1.0", "1.00", "1e0"])
def test_a_scale_has_one_spelling(text: str) -> None:
    assert not scale_is_right(text, part(NANO // 2))
    assert scale_is_right("1.0", part(NANO // 2))


def test_the_sentence_multiplies_before_it_converts() -> None:
    rho = rho_of("0.5", "1e-6")
    one = guarantee_sentence(rho, "1e-6", "student")
    assert "epsilon 0.5 at delta 1e-6" in one
    assert "nationwide" not in one
    three = guarantee_sentence(rho, "1e-6", "student", 3)
    national = epsilon_of(3 * rho, "1e-6")
    assert national < 3 * 0.5
    stated = float(three.rsplit("epsilon ", 1)[1].split()[0])
    assert national <= stated < national * 1.001
    assert "3 所机构" in guarantee_sentence(rho, "1e-6", "学生", 3, language="zh")
