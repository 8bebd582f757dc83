"""Division of rho: checked against least squares by matrices, against other divisions, and against the known bound."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from collegium.indicators.weights import budgets, closure_of, error, shares
from collegium.margins import closure, svd_bound

SIZES = {"a": 3, "b": 4, "c": 2}
WANTED = {(): 7.0, ("a",): 3.0, ("b",): 4.0, ("a", "b"): 9.0, ("c",): 1.0}


def rows_of(margin: tuple[str, ...]) -> np.ndarray:
    """The cells of a margin as sums of the cells of the whole table."""
    cells = list(product(*(range(n) for n in SIZES.values())))
    keep = [list(SIZES).index(name) for name in margin]
    return np.array(
        [
            [all(cell[k] == code for k, code in zip(keep, codes, strict=True)) for cell in cells]
            for codes in product(*(range(SIZES[n]) for n in margin))
        ],
        dtype=float,
    )


def by_matrices(wanted: dict[tuple[str, ...], float], measured: dict[tuple[str, ...], float]) -> float:
    """Weighted variance after least squares: trace of W (A' A)+ W'."""
    strategy = np.vstack([math.sqrt(share) * rows_of(margin) for margin, share in measured.items()])
    inverse = np.linalg.pinv(strategy.T @ strategy)
    total = 0.0
    for margin, weight in wanted.items():
        rows = rows_of(margin)
        total += weight / len(rows) * np.trace(rows @ inverse @ rows.T)
    return float(total)


def test_error_is_that_of_least_squares() -> None:
    measured = shares(SIZES, WANTED)
    assert math.isclose(sum(measured.values()), 1.0)
    assert math.isclose(error(SIZES, WANTED, measured), by_matrices(WANTED, measured), rel_tol=1e-9)
    some = {("a", "b"): 0.5, ("c",): 0.5}
    assert math.isclose(error(SIZES, WANTED, some), by_matrices(WANTED, some), rel_tol=1e-9)


def test_no_other_division_is_better() -> None:
    best = error(SIZES, WANTED, shares(SIZES, WANTED))
    rng = np.random.default_rng(5)
    margins = closure_of(WANTED)
    for _ in range(300):
        other = dict(zip(margins, rng.dirichlet(np.full(len(margins), 0.7)), strict=True))
        assert error(SIZES, WANTED, other) > best * (1 - 1e-6)
    near = shares(SIZES, WANTED)
    for margin in near:
        moved = {name: (share + 0.05 * (name == margin)) / 1.05 for name, share in near.items()}
        assert error(SIZES, WANTED, moved) >= best


def test_reaches_the_bound_where_all_cells_are_wanted_once() -> None:
    """A table with all its margins: the SVD bound of the matrix mechanism, as `collegium.margins` computes it."""
    names = ["a", "b", "c"]
    sets = closure([(0, 1, 2)])
    wanted = {tuple(names[k] for k in keys): float(math.prod(SIZES[names[k]] for k in keys)) for keys in sets}
    found = error(SIZES, wanted, shares(SIZES, wanted))
    bound = svd_bound([SIZES[name] for name in names], sets)
    assert bound <= found * (1 + 1e-9)
    assert found / bound < 1.001


def test_a_margin_that_nothing_else_serves_is_measured_however_small_its_weight() -> None:
    measured = shares(SIZES, {("a",): 1e9, ("b",): 1e-3})
    assert set(measured) >= {("a",), ("b",)}


def test_budgets_go_as_the_roots_and_never_exceed_the_whole() -> None:
    errors = {"x": 9.0, "y": 1.0, "z": 4.0}
    found = budgets(errors, 1_000_003)
    assert sum(found.values()) <= 1_000_003 < sum(found.values()) + 3
    spent = sum(errors[name] / found[name] for name in errors)
    rng = np.random.default_rng(6)
    for _ in range(100):
        other = rng.dirichlet([1, 1, 1]) * 1_000_003
        assert sum(e / r for e, r in zip(errors.values(), other, strict=True)) > spent * (1 - 1e-5)


@pytest.mark.parametrize("wanted", [{(): 3.0}, {("a",): 2.0}])
def test_one_table_alone_gets_everything(wanted: dict[tuple[str, ...], float]) -> None:
    measured = shares(SIZES, wanted)
    assert max(measured, key=lambda margin: measured[margin]) == next(iter(wanted))
