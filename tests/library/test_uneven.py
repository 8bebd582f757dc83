"""Entropy and top shares: exact without noise, and intervals that hold the truth when the noise is large, small or hides it.

What counts as failure: coverage below 94 %. More than 96 % is none where bins lie near the noise or codes are tied; the modules say
so. Where everything is clear of the noise it is.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from collegium.accounting import noise_scale
from collegium.combine import AskedNode, NodeRelease, combine
from collegium.entropy import MEND, OFF, entropy_band, logarithm, mended, stretched
from collegium.errors import Invalid
from collegium.intervals import Band, noise_of
from collegium.layout import Part, compile_layout
from collegium.question import Bounds, Component, Question
from collegium.schema import parse_schema
from collegium.top_share import middles, top_codes_band, top_share_band
from collegium.view import View

SCHEMA = parse_schema(
    """
name = "toy"
version = 1
title = { en = "Toy" }
[units.student]
title = { en = "student" }
[codes.letters]
a = { en = "A" }
b = { en = "B" }
c = { en = "C" }
d = { en = "D" }
e = { en = "E" }
f = { en = "F" }
[datasets.t]
title = { en = "t" }
unit = "student"
person = "pid"
[datasets.t.columns]
pay = { type = "integer", title = { en = "pay" }, min = 0, max = 50000, step = 10 }
age = { type = "integer", title = { en = "age" }, min = 20, max = 60 }
letter = { type = "category", title = { en = "letter" }, codes = "letters" }
"""
)
NODES = 5
Ints = NDArray[np.int64]


def part_of(column: str, rho: int, edges: list[int] | None = None) -> Part:
    component = Component.model_validate({"kind": "bins", "column": column, "edges": edges, "rho": rho})
    bounds = Bounds(max_groups=1, max_rows=1)
    return compile_layout(Question(dataset="t", components=(component,), bounds=bounds, schema_id="toy/1"), SCHEMA).parts[0]


def noisy(counts: list[int], part: Part, times: int, seed: int = 1) -> Ints:
    """Repetitions one after the other, as if they were cells; 17 rows are unknown and play no part."""
    sd = noise_of(part, NODES).sd
    rng = np.random.default_rng([seed, *counts])
    return np.rint(np.array([*counts, 17]) + rng.normal(0, sd, (times, len(counts) + 1))).astype(np.int64).ravel()


def exact(counts: list[int]) -> Ints:
    return np.array([*counts, 17], dtype=np.int64)


def held(band: Band, truth: float) -> float:
    return float(((band.low <= truth + 1e-9) & (truth - 1e-9 <= band.high)).mean())


def entropy(counts: list[int]) -> float:
    whole = sum(counts)
    return -sum(n / whole * math.log2(n / whole) for n in counts if n)


def top(counts: list[int], values: list[float], q: float) -> float:
    left = wished = q * sum(counts)
    assert wished > 0
    found = 0.0
    for n, value in sorted(zip(counts, values, strict=True), key=lambda pair: -pair[1]):
        taken = min(n, left)
        found, left = found + taken * value, left - taken
    return found / sum(n * v for n, v in zip(counts, values, strict=True))


def test_the_logarithm_is_the_logarithm() -> None:
    x = np.concatenate([np.geomspace(1e-9, 1e15, 2001), [1.0, 2.0, 0.7071067811865476]])
    assert np.allclose(logarithm(x), np.log(x), rtol=1e-15, atol=2e-16)


def test_what_stands_in_for_n_ln_n_is_off_by_no_more_than_is_said() -> None:
    """Its mean under noise of variance 1, integrated, beside n·ln n for every n from none."""
    z = np.linspace(-9, 9, 18_001)
    weights = np.exp(-z * z / 2)
    weights /= weights.sum()
    worst = 0.0
    for n in np.concatenate([np.linspace(0, 6, 121), np.linspace(6, 60, 109)]).tolist():
        off = float((mended(np.asarray(n + z))[0] * weights).sum()) - (n * math.log(n) if n else 0.0)
        worst = max(worst, abs(off))
        assert abs(off) < (0.0025 if n >= 6 else OFF), n
    assert worst > 0.9 * OFF  # and it is not said too large
    assert mended(np.array([MEND, MEND - 1e-9]))[0][0] == pytest.approx(mended(np.array([MEND - 1e-9]))[0][0], abs=1e-3)


@pytest.mark.parametrize("off", [0.0, 0.1, 0.5, 1.0, 3.0])
def test_an_interval_is_made_long_enough_for_a_middle_that_is_off(off: float) -> None:
    half = 1.959963984540054 * float(stretched(np.array([off]))[0])
    inside = 0.5 * (math.erf((half - off) / math.sqrt(2)) + math.erf((half + off) / math.sqrt(2)))
    assert 0.95 - 1e-9 <= inside < 0.96


@pytest.mark.parametrize("counts", [[5, 0, 20, 7, 7, 1], [1, 0, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3], [10**6, 1, 1, 1, 1, 1]])
def test_without_noise_they_are_what_they_are_called(counts: list[int]) -> None:
    part = part_of("letter", 10**15)
    band = entropy_band(exact(counts), part, 1)
    assert band.value[0] == pytest.approx(entropy(counts), abs=1e-4)
    assert band.high[0] - band.low[0] < 0.01
    for k in (1, 2, 5, 6, 9):
        largest = sum(sorted(counts)[-k:]) / sum(counts)
        codes = top_codes_band(exact(counts), part, 1, k)
        assert codes.value[0] == pytest.approx(largest, abs=1e-4)
    edges = [0, 400, 600, 900, 1500, 3000, 5000]
    part = part_of("pay", 10**15, edges)
    middle = [(a + b) / 2 for a, b in pairwise(edges)]
    for q in (0.01, 0.1, 0.5, 0.9):
        assert top_share_band(exact(counts), part, 1, q).value[0] == pytest.approx(top(counts, middle, q), abs=1e-4)


FALLING = [4000, 2500, 1500, 900, 500, 200]
CASES = [  # counts, the noise's deviation, whether all bins are clear of it and no two tied
    (FALLING, 20.0, True),
    ([n // 10 for n in FALLING], 20.0, False),
    ([40, 25, 15, 9, 5, 1], 2.0, False),
    ([1000, 1000, 1000, 1000, 1000, 1000], 30.0, False),
    ([3000, 0, 0, 0, 0, 0], 20.0, False),
    ([400_000, 250_000, 150_000, 90_000, 50_000, 10_000], 100.0, True),
]


def rho_for(sd: float) -> int:
    """Nano-rho of a part with sensitivity 1 whose national noise has this deviation."""
    return round(1e9 * NODES / (2 * sd * sd))


def checked(band: Band, truth: float, clear: bool, name: Any) -> None:
    coverage = held(band, truth)
    assert coverage > 0.935, name
    assert not clear or coverage < 0.965, name
    known = ~np.isnan(band.value)
    assert (band.low[known] <= band.value[known]).all()
    assert (band.value[known] <= band.high[known]).all()


@pytest.mark.parametrize(("counts", "sd", "clear"), CASES)
def test_intervals_hold(counts: list[int], sd: float, clear: bool) -> None:
    """3,000 repetitions know 95 % to ± 0.8 %."""
    times, letters = 3000, part_of("letter", rho_for(sd))
    sums = noisy(counts, letters, times)
    checked(entropy_band(sums, letters, NODES), entropy(counts), clear, "entropy")
    for k in (1, 2, 3):
        checked(top_codes_band(sums, letters, NODES, k), sum(sorted(counts)[-k:]) / sum(counts), clear, ("codes", k))
    edges = [0, 400, 600, 900, 1500, 3000, 5000]
    pays = part_of("pay", rho_for(sd), edges)
    middle = [(a + b) / 2 for a, b in pairwise(edges)]
    for q in (0.1, 0.5):
        checked(top_share_band(sums, pays, NODES, q), top(counts, middle, q), False, ("top", q))


def test_entropy_near_its_largest_is_held() -> None:
    """Where all bins are about equal the derivatives nearly vanish; the noise of second order is in the interval."""
    counts = [110, 90] * 20 + [110]
    ages = part_of("age", rho_for(10.0))
    assert held(entropy_band(noisy(counts, ages, 3000), ages, NODES), entropy(counts)) > 0.94


def test_tied_codes_do_not_make_the_largest_look_large() -> None:
    """Of six equal codes the largest noisy one is never the largest: an interval that took it so would hold a sixth in vain."""
    letters = part_of("letter", rho_for(30.0))
    band = top_codes_band(noisy([1000] * 6, letters, 3000), letters, NODES, 1)
    assert held(band, 1 / 6) > 0.94
    assert abs(float(np.median(band.value)) - 1 / 6) < abs(float(np.median(band.value + 1.27 * 30 / 2 / 6000)) - 1 / 6)


def test_where_the_noise_hides_everything_nothing_is_bounded() -> None:
    letters = part_of("letter", rho_for(1000.0))
    band = entropy_band(noisy([10, 5, 3, 2, 1, 0], letters, 500), letters, NODES)
    assert held(band, entropy([10, 5, 3, 2, 1, 0])) > 0.99
    assert np.median(band.high) == pytest.approx(math.log2(6))
    assert np.isnan(band.error).mean() > 0.9
    none = np.full(7, -50, dtype=np.int64)
    assert np.isnan(entropy_band(none, letters, NODES).value[0])
    assert np.isnan(top_codes_band(none, letters, NODES, 2).value[0])


def test_a_total_of_what_may_be_negative_has_no_figure_and_no_error() -> None:
    """A view made by hand may ask for it; the table says that there is no figure."""
    part = part_of("letter", 10**9)
    assert part.bins is not None
    assert middles(part.bins) is None
    band = top_share_band(exact([5, 4, 3, 2, 1, 0]), part, 1, 0.1)
    assert np.isnan(band.value[0])
    assert (band.low[0], band.high[0]) == (-math.inf, math.inf)


def test_a_view_made_without_sql_shows_them() -> None:
    """`Question` and `View` by hand: one component, three figures of it."""
    counts = [400, 300, 150, 100, 40, 10]
    component = Component(kind="bins", column="letter", rho=10**9)
    bounds = Bounds(max_groups=1, max_rows=1)
    layout = compile_layout(Question(dataset="t", components=(component,), bounds=bounds, schema_id="toy/1"), SCHEMA)
    measures = [
        {"label": "h", "kind": "entropy", "parts": [0], "column": "letter"},
        {"label": "top 2", "kind": "top_share", "parts": [0], "top": 2},
        {"label": "all", "kind": "histogram", "parts": [0]},
    ]
    view = View.from_json({"measures": measures, "columns": [{"measure": n} for n in range(3)], "facts": []})
    release = NodeRelease("a", exact(counts).astype("<i8").tobytes(), (repr(noise_scale(layout.parts[0])),))
    table = combine(layout, view, SCHEMA, [release], [AskedNode("a")])
    (row,) = table.rows
    assert float(row.figures[0].value or 0) == pytest.approx(entropy(counts), abs=0.01)
    assert float(row.figures[1].value or 0) == pytest.approx(0.7, abs=0.01)
    assert [info.unit for info in table.measures] == ["bits", None, None]
    assert [info.percent for info in table.measures] == [False, True, False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "top_share", "parts": [0]},
        {"kind": "top_share", "parts": [0], "top": 1, "q": "0.1"},
        {"kind": "top_share", "parts": [0], "top": 0},
        {"kind": "entropy", "parts": [0], "q": "0.5"},
        {"kind": "entropy", "parts": [0, 1]},
        {"kind": "histogram", "parts": [0], "top": 3},
        {"kind": "difference", "parts": [0, 1], "of": ["quantile", "value"], "q": "0.5"},
        {"kind": "difference", "parts": [0, 1], "of": ["quantile", "quantile"]},
        {"kind": "difference", "parts": [0, 1], "of": ["value", "value"], "q": "0.5"},
    ],
)
def test_a_view_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        View.from_json({"measures": [{"label": "x", **wrong}], "columns": [{"measure": 0}], "facts": []})


def test_whole_numbers_count_with_their_value_and_bins_with_their_middle() -> None:
    ages, pays = part_of("age", 10**9).bins, part_of("pay", 10**9, [0, 500, 5000]).bins
    assert ages is not None
    assert pays is not None
    assert middles(ages) == tuple(range(40, 121, 2))
    assert middles(pays) == (500, 5500)
