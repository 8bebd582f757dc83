"""What tables of national sums say of their noise is so: exact laws, and intervals that hold 95 %, below one step as well."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from collegium.accounting import NANO
from collegium.combine import AskedNode, combine
from collegium.errors import NotVerified
from collegium.intervals import noise_of
from collegium.lattice import TWO_SIDED, national_noise
from collegium.layout import Layout, compile_layout
from collegium.national.figures import NationalSum, in_steps
from collegium.national.law import RoundOf, rounded_noise, rounding_variance
from collegium.national.share import make_share, sigma_for
from collegium.question import Bounds, Component, GroupKey, In, Question
from collegium.schema import parse_schema
from collegium.view import View

SCHEMA = parse_schema(
    """
name = "toy"
version = 1
title = { en = "Toy" }
[units.student]
title = { en = "student" }
max_nodes_per_person = 2
[codes.province]
11 = { en = "Beijing" }
31 = { en = "Shanghai" }
[facts.province]
title = { en = "province" }
codes = "province"
[datasets.t]
title = { en = "t" }
unit = "student"
person = "pid"
[datasets.t.columns]
roll = { type = "integer", title = { en = "roll" }, min = 0, max = 998 }
placed = { type = "boolean", title = { en = "placed" } }
"""
)
PLACED = In(column="placed", values=("1",))
GROUPS = (("11",), ("31",))
HOMES = 2
ROUNDS = (RoundOf(HOMES, 40, 35), RoundOf(HOMES, 9, 8))
VIEW = View.model_validate(
    {
        "measures": [
            {"label": "n", "kind": "value", "parts": [0]},
            {"label": "placed", "kind": "share", "parts": [1, 2]},
        ],
        "columns": [{"fact": "province"}, {"group": "roll"}, {"measure": 0}],
        "facts": ["province"],
    }
)


def layout_for(sigma: float) -> Layout:
    """A thousand cells, in each three components with σ = `sigma` steps in the sum for a person at two nodes."""
    rho = round(HOMES**2 * NANO / (2 * sigma * sigma))
    question = Question(
        dataset="t",
        group=(GroupKey(column="roll"),),
        components=(
            Component(kind="people", rho=rho),
            Component(kind="count", condition=PLACED, rho=rho),
            Component(kind="total", condition=PLACED, rho=rho),
        ),
        bounds=Bounds(max_groups=1, max_rows=1),
        mode="national",
        schema_id="toy/1",
    )
    return compile_layout(question, SCHEMA)


def nodes(at: int) -> list[AskedNode]:
    return [AskedNode(f"{at}-{number:02}", {"province": GROUPS[at][0]}, 100) for number in range(ROUNDS[at].participants)]


def drawn(rng: np.random.Generator, layout: Layout, at: int, truths: tuple[int, ...]) -> NationalSum:
    """One round's total: in every cell the truth of its component, and the shares of all participants on the lattice."""
    of, fines, cells = ROUNDS[at], [], []
    for part, truth in zip(layout.parts, truths, strict=True):
        share = make_share(sigma_for(part.component.rho, part.sensitivity_squared, of.homes), of.honest)
        shares = np.rint(rng.normal(0, math.sqrt(share.scale**2 - 1 / 12), (of.participants, part.width)))
        cells.append((truth << share.fine) + shares.astype(np.int64).sum(axis=0))
        fines.append(share.fine)
    names = tuple(one.node for one in nodes(at))
    return NationalSum(GROUPS[at], names, np.concatenate(cells), tuple(fines), Fraction(of.participants, of.honest), of.homes)


@pytest.mark.parametrize("sigma", [0.3, 0.7, 2.0, 9.0])
def test_intervals_of_national_tables_hold_95_percent(sigma: float) -> None:
    """Counts of 3 and of 0, where noise is cut at the floor, and shares; for one group and for the sum of both.

    Whole figures cannot hold exactly 95 %: by what one more step holds the coverage may be above.
    """
    rng, layout = np.random.default_rng(7), layout_for(sigma)
    asked = [*nodes(0), *nodes(1)]
    for truths in ((3, 400, 100), (0, 400, 400)):
        held = {(of, measure): [] for of in (0, 1) for measure in (0, 1)}  # type: ignore[var-annotated]
        for _ in range(3):
            sums = [drawn(rng, layout, at, truths) for at in (0, 1)]
            table = combine(layout, VIEW, SCHEMA, (), asked, sums=sums, groups=GROUPS)
            for of in (0, 1):
                for row in table.rows_of(of):
                    truth = (truths[0] * (2 if of == 0 else 1), 0.5 + truths[2] / truths[1] / 2)
                    for measure, figure in enumerate(row.figures):
                        assert figure.low is not None
                        assert figure.high is not None
                        held[of, measure].append(float(figure.low) <= truth[measure] <= float(figure.high))
        for (of, measure), found in held.items():
            rounds = ROUNDS if of == 0 else ROUNDS[:1]
            noise = rounded_noise(layout.parts[0], rounds)
            sds = 4 * math.sqrt(0.95 * 0.05 / len(found))
            over = 0.117 / noise.sd if measure == 0 else 0.05
            assert 0.95 - sds < np.mean(found) < min(1.0, 0.95 + over) + sds, (truths, of, measure)


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0, 3.0, 30.0, 200.0])
@pytest.mark.parametrize("rounds", [ROUNDS[:1], ROUNDS, ROUNDS * 4])
def test_the_law_is_that_of_rounded_noise(sigma: float, rounds: tuple[RoundOf, ...]) -> None:
    part = layout_for(sigma).parts[0]
    noise = rounded_noise(part, rounds)
    rng = np.random.default_rng(11)
    found = np.zeros(200_000)
    for each in rounds:
        share = make_share(sigma_for(part.component.rho, part.sensitivity_squared, each.homes), each.honest)
        exact = np.rint(rng.normal(0, share.scale * math.sqrt(each.participants), len(found))) / 2**share.fine
        truth = rng.integers(0, 2, len(found))  # halves go to the even: half of them up, half of them down
        found += np.rint(exact + truth) - truth
    assert found.std() == pytest.approx(noise.sd, rel=0.02)
    inside = np.abs(found) <= noise.two_sided
    assert inside.mean() > 0.95 - 0.002
    assert noise.two_sided == 0 or (np.abs(found) <= noise.two_sided - 1).mean() < 0.95 + 0.002
    assert (found <= noise.one_sided).mean() > 0.95 - 0.002


def test_the_variance_is_that_of_one_mechanism_for_a_person_at_two_nodes() -> None:
    """k²·|U|/m of one release's, summed over groups, and not the number of universities."""
    part = layout_for(300.0).parts[0]
    one = national_noise(math.sqrt(part.sensitivity_squared * NANO / (2 * part.component.rho)), 1).sd
    assert noise_of(part, ROUNDS).sd == pytest.approx(one * 2 * math.sqrt(40 / 35 + 9 / 8), rel=1e-5)
    assert noise_of(part, 49).sd == pytest.approx(one * 7, rel=1e-9)


@pytest.mark.parametrize(("fine", "expected"), [(0, 0.0), (1, 0.125), (2, (0 + 2 * 0.0625 + 0.25) / 4), (12, 1 / 12)])
def test_the_variance_of_rounding(fine: int, expected: float) -> None:
    assert rounding_variance(fine) == pytest.approx(expected, rel=1e-6)


def test_totals_are_rounded_halves_to_even() -> None:
    layout = layout_for(40.0)
    share = make_share(sigma_for(layout.parts[0].component.rho, 1, HOMES), 600)
    assert share.fine == 2
    total = np.zeros(layout.length, dtype=np.int64)
    total[:12] = [0, 1, 2, 3, 4, 5, 6, 7, -1, -2, -3, -6]
    one = NationalSum(None, tuple(map(str, range(600))), total, (2, 2, 2), Fraction(1), HOMES)
    assert in_steps(layout, one)[:12].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 0, 0, -1, -2]
    whole = NationalSum(None, tuple(map(str, range(9))), total, (0, 0, 0), Fraction(1), HOMES)
    assert in_steps(layout, whole).tolist() == total.tolist()


@pytest.mark.parametrize("fines", [(1, 2, 2), (2, 2), (3, 3, 3)])
def test_a_total_on_another_lattice_is_refused(fines: tuple[int, ...]) -> None:
    layout = layout_for(40.0)
    total = np.zeros(layout.length, dtype=np.int64)
    with pytest.raises(NotVerified):
        in_steps(layout, NationalSum(None, tuple(map(str, range(600))), total, fines, Fraction(1), HOMES))


def test_the_half_width_of_a_count_is_told_by_the_same_law() -> None:
    noise = rounded_noise(layout_for(50.0).parts[0], ROUNDS)
    assert noise.two_sided == pytest.approx(TWO_SIDED * noise.sd, abs=1)


def test_sums_of_other_groups_are_refused() -> None:
    rng, layout, asked = np.random.default_rng(3), layout_for(2.0), [*nodes(0), *nodes(1)]
    one, other = (drawn(rng, layout, at, (3, 400, 100)) for at in (0, 1))
    assert combine(layout, VIEW, SCHEMA, (), asked, sums=[other, one], groups=GROUPS) == combine(
        layout, VIEW, SCHEMA, (), asked[::-1], sums=[one, other], groups=GROUPS[::-1]
    )
    halves = [replace(one, nodes=one.nodes[:20], factor=Fraction(20, 10)), replace(one, nodes=one.nodes[20:], factor=Fraction(2))]
    for sums, groups in (
        ([one, other], GROUPS[:1]),  # a sum of a group that the question has not
        (halves, GROUPS),  # two of one
        ([replace(one, codes=None)], GROUPS),  # of everybody, where it is by groups
        ([replace(one, nodes=(*one.nodes[:-1], other.nodes[0]))], GROUPS),  # with a participant of another group
    ):
        with pytest.raises(NotVerified, match=r"group|participants"):
            combine(layout, VIEW, SCHEMA, (), asked, sums=sums, groups=groups)
    with pytest.raises(NotVerified, match="there twice"):
        combine(layout, VIEW, SCHEMA, (), asked, sums=[one, one], groups=GROUPS)
    with pytest.raises(NotVerified, match="was not asked"):
        combine(layout, VIEW, SCHEMA, (), asked[1:], sums=[one, other], groups=GROUPS)
