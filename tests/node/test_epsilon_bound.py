"""The real loss, measured: a statistical lower bound on epsilon from many releases of two neighbouring datasets.

For each kind of component the worst person is put in and taken out, the engine gives both exact tallies, and each is released many
times by `add_noise`. The best test to tell the two apart is the projection on their difference; for each of a few thresholds fixed
beforehand, Clopper-Pearson bounds at 99.99 % together give

    epsilon ≥ log((P[above | with] - delta) / P[above | without])

What counts as failure: the bound exceeds the epsilon stated for that rho and delta. What does not: a bound far below it. The same
test must catch a mutant whose scale is 3 times too small.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from referee import SCHEMA, SECRET, Row, prepared
from scipy import stats

from collegium.accounting import epsilon_of
from collegium.layout import Layout, compile_layout
from collegium.question import Bounds, Component, GroupKey, In, Question
from collegium_node import noise
from collegium_node.engine import ExactTally, tally
from collegium_node.noise import add_noise

RHO = 500_000_000  # 0.5: the tallies of neighbours lie one scale apart
DELTA = "0.001"
EPSILON = epsilon_of(RHO, DELTA)
CONFIDENCE = 0.9999
THRESHOLDS = (0.75, 1.0, 1.5, 2.0, 2.5)  # in units of the distance between the two tallies

WORST: list[Row] = [
    ("worst", {"sex": "1", "home": home, "year": 2020, "gpa": 430, "credits": 40}) for home in ("0", "1", None) for _ in range(5)
]
OTHERS: list[Row] = [
    (f"p{i}", {"sex": "129"[i % 3], "home": "01"[i % 2], "year": 2020 + i % 4, "gpa": i * 53 % 431, "credits": i % 41})
    for i in range(20)
]
COMPONENTS = [
    Component(kind="people", rho=RHO),
    Component(kind="rows", rho=RHO),
    Component(kind="sum", column="credits", clip=(0, 60), rho=RHO),
    Component(kind="count", column="gpa", rho=RHO),
    Component(kind="total", column="gpa", rho=RHO),
    Component(kind="total", condition=In(column="sex", values=("1",)), rho=RHO),
    Component(kind="squares", column="gpa", rho=RHO),
    Component(kind="bins", column="sex", rho=RHO),
    Component(kind="product", column="credits", other="gpa", rho=RHO),
    Component(kind="rows", margin=(), rho=RHO),
    Component(kind="total", column="gpa", margin=(), rho=RHO),
]


def neighbours(component: Component, scope: Literal["person"] | None = None) -> tuple[Layout, NDArray[np.int64], NDArray[np.int64]]:
    """The layout and the exact tallies with and without the worst person."""
    question = Question(
        dataset="term",
        group=(GroupKey(column="home"),),
        components=(component,),
        bounds=Bounds(max_groups=2, max_rows=3, scope=scope),
        schema=SCHEMA.id,
    )
    layout = compile_layout(question, SCHEMA)
    worst = WORST if scope is None else WORST[:5]  # where the bounds hold for all cells, all rows in one are the worst
    both = (tally(layout, prepared(rows), schema=SCHEMA, secret=SECRET).open() for rows in (worst + OTHERS, OTHERS))
    return layout, *both


def releases(layout: Layout, exact: NDArray[np.int64], times: int) -> NDArray[np.int64]:
    """[times, cells]: one release after another, drawn as one long part of the same scale."""
    (part,) = layout.parts
    wide = Layout(layout.question, layout.unit, layout.axes, (replace(part, width=part.width * times),))
    payload = add_noise(wide, ExactTally(np.tile(exact, times))).payload
    return np.frombuffer(payload, dtype="<i8").reshape(times, -1)


def lower_bound(component: Component, times: int, scope: Literal["person"] | None = None) -> float:
    """Epsilon is at least this, with the confidence above over all thresholds together."""
    layout, present, absent = neighbours(component, scope)
    difference = present - absent
    squared = int((difference**2).sum())
    assert squared == layout.parts[0].sensitivity_squared  # the worst case, or the test would be weak
    score = [((releases(layout, exact, times) - absent) @ difference) / squared for exact in (present, absent)]
    miss = (1 - CONFIDENCE) / (2 * len(THRESHOLDS))
    best = 0.0
    for threshold in THRESHOLDS:
        above, by_chance = (int((s > threshold).sum()) for s in score)
        low = stats.beta.ppf(miss, above, times - above + 1) if above else 0.0
        high = stats.beta.ppf(1 - miss, by_chance + 1, times - by_chance)
        if low > float(DELTA):
            best = max(best, math.log((low - float(DELTA)) / high))
    return best


def too_small(patch: pytest.MonkeyPatch) -> None:
    """The mutant: a third of the scale, and the node's own check of it blind."""
    honest = noise.scale_for
    patch.setattr(noise, "scale_for", lambda part: honest(part) / 3)
    patch.setattr(noise, "_charged", lambda part: Fraction(10**9))


QUICK = [*COMPONENTS[::3], COMPONENTS[-3]]  # among them the product, and a margin


@pytest.mark.parametrize("component", QUICK, ids=lambda c: f"{c.kind}{'' if c.margin is None else '-margin'}")
def test_the_bound_stays_below_what_is_stated(component: Component) -> None:
    assert 0 < lower_bound(component, 3000) <= EPSILON


@pytest.mark.parametrize("component", QUICK, ids=lambda c: f"{c.kind}{'' if c.margin is None else '-margin'}")
def test_a_scale_three_times_too_small_is_caught(component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    too_small(monkeypatch)
    assert lower_bound(component, 3000) > EPSILON


@pytest.mark.parametrize("component", QUICK[1:4], ids=lambda c: f"{c.kind}")
def test_bounds_over_all_cells_are_as_tight(component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < lower_bound(component, 3000, "person") <= EPSILON
    too_small(monkeypatch)
    assert lower_bound(component, 3000, "person") > EPSILON


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: f"{c.kind}-{'condition' if c.condition else c.column}-{c.margin}")
def test_the_bound_with_many_releases(component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = lower_bound(component, 60_000)
    assert EPSILON / 2 < honest <= EPSILON  # with so many it comes near, so a loss well above would show
    too_small(monkeypatch)
    assert lower_bound(component, 60_000) > EPSILON
