"""Slopes, correlations and regressions from noisy sums; differences of two figures. Intervals hold where there is anything to hold.

What counts as failure: coverage outside 95 % ± 1 % at the stated strength of noise, or below 95 % where noise is stronger.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from collegium.accounting import noise_scale
from collegium.differences import difference, significant
from collegium.gram import correlation_band, gram, intercept_band, residual_error, slope_band
from collegium.intervals import share_band
from collegium.layout import Layout, compile_layout
from collegium.question import Bounds, Component, In, Question
from collegium.regression import coefficients
from collegium.schema import parse_schema

SCHEMA = parse_schema(
    """
name = "toy"
version = 1
title = { en = "Toy" }
[units.student]
title = { en = "student" }
[datasets.t]
title = { en = "t" }
unit = "student"
person = "pid"
[datasets.t.columns]
placed = { type = "boolean", title = { en = "placed" } }
a = { type = "integer", title = { en = "a" }, min = 0, max = 30 }
b = { type = "decimal", title = { en = "b" }, min = 0, max = 4, step = 0.01 }
y = { type = "decimal", title = { en = "y" }, min = 0, max = 100, step = 0.5 }
"""
)
COLUMNS = SCHEMA.datasets["t"].columns
TIMES = 4000
Ints = NDArray[np.int64]


def layout_of(components: list[Component]) -> Layout:
    bounds = Bounds(max_groups=1, max_rows=1)
    return compile_layout(Question(dataset="t", components=tuple(components), bounds=bounds, schema_id="toy/1"), SCHEMA)


def gram_layout(names: list[str], rho: int) -> Layout:
    """Count; totals and squares; products of all pairs."""
    parts = [Component(kind="count", column=names[0], rho=rho)]
    for name in names:
        parts += [Component(kind="total", column=name, rho=rho), Component(kind="squares", column=name, rho=rho)]
    pairs = [(x, z) for at, x in enumerate(names) for z in names[at + 1 :]]
    parts += [Component(kind="product", column=min(pair), other=max(pair), rho=rho) for pair in pairs]
    return layout_of(parts)


def exact_sums(layout: Layout, data: dict[str, Ints]) -> list[int]:
    result = []
    for part in layout.parts:
        c = part.component
        values = data[c.column or ""] - COLUMNS[c.column or ""].centre
        if c.kind == "count":
            result.append(len(values))
        elif c.kind == "total":
            result.append(int(values.sum()))
        elif c.kind == "squares":
            result.append(int((values**2 - part.offset).sum()))
        else:
            result.append(int((values * (data[c.other or ""] - COLUMNS[c.other or ""].centre)).sum()))
    return result


def noisy(layout: Layout, exact: list[int], rng: np.random.Generator | None, times: int = TIMES) -> list[Ints]:
    if rng is None:
        return [np.array([value]) for value in exact]
    return [v + np.rint(rng.normal(0, noise_scale(p), times)).astype(np.int64) for v, p in zip(exact, layout.parts, strict=True)]


def people(rows: int, rng: np.random.Generator) -> dict[str, Ints]:
    a, b = rng.integers(0, 31, rows), np.clip(np.rint(400 - 80 * rng.gamma(2.0, 0.5, rows)), 0, 400).astype(np.int64)
    y = np.clip(np.rint(2 * (25 + 0.8 * a + 0.08 * b + rng.normal(0, 10, rows))), 0, 200).astype(np.int64)
    return {"a": a, "b": b, "y": y}


def holds(low: NDArray[np.float64], high: NDArray[np.float64], truth: float) -> float:
    return float(((low <= truth + 1e-9) & (truth - 1e-9 <= high)).mean())


EXACTLY = 10**15  # nano-rho that leave no noise to speak of


def test_without_noise_it_is_ordinary_least_squares() -> None:
    data = people(400, np.random.default_rng(1))
    layout = gram_layout(["a", "y"], EXACTLY)
    found = gram(noisy(layout, exact_sums(layout, data), None), layout.parts, 1, COLUMNS["a"], COLUMNS["y"])
    design = np.column_stack([np.ones(400), data["a"]])
    (height, slope), (left,), *_ = np.linalg.lstsq(design, data["y"], rcond=None)
    assert slope_band(found).value[0] == pytest.approx(slope, rel=1e-6)
    assert intercept_band(found).value[0] + COLUMNS["y"].centre == pytest.approx(height, rel=1e-6)
    assert correlation_band(found).value[0] == pytest.approx(np.corrcoef(data["a"], data["y"])[0, 1], rel=1e-6)
    covariance = np.linalg.inv(design.T @ design) * left / 398
    at_zero = residual_error(found, slope_band(found).value, -float(COLUMNS["a"].centre))
    assert residual_error(found, slope_band(found).value, None)[0] == pytest.approx(covariance[1, 1] ** 0.5, rel=1e-4)
    assert at_zero[0] == pytest.approx(covariance[0, 0] ** 0.5, rel=1e-4)


def test_regression_without_noise_is_ordinary_least_squares() -> None:
    data = people(400, np.random.default_rng(2))
    layout = gram_layout(["a", "b", "y"], EXACTLY)
    found = coefficients(
        noisy(layout, exact_sums(layout, data), None), layout.parts, 1, [COLUMNS[name] for name in ("y", "a", "b")]
    )
    design = np.column_stack([np.ones(400), data["a"], data["b"] / 100])
    truth, (left,), *_ = np.linalg.lstsq(design, data["y"] / 2, rcond=None)
    covariance = np.linalg.inv(design.T @ design) * left / 397
    for k in range(3):
        assert found[k][0].value[0] == pytest.approx(truth[k], rel=1e-5)
        assert found[k][1][0] == pytest.approx(covariance[k, k] ** 0.5, rel=1e-3)


@pytest.mark.parametrize(("rows", "rho"), [(5_000, 3 * 10**7), (500_000, 10**5), (500_000, 10**7)])
def test_intervals_of_a_line_hold_95_percent(rows: int, rho: int) -> None:
    rng = np.random.default_rng([rows, rho])
    data = people(rows, rng)
    layout = gram_layout(["a", "y"], rho)
    found = gram(noisy(layout, exact_sums(layout, data), rng), layout.parts, 1, COLUMNS["a"], COLUMNS["y"])
    slope, height = np.polyfit(data["a"], data["y"], 1)
    assert holds(*slope_band(found)[1:3], slope) == pytest.approx(0.95, abs=0.012)
    assert holds(*intercept_band(found)[1:3], height - COLUMNS["y"].centre) == pytest.approx(0.95, abs=0.012)
    assert holds(*correlation_band(found)[1:3], np.corrcoef(data["a"], data["y"])[0, 1]) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize(("rho", "unbounded"), [(3 * 10**7, 0.0), (10**6, 0.5)])
def test_strong_noise_gives_wide_intervals_and_no_false_ones(rho: int, unbounded: float) -> None:
    rng = np.random.default_rng(3)
    data = people(50, rng)
    layout = gram_layout(["a", "y"], rho)
    found = gram(noisy(layout, exact_sums(layout, data), rng), layout.parts, 1, COLUMNS["a"], COLUMNS["y"])
    assert holds(*slope_band(found)[1:3], float(np.polyfit(data["a"], data["y"], 1)[0])) > 0.94
    assert holds(*correlation_band(found)[1:3], float(np.corrcoef(data["a"], data["y"])[0, 1])) > 0.94
    assert np.isinf(slope_band(found).high).mean() >= unbounded


def test_regression_intervals_hold_95_percent() -> None:
    rng = np.random.default_rng(4)
    data = people(500_000, rng)
    layout = gram_layout(["a", "b", "y"], 10**6)
    sums = noisy(layout, exact_sums(layout, data), rng, 2500)
    bands = coefficients(sums, layout.parts, 1, [COLUMNS[name] for name in ("y", "a", "b")])
    design = np.column_stack([np.ones(500_000), data["a"], data["b"] / 100])
    truth = np.linalg.lstsq(design, data["y"] / 2, rcond=None)[0]
    for k in range(3):
        assert holds(bands[k][0].low, bands[k][0].high, truth[k]) == pytest.approx(0.95, abs=0.014)
        assert np.isfinite(bands[k][0].error).all()


def test_a_regression_that_the_noise_hides_has_no_figures() -> None:
    rng = np.random.default_rng(5)
    data = people(60, rng)
    layout = gram_layout(["a", "b", "y"], 10**7)
    bands = coefficients(noisy(layout, exact_sums(layout, data), rng, 50), layout.parts, 1, [COLUMNS[n] for n in ("y", "a", "b")])
    assert np.isnan(bands[0][0].value).mean() > 0.9
    assert np.isinf(bands[0][0].high).mean() > 0.9


@pytest.mark.parametrize("gap", [0.0, 0.1])
@pytest.mark.parametrize("rows", [60, 400, 50_000])
def test_a_difference_holds_and_is_called_significant_as_often_as_it_says(rows: int, gap: float) -> None:
    rng = np.random.default_rng([rows, int(gap * 10)])
    placed = In(column="placed", values=("1",))
    layout = layout_of([Component(kind=kind, condition=placed, rho=10**7) for kind in ("count", "total")])
    shares = (0.6 + gap, 0.6)
    bands = []
    for share in shares:
        yes = round(share * rows)
        sums = noisy(layout, [rows, 2 * yes - rows], rng, 8000)
        bands.append(share_band(sums[0], sums[1], (layout.parts[0], layout.parts[1]), 1))
    found = difference(bands[0], bands[1])
    truth = round(shares[0] * rows) / rows - round(shares[1] * rows) / rows
    assert holds(found.low, found.high, truth) == pytest.approx(0.95, abs=0.01 if rows > 100 else 0.03)
    called = float(np.mean(significant(found)))
    if gap == 0:
        assert called < 0.06
    elif rows == 50_000:
        assert called == 1.0


def test_a_difference_with_a_missing_side_is_anything() -> None:
    placed = In(column="placed", values=("1",))
    layout = layout_of([Component(kind=kind, condition=placed, rho=10**7) for kind in ("count", "total")])
    there = share_band(np.array([1000]), np.array([0]), (layout.parts[0], layout.parts[1]), 1)
    gone = share_band(np.array([-5]), np.array([3]), (layout.parts[0], layout.parts[1]), 1)
    found = difference(there, gone)
    assert math.isnan(found.value[0])
    assert found.low[0] <= -0.4
    assert found.high[0] >= 0.4
    assert significant(found) == [False]
