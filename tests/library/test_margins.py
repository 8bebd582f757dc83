"""Tables whose margins add up: the closed form is least squares, unbiased, and its shares of rho reach the known bound."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from collegium.intervals import whole_band
from collegium.margins import Keys, closure, reconcile_margins, spread_of_margins, svd_bound, total_variance, weights

SIZES = (3, 4, 2)
MEASURED: dict[Keys, float] = {(0, 1): 2.0, (0, 2): 3.0, (1, 2): 1.5, (0,): 1.0, (): 4.0}
WANTED: list[Keys] = [(0, 1), (1, 2), (1,), ()]


def matrix(keys: Keys, sizes: tuple[int, ...] = SIZES) -> NDArray[np.floating]:
    found: NDArray[np.floating] = np.eye(1)
    for key, size in enumerate(sizes):
        found = np.kron(found, np.eye(size) if key in keys else np.ones((1, size)))
    return found


def drawn(rng: np.random.Generator) -> dict[Keys, NDArray[np.int64]]:
    cells = rng.integers(0, 50, 24)
    return {keys: np.rint(matrix(keys) @ cells + rng.normal(0, 3, len(matrix(keys)))).astype(np.int64) for keys in MEASURED}


def test_it_is_least_squares_with_its_standard_error() -> None:
    noisy = drawn(np.random.default_rng(1))
    information = sum(matrix(keys).T @ matrix(keys) / v for keys, v in MEASURED.items())
    covariance = np.linalg.pinv(np.asarray(information))
    cells = covariance @ sum(matrix(keys).T @ noisy[keys] / v for keys, v in MEASURED.items())
    found = reconcile_margins(SIZES, {keys: (noisy[keys], v) for keys, v in MEASURED.items()}, WANTED)
    for keys in WANTED:
        values, sd = found[keys]
        assert np.allclose(values, matrix(keys) @ cells, atol=1e-6)  # rounded to 2^-30 of the error
        assert np.allclose(np.diag(matrix(keys) @ covariance @ matrix(keys).T), sd**2)
        assert spread_of_margins(SIZES, MEASURED, WANTED)[keys] == pytest.approx(sd)


def test_margins_add_up() -> None:
    noisy = drawn(np.random.default_rng(2))
    found = reconcile_margins(SIZES, {keys: (noisy[keys], v) for keys, v in MEASURED.items()}, WANTED)
    pairs, single, total = found[(1, 2)][0].reshape(4, 2), found[(1,)][0], found[()][0]
    assert np.allclose(pairs.sum(axis=1), single, atol=1e-5)
    assert single.sum() == pytest.approx(total[0], abs=1e-5)
    assert np.allclose(found[(0, 1)][0].reshape(3, 4).sum(axis=0), single, atol=1e-5)


def test_it_is_unbiased_and_its_intervals_hold() -> None:
    rng = np.random.default_rng(3)
    cells = rng.integers(0, 40, 24)
    errors: dict[Keys, list[float]] = {keys: [] for keys in WANTED}
    held: dict[Keys, list[bool]] = {keys: [] for keys in WANTED}
    for _ in range(1500):
        noisy = {
            keys: (np.rint(matrix(keys) @ cells + rng.normal(0, 20 * v**0.5, len(matrix(keys)))).astype(np.int64), 400 * v)
            for keys, v in MEASURED.items()
        }
        for keys, (values, sd) in reconcile_margins(SIZES, noisy, WANTED).items():
            truth = float((matrix(keys) @ cells)[0])
            band = whole_band(values[:1], sd, floor=True)
            errors[keys].append((float(values[0]) - truth) / sd)
            held[keys].append(bool(band.low[0] <= truth <= band.high[0]))
    for keys in WANTED:
        assert abs(np.mean(errors[keys])) < 0.08
        assert np.std(errors[keys]) == pytest.approx(1, abs=0.07)
        assert np.mean(held[keys]) == pytest.approx(0.95, abs=0.015)


TABLES: list[tuple[tuple[int, ...], list[Keys]]] = [
    ((31, 14), closure([(0, 1)])),
    ((31, 14, 5), closure([(0, 1, 2)])),
    ((31, 14, 5), [(0, 1), (0, 2), (1, 2)]),
    ((31, 14, 5), [(0, 1), (0,), (2,), ()]),
    ((31, 14, 5), [(0,), (1,), (2,)]),
    ((2, 2), [(0, 1), (0,)]),
]


@pytest.mark.parametrize(("sizes", "wanted"), TABLES)
def test_the_shares_of_rho_come_within_a_tenth_of_the_matrix_mechanisms_bound(sizes: tuple[int, ...], wanted: list[Keys]) -> None:
    shares = weights(sizes, wanted, dict.fromkeys(closure(wanted), 1))
    assert sum(shares.values()) == pytest.approx(1)
    ratio = total_variance(sizes, wanted, {keys: 1 / share for keys, share in shares.items()}) / svd_bound(sizes, wanted)
    assert 1 - 1e-9 <= ratio <= 1.1
    equal = total_variance(sizes, wanted, dict.fromkeys(wanted, float(len(wanted)))) / svd_bound(sizes, wanted)
    assert ratio <= equal + 1e-9


def test_the_bound_is_that_of_the_singular_values() -> None:
    sizes, wanted = (3, 4, 2), [(0, 1), (1, 2), ()]
    figures = np.vstack([matrix(keys, sizes) for keys in wanted])
    singular = np.linalg.svd(figures, compute_uv=False)
    assert svd_bound(sizes, wanted) == pytest.approx(singular.sum() ** 2 / 24)


def test_a_margin_that_costs_more_gets_less() -> None:
    """A person in several cells moves a margin by more than a cell; then it is better added up."""
    wanted = closure([(0, 1)])
    cheap = weights((5, 6), wanted, dict.fromkeys(wanted, 1))
    dear = weights((5, 6), wanted, {(0, 1): 4, (0,): 16, (1,): 16, (): 16})
    assert dear[(0, 1)] > cheap[(0, 1)]
