"""Least squares of one family: the same as by matrices, for values, variances, covariances and structural zeros."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from collegium.indicators.fitting import Fit, Moments

SIZES = (3, 4, 2)
VARIANCES = {(): 50.0, (0,): 20.0, (0, 1): 9.0, (2,): 30.0}
WANTED = [(), (0,), (1,), (0, 1), (2,)]
ZEROS = [((0, 1), 5), ((0, 1), 6)]
CELLS = list(product(*(range(n) for n in SIZES)))


def rows_of(keys: tuple[int, ...]) -> np.ndarray:
    return np.array(
        [
            [all(cell[k] == c for k, c in zip(keys, codes, strict=True)) for cell in CELLS]
            for codes in product(*(range(SIZES[k]) for k in keys))
        ],
        dtype=float,
    )


def by_matrices(
    noisy: dict[tuple[int, ...], np.ndarray], zeros: list[tuple[tuple[int, ...], int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Estimates of all wanted cells one after the other, and their covariance. The zeros' cells are no columns."""
    alive = np.ones(len(CELLS), dtype=bool)
    for keys, cell in zeros:
        alive &= rows_of(keys)[cell] == 0
    strategy = np.vstack([rows_of(keys) / math.sqrt(VARIANCES[keys]) for keys in VARIANCES])[:, alive]
    answers = np.concatenate([noisy[keys] / math.sqrt(VARIANCES[keys]) for keys in VARIANCES])
    wanted = np.vstack([rows_of(keys) for keys in WANTED])[:, alive]
    linear = wanted @ np.linalg.pinv(strategy)
    return linear @ answers, linear @ linear.T


@pytest.mark.parametrize("zeros", [[], ZEROS], ids=["none", "two cells"])
def test_the_same_as_by_matrices(zeros: list[tuple[tuple[int, ...], int]]) -> None:
    rng = np.random.default_rng(1)
    noisy = {keys: rng.integers(-500, 2000, math.prod(SIZES[k] for k in keys)) for keys in VARIANCES}
    moments = Moments(SIZES, VARIANCES, WANTED, zeros)
    fit = Fit(moments, {keys: (values, VARIANCES[keys]) for keys, values in noisy.items()})
    values, covariance = by_matrices(noisy, zeros)
    np.testing.assert_allclose(np.concatenate([fit.values[keys] for keys in WANTED]), values, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([moments.variance(keys) for keys in WANTED]), np.diag(covariance), atol=1e-9)
    places = [(keys, cell) for keys in WANTED for cell in range(math.prod(SIZES[k] for k in keys))]
    for (i, (keys, cell)), (j, (other, under)) in product(enumerate(places), repeat=2):
        assert math.isclose(moments.covariance(keys, cell, other, under), covariance[i, j], abs_tol=1e-9), (
            keys,
            cell,
            other,
            under,
        )


def test_exact_figures_stay_exact_and_zeros_are_exact() -> None:
    rng = np.random.default_rng(2)
    table = rng.poisson(40, SIZES)
    table.reshape(12, 2)[[5, 6]] = 0
    exact = {keys: table.sum(axis=tuple(k for k in range(3) if k not in keys)).ravel() for keys in [*VARIANCES, (1,)]}
    moments = Moments(SIZES, VARIANCES, WANTED, ZEROS)
    fit = Fit(moments, {keys: (exact[keys], variance) for keys, variance in VARIANCES.items()})
    for keys in WANTED:
        np.testing.assert_allclose(fit.values[keys], exact[keys], atol=1e-6)
    assert fit.values[0, 1][5] == fit.values[0, 1][6] == 0.0
    assert moments.variance((0, 1))[5] == 0.0


def test_totals_are_the_sums_of_their_cells_also_beside_zeros() -> None:
    rng = np.random.default_rng(3)
    noisy = {keys: rng.integers(-500, 2000, math.prod(SIZES[k] for k in keys)) for keys in VARIANCES}
    fit = Fit(Moments(SIZES, VARIANCES, WANTED, ZEROS), {keys: (values, VARIANCES[keys]) for keys, values in noisy.items()})
    table = fit.values[0, 1].reshape(3, 4)
    np.testing.assert_allclose(table.sum(axis=1), fit.values[0,], atol=1e-5)
    np.testing.assert_allclose(table.sum(axis=0), fit.values[1,], atol=1e-5)
    np.testing.assert_allclose([table.sum(), fit.values[2,].sum()], fit.values[()][0], atol=1e-5)


def test_zeros_of_a_whole_column_need_no_more_conditions_than_they_have() -> None:
    """A code that never occurs: its total is 0 because its cells are, and the condition is not counted twice."""
    zeros = [((0, 1), cell) for cell in (4, 5, 6, 7)] + [((0,), 1)]
    moments = Moments(SIZES, VARIANCES, WANTED, zeros)
    assert len(moments.zeros) == 4
    noisy = {keys: np.full(math.prod(SIZES[k] for k in keys), 100) for keys in VARIANCES}
    fit = Fit(moments, {keys: (values, VARIANCES[keys]) for keys, values in noisy.items()})
    assert fit.values[0,][1] == 0.0
    assert moments.variance((0,))[1] == 0.0
