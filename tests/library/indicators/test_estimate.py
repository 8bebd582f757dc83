"""Noisy sums to figures: unbiased, right intervals, totals that add up, nodes that miss a question, nothing where nothing is."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from indicatortables import RHO, World, drawn, shipped

from collegium.indicators.batch import plan_batch
from collegium.indicators.estimate import cells, estimate, estimate_nodes, precision
from collegium.indicators.expected import expected
from collegium.indicators.figure import BLURRED, MISSING, Figure
from collegium.indicators.leaf import Impossible

EXPANDED, SCHEMA, BATCH = shipped()
NODES = 24


@lru_cache
def world() -> World:
    return World(BATCH, np.random.default_rng(11), mean=30_000.0)


def exact(of: World) -> list[np.ndarray]:
    return [of.tally(question) for question in range(len(of.batch.questions))]


def noisy(of: World, nodes: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [true + drawn(layout, nodes, rng) for true, layout in zip(exact(of), of.batch.layouts, strict=True)]


def held(figure: Figure, truth: float) -> bool:
    low = -math.inf if figure.low is None else figure.low
    high = math.inf if figure.high is None else figure.high
    slack = 1e-9 * max(1.0, abs(truth))
    return low - slack <= truth <= high + slack


def test_without_noise_every_figure_is_the_truth() -> None:
    found = estimate(BATCH, exact(world()), [NODES] * len(BATCH.questions))
    assert list(found) == [leaf.id for leaf in EXPANDED.leaves]
    for line in BATCH.lines:
        truth = world().truth(line)
        if math.isnan(truth):
            assert found[line.id].value is None or found[line.id].mark == BLURRED
        else:
            assert math.isclose(found[line.id].value or 0.0, truth, rel_tol=1e-6, abs_tol=1e-6), line.id


def test_intervals_hold_the_truth_19_times_of_20_and_values_are_unbiased() -> None:
    """`bench/indicators.py` says so to a tenth of a percent, by size; this is the alarm."""
    known = precision(BATCH, [NODES] * len(BATCH.questions))
    inside, errors = [], defaultdict(list)
    for seed in range(12):
        found = estimate(BATCH, noisy(world(), NODES, seed), [NODES] * len(BATCH.questions), known=known)
        for line in BATCH.lines:
            truth, figure = world().truth(line), found[line.id]
            if not math.isnan(truth):
                inside.append(held(figure, truth))
                if line.denominator is None and figure.value is not None and figure.std_error:
                    errors[line.id].append((figure.value - truth) / figure.std_error)
    assert 0.94 < np.mean(inside) < 0.965
    every = np.array([errors[name] for name in errors])
    assert abs(every.mean()) < 0.05
    assert 0.95 < every.std() < 1.05


def test_totals_are_the_sums_of_their_cells() -> None:
    """Of all cells, those that no indicator shows (unknown, military science) included."""
    known = precision(BATCH, [NODES] * len(BATCH.questions))
    found = cells(BATCH, noisy(world(), NODES, 2), [NODES] * len(BATCH.questions))
    compared = 0
    for placed in BATCH.families:
        sizes = [axis.size for axis in BATCH.layouts[placed.question].axes]
        tables = {
            keys: found[start : start + math.prod(sizes[k] for k in keys)].reshape([sizes[k] for k in keys])
            for keys, start in zip(placed.wanted, placed.starts, strict=True)
        }
        for coarse in tables:
            for fine in tables:
                if set(coarse) < set(fine):
                    added = tables[fine].sum(axis=tuple(at for at, key in enumerate(fine) if key not in coarse))
                    # Figures are rounded to 2^-30 of their noise, so that every machine has the same.
                    noise_here = known.sd[placed.starts[placed.wanted.index(fine)]] * added.size**0.5
                    np.testing.assert_allclose(added, tables[coarse], rtol=1e-9, atol=1e-7 * noise_here)
                    compared += 1
    assert compared > 100


def test_provinces_add_up_to_the_nation() -> None:
    rng = np.random.default_rng(7)
    tallies = [noisy(World(BATCH, rng, mean=900.0), 1, seed) for seed in range(3)]
    together = [sum(parts) for parts in zip(*tallies, strict=True)]
    nation = estimate(BATCH, together, [3] * len(BATCH.questions))
    provinces = [estimate(BATCH, each, [1] * len(BATCH.questions)) for each in tallies]
    for line in BATCH.lines:
        if line.denominator is None:
            added = sum(province[line.id].value or 0.0 for province in provinces)
            assert math.isclose(added, nation[line.id].value or 0.0, rel_tol=1e-9, abs_tol=1e-4 * line.recipe.unit), line.id


def test_shares_of_one_table_add_up_to_everything() -> None:
    """All cells of the graduates' destinations, the unknown one too, over their total: read from the estimates themselves."""
    found = estimate(BATCH, noisy(world(), NODES, 3), [NODES] * len(BATCH.questions))
    shown = [leaf.id for leaf in EXPANDED.leaves if leaf.measure == "dest_share" and leaf.level == "university"]
    assert len(shown) == 6
    line = next(line for line in BATCH.lines if line.id == shown[0])
    assert line.denominator is not None
    true = [world().truth(next(each for each in BATCH.lines if each.id == name)) for name in shown]
    values = [found[name].value or 0.0 for name in shown]
    assert math.isclose(sum(values), sum(true), abs_tol=2.0)
    assert all(found[name].std_error for name in shown)


def test_a_share_knows_that_its_cell_is_in_its_total() -> None:
    """The stated error is that of repetitions; without the covariance it would be a seventh too large for a share near one."""
    table = World(BATCH, np.random.default_rng(4), mean=1000.0)
    line = next(line for line in BATCH.lines if line.id == "D01-S09-002")  # teachers of one discipline by title
    full = table.tables[line.numerator.family]
    keys = BATCH.families[line.numerator.family].wanted[line.numerator.margin]
    place: list[slice | int] = [slice(None)] * full.ndim
    for key, index in zip(keys, np.unravel_index(line.numerator.cell, [full.shape[k] for k in keys]), strict=True):
        place[key] = int(index)
    full[tuple(place)] *= 1 + int(900 / table.truth(line))
    assert 85 < table.truth(line) < 97
    (question,) = BATCH.questions_of(line)
    nodes = [NODES if each == question else 0 for each in range(len(BATCH.questions))]
    known, at, layout = precision(BATCH, nodes), BATCH.lines.index(line), BATCH.layouts[question]
    rng, true = np.random.default_rng(21), table.tally(question)
    found = []
    for _ in range(800):
        sums = [true + drawn(layout, NODES, rng) if count else None for count in nodes]
        found.append(estimate(BATCH, sums, nodes, known=known, lines=[at])[line.id])
    spread = float(np.std([figure.value for figure in found]))
    stated = float(np.mean([figure.std_error for figure in found]))
    assert 0.94 < spread / stated < 1.06
    assert 0.92 < np.mean([held(figure, table.truth(line)) for figure in found]) < 0.98


def test_impossible_cells_are_exactly_zero_and_totals_still_add_up() -> None:
    never = Impossible("graduate", {"study_level": ("4",), "discipline_cat": ("01", "02")})
    batch = plan_batch(replace(EXPANDED, impossible=(*EXPANDED.impossible, never)), SCHEMA, RHO)
    of = World(batch, np.random.default_rng(12))
    found = estimate(batch, noisy(of, NODES, 1), [NODES] * len(batch.questions))
    zero = [
        leaf
        for leaf in EXPANDED.leaves
        if leaf.measure == "graduates" and set(leaf.cell) == {("study_level", "4"), ("discipline_cat", "01")}
    ]
    assert zero
    for leaf in zero:
        assert (found[leaf.id].value, found[leaf.id].low, found[leaf.id].high, found[leaf.id].mark) == (0.0, 0.0, 0.0, "")
    rate = next(
        leaf
        for leaf in EXPANDED.leaves
        if leaf.measure == "placed_rate" and set(leaf.cell) == {("study_level", "4"), ("discipline_cat", "01")}
    )
    assert found[rate.id].mark == MISSING
    assert found[rate.id].value is None


def test_nobody_answered() -> None:
    found = estimate(BATCH, [None] * len(BATCH.questions), [0] * len(BATCH.questions))
    assert all(figure == Figure(None, None, None, None, MISSING, 0, "no-answer") for figure in found.values())


def test_a_question_nobody_answered_takes_its_indicators_alone() -> None:
    sums: list[np.ndarray | None] = list(exact(world()))
    gone = BATCH.families[BATCH.lines[0].numerator.family].question
    sums[gone] = None
    found = estimate(BATCH, sums, [NODES] * len(BATCH.questions))
    for line in BATCH.lines:
        assert (found[line.id].mark == MISSING and found[line.id].reason == "no-answer") == (gone in BATCH.questions_of(line)), (
            line.id
        )


def test_a_ratio_of_two_questions_is_of_the_universities_that_answered_both() -> None:
    rng = np.random.default_rng(9)
    worlds = {f"u{k}": World(BATCH, rng, mean=400_000.0) for k in range(4)}
    line = next(line for line in BATCH.lines if line.id == "U-S08-008")  # students per teacher
    above, below = (BATCH.families[spot.family].question for spot in (line.numerator, line.denominator) if spot is not None)
    tallies: dict[str, list[np.ndarray | None]] = {name: list(exact(each)) for name, each in worlds.items()}
    tallies["u3"][below] = None
    tallies["u2"][above] = None
    found = estimate_nodes(BATCH, tallies)
    both = [worlds["u0"], worlds["u1"]]
    numerator = sum(each.truth(next(x for x in BATCH.lines if x.id == "U-S02-001")) for each in both)
    teachers = sum(each.truth(next(x for x in BATCH.lines if x.id == "U-S08-001")) for each in both)
    assert found["U-S08-008"].nodes == 2
    assert math.isclose(found["U-S08-008"].value or 0.0, numerator / teachers, rel_tol=1e-6)
    assert found["U-S02-001"].nodes == 3


def test_marks_follow_the_interval_and_the_catalogue() -> None:
    found = estimate(BATCH, noisy(world(), NODES, 5), [NODES] * len(BATCH.questions))
    for figure in found.values():
        if figure.value is not None:
            assert (figure.mark == BLURRED) == (figure.half_width > BATCH.half_width * abs(figure.value))
        else:
            assert figure.mark == MISSING
    assert {figure.mark for figure in found.values()} >= {"", BLURRED}


def test_the_expected_error_is_the_error() -> None:
    told = expected(BATCH, NODES)
    found = estimate(BATCH, noisy(world(), NODES, 6), [NODES] * len(BATCH.questions))
    assert list(told) == list(found)
    for line in BATCH.lines:
        if line.denominator is None:
            figure = found[line.id]
            assert figure.value is not None
            if figure.value > 10 * (figure.std_error or 0.0):  # away from zero, where the interval is cut
                assert math.isclose(told[line.id].half_width, figure.half_width, rel_tol=1e-9), line.id
            assert told[line.id].rows is None
        else:
            assert (told[line.id].rows or 0) > 0
            assert told[line.id].half_width > 0
    more = expected(BATCH, NODES, rows=1_000_000)
    assert more["U-S04-001"].half_width < told["U-S04-001"].half_width / 90


@pytest.mark.parametrize("nodes", [1, 24])
def test_json_has_decimal_strings_and_leaves_out_what_is_not_there(nodes: int) -> None:
    found = estimate(BATCH, noisy(world(), nodes, 8), [nodes] * len(BATCH.questions))
    for figure in found.values():
        tree = figure.to_json()
        assert tree["nodes"] == nodes
        assert all(isinstance(tree[name], str) for name in ("value", "low", "high", "std_error") if name in tree)
