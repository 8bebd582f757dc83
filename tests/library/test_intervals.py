"""95 % intervals of quotients hold 95 % ± 1 %, above all where the denominator is small. Fixed seeds, so no test is left to luck.

What counts as failure: coverage outside the stated limits at a stated truth. The full table, with discrete noise, is in
`bench/intervals.py`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from collegium.fieller import quotient_interval
from collegium.intervals import mean_band, ratio_band, ratio_limit, share_band, variance_band
from collegium.inversion import Floats
from collegium.layout import Layout, compile_layout
from collegium.question import And, Bounds, Component, In, Predicate, Question
from collegium.schema import parse_schema
from collegium.spread import variance_interval

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
first = { type = "boolean", title = { en = "first" } }
gpa = { type = "decimal", title = { en = "gpa" }, min = 0, max = 4, step = 0.01 }
odd = { type = "integer", title = { en = "odd" }, min = 0, max = 5 }
"""
)
DATASET = SCHEMA.datasets["t"]
PLACED, FIRST = In(column="placed", values=("1",)), In(column="first", values=("1",))
REPETITIONS = 20_000


def layout_of(*components: Component, rows: int = 1) -> Layout:
    bounds = Bounds(max_groups=1, max_rows=rows)
    return compile_layout(Question(dataset="t", components=components, bounds=bounds, schema_id="toy/1"), SCHEMA)


def holds(low: Floats, high: Floats, truth: float) -> float:
    assert (low <= high).all()
    return float(((low <= truth + 1e-9) & (truth - 1e-9 <= high)).mean())


@pytest.mark.parametrize("sds", [2, 3, 5, 8, 20, 1000])
@pytest.mark.parametrize("truth", [-1.0, -0.6, 0.1, 0.3, 0.9, 1.0])
def test_a_bounded_quotient_holds_95_percent_from_a_denominator_of_two_standard_deviations(sds: float, truth: float) -> None:
    rng = np.random.default_rng(1)
    num, den = truth * sds + rng.normal(0, 1, REPETITIONS), sds + rng.normal(0, 1, REPETITIONS)
    low, high = quotient_interval(num, den, 1.0, 1.0, -1.0, 1.0)
    assert holds(low, high, truth) == pytest.approx(0.95, abs=0.01)
    assert (low >= -1).all()
    assert (high <= 1).all()


def test_the_delta_method_would_not_hold() -> None:
    """The same figures with a plain ± 1.96 standard errors: the reason for Fieller, and a check that the test above can fail."""
    rng = np.random.default_rng(1)
    num, den = 1.0 * 2 + rng.normal(0, 1, REPETITIONS), 2 + rng.normal(0, 1, REPETITIONS)
    half = 1.96 * np.sqrt(1 + (num / den) ** 2) / np.abs(den)
    assert holds(num / den - half, num / den + half, 1.0) < 0.94


def test_a_denominator_that_says_nothing_gives_the_whole_range() -> None:
    low, high = quotient_interval(np.array([0.1, 5.0, 0.0]), np.array([0.1, -5.0, 0.0]), 1.0, 1.0, -1.0, 1.0)
    assert low.tolist() == [-1, -1, -1]
    assert high.tolist() == [1, 1, 1]


def test_far_from_the_ends_it_is_fiellers_closed_form() -> None:
    num, den, var_num, var_den, cov = 30.0, 100.0, 4.0, 9.0, 2.0
    low, high = quotient_interval(np.array([num]), np.array([den]), var_num, var_den, -1.0, 1.0, cov=cov)
    z2 = 1.959963984540054**2
    a, b, c = den**2 - z2 * var_den, num * den - z2 * cov, num**2 - z2 * var_num
    root = math.sqrt(b * b - a * c)
    assert low[0] == pytest.approx((b - root) / a, rel=1e-12)
    assert high[0] == pytest.approx((b + root) / a, rel=1e-12)


@pytest.mark.parametrize("sds", [8, 20, 1000])
@pytest.mark.parametrize(
    ("mean", "variance"), [(0.0, 0.0), (0.0, 0.1), (0.5, 0.1), (0.5, 0.7), (-0.8, 0.1), (0.9, 0.01), (0.0, 1.0)]
)
def test_a_variance_holds_95_percent_from_a_count_of_eight_standard_deviations(sds: float, mean: float, variance: float) -> None:
    low, high = _variance(sds, mean, variance, 4_000)
    assert holds(low, high, variance) == pytest.approx(0.95, abs=0.012)  # 4,000 repetitions know it to 0.7 %


@pytest.mark.parametrize("sds", [0.5, 2, 4])
@pytest.mark.parametrize(("mean", "variance"), [(0.0, 0.1), (0.5, 0.3), (-0.8, 0.1)])
def test_a_variance_of_few_holds_at_least_95_percent(sds: float, mean: float, variance: float) -> None:
    low, high = _variance(sds, mean, variance, 2_000)
    assert holds(low, high, variance) >= 0.94


def _variance(sds: float, mean: float, variance: float, repetitions: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(2)
    count = sds + rng.normal(0, 1, repetitions)
    total = mean * sds + rng.normal(0, 1, repetitions)
    squares = (variance + mean**2 - 0.5) * sds + 0.5 * rng.normal(0, 1, repetitions)
    return variance_interval((count, total, squares), (1.0, 1.0, 0.5), 0.5, 1.0, 1.0)


def test_without_noise_to_speak_of_every_measure_is_the_truth() -> None:
    rho = 10**15
    gpa = DATASET.columns["gpa"]
    values = np.array([310, 322, 399, 20, 250, 300]) - gpa.centre
    layout = layout_of(*(Component(kind=kind, column="gpa", rho=rho) for kind in ("count", "total", "squares")))
    count, total = np.array([6 * 10**9]), np.array([int(values.sum()) * 10**9])
    squares = np.array([int((values**2 - layout.parts[2].offset).sum()) * 10**9])
    band = mean_band(count, total, (layout.parts[0], layout.parts[1]), 3, gpa)
    assert (band.low[0], band.value[0], band.high[0]) == pytest.approx([values.mean()] * 3, rel=1e-6)
    band = variance_band((count, total, squares), (layout.parts[0], layout.parts[1], layout.parts[2]), 3, gpa)
    assert (band.low[0], band.value[0], band.high[0]) == pytest.approx([values.var()] * 3, rel=1e-6)
    layout = layout_of(Component(kind="count", condition=PLACED, rho=rho), Component(kind="total", condition=PLACED, rho=rho))
    band = share_band(count, count // 2, (layout.parts[0], layout.parts[1]), 3)
    assert (band.low[0], band.value[0], band.high[0]) == pytest.approx([0.75] * 3, rel=1e-6)


def test_small_whole_noise_never_makes_a_share_hold_less_than_95_percent() -> None:
    """Scale 1: ± 1.96 would hold an even share 88 % of the time, because the noise is whole."""
    rho = 500_000_000
    layout = layout_of(Component(kind="count", condition=PLACED, rho=rho), Component(kind="total", condition=PLACED, rho=rho))
    rng = np.random.default_rng(3)
    xs = np.arange(-12, 13)
    p = np.exp(-(xs**2) / 2)
    for count, total in ((40, 0), (41, 7), (40, 20), (40, 40), (1000, 0)):
        noisy = [truth + rng.choice(xs, REPETITIONS, p=p / p.sum()) for truth in (count, total)]
        band = share_band(noisy[0], noisy[1], (layout.parts[0], layout.parts[1]), 1)
        assert holds(band.low, band.high, 0.5 + total / count / 2) >= 0.945


def test_a_ratio_without_limit_holds_95_percent_and_may_have_no_upper_end() -> None:
    layout = layout_of(Component(kind="people", rho=10**6), Component(kind="people", filter=PLACED, rho=10**6))
    sd = math.sqrt(500)
    rng = np.random.default_rng(4)
    for num, den in ((0.0, 100.0), (300.0, 40.0), (60.0, 60.0), (5000.0, 5000.0), (100.0, 2000.0)):
        x, y = (np.rint(truth + rng.normal(0, sd, REPETITIONS)).astype(np.int64) for truth in (num, den))
        band = ratio_band(x, y, (layout.parts[0], layout.parts[1]), 1, math.inf)
        assert holds(band.low, band.high, num / den) == pytest.approx(0.95, abs=0.01)
        assert bool(np.isinf(band.high).any()) == (den < 1000)


@pytest.mark.parametrize(
    ("num", "den", "limit"),
    [
        (("people", PLACED), ("people", None), 1),
        (("people", None), ("people", PLACED), math.inf),
        (("people", And(args=(FIRST, PLACED))), ("people", PLACED), 1),
        (("people", FIRST), ("people", PLACED), math.inf),
        (("rows", None), ("people", None), 5),
        (("people", None), ("rows", None), 1),
        (("rows", None), ("count", None), math.inf),
        (("count", None), ("rows", None), 1),
        (("sum", PLACED), ("people", None), 3),
        (("sum", None), ("rows", None), math.inf),
        (("rows", None), ("sum", None), math.inf),
    ],
)
def test_the_limit_of_a_ratio_comes_from_the_question_alone(
    num: tuple[str, Predicate | None], den: tuple[str, Predicate | None], limit: float
) -> None:
    def make(kind: str, predicate: Predicate | None) -> Component:
        more = {"column": "odd"} if kind in ("count", "sum") else {}
        return Component.model_validate(
            {"kind": kind, "rho": 1, "filter": predicate, **more, **({"clip": (0, 3)} if kind == "sum" else {})}
        )

    assert ratio_limit(make(*num), make(*den), 5) == limit
