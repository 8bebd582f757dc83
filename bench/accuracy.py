"""How much consistency is worth: medians from a bin tree, tables with margins, regression. Seeded; prints three Markdown tables.

    python bench/accuracy.py
    python bench/accuracy.py --repetitions 2000

1. Medians: root mean squared error of the tree's median beside that of one histogram of the finest bins at the same rho.
2. Tables: total variance of a table with its margins beside the matrix mechanism's lower bound, (sum of singular values)²/cells,
   for the rho shares that `GROUPING SETS` signs, for equal shares, and for the finest table alone, added up.
3. Regression: coefficients from the noisy Gram matrix beside those of ordinary least squares on the pooled rows.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from numpy.typing import NDArray

from collegium.accounting import noise_scale, rho_of
from collegium.layout import Layout, compile_layout
from collegium.margins import closure, svd_bound, total_variance, weights
from collegium.quantiles import quantile_band
from collegium.question import Bounds, Component, Question
from collegium.regression import coefficients
from collegium.schema import parse_schema
from collegium.tree import design, grids_of

SCHEMA = parse_schema(
    """
name = "bench"
version = 1
title = { en = "Benchmark" }
[units.student]
title = { en = "student" }
[datasets.d]
title = { en = "d" }
unit = "student"
person = "pid"
[datasets.d.columns]
pay = { type = "integer", title = { en = "pay" }, min = 0, max = 50000, step = 10 }
gpa = { type = "decimal", title = { en = "gpa" }, min = 0, max = 4, step = 0.01 }
credits = { type = "integer", title = { en = "credits" }, min = 0, max = 30 }
score = { type = "integer", title = { en = "score" }, min = 0, max = 100 }
"""
)
COLUMNS = SCHEMA.datasets["d"].columns
NODES = 5
Ints = NDArray[np.int64]


def layout_of(components: list[dict[str, object]], rho: int) -> Layout:
    parts = tuple(Component.model_validate({**each, "rho": rho // len(components)}) for each in components)
    bounds = Bounds(max_groups=1, max_rows=1)
    return compile_layout(Question(dataset="d", components=parts, bounds=bounds, schema_id=SCHEMA.id), SCHEMA)


def noisy(layout: Layout, truths: list[Ints], times: int, rng: np.random.Generator) -> list[Ints]:
    """One array a part, repetition after repetition, as if they were group cells; the sum of the noise of five nodes."""
    found = []
    for part, truth in zip(layout.parts, truths, strict=True):
        scale = noise_scale(part) * math.sqrt(NODES)
        found.append(np.tile(truth, times) + np.rint(rng.normal(0, scale, times * len(truth))).astype(np.int64))
    return found


def medians(rng: np.random.Generator, times: int, epsilon: float) -> None:
    print(f"\nMedians, epsilon {epsilon:g}, {NODES} nodes, yuan.\n")
    print("| rows | RMSE of the tree | RMSE of one histogram | ratio |\n|---|---|---|---|")
    column, rho = COLUMNS["pay"], rho_of(epsilon, "1e-6")
    tree = grids_of(0, *design(column.max_steps + 1))
    for rows in (500, 5_000, 50_000):
        values = np.sort(np.clip(np.rint(rng.lognormal(6.3, 0.45, rows)), 0, 5000).astype(np.int64))
        truth = int(values[math.ceil(rows / 2) - 1])
        errors = []
        for grids in (tree, tree[-1:]):
            layout = layout_of([{"kind": "bins", "column": "pay", "grid": grid} for grid in grids], rho)
            truths = [np.append(np.histogram(values, np.array(p.bins.edges if p.bins else ()))[0], 0) for p in layout.parts]
            band = quantile_band(noisy(layout, truths, times, rng), layout.parts, NODES, column, 0.5)
            errors.append(10 * math.sqrt(float(np.nanmean((band.value - truth) ** 2))))
        print(f"| {rows:,} | {errors[0]:.0f} | {errors[1]:.0f} | {errors[0] / errors[1]:.2f} |")


def tables() -> None:
    print("\n| table | sets | total variance / bound | equal shares | finest table only |\n|---|---|---|---|---|")
    for name, sizes, wanted in (
        ("province × discipline", (35, 15), closure([(0, 1)])),
        ("origin × region", (36, 6), closure([(0, 1)])),
        ("province × discipline × level", (35, 15, 6), closure([(0, 1, 2)])),
        ("the same, two-way margins only", (35, 15, 6), [(0, 1), (0, 2), (1, 2)]),
        ("the same, one-way margins only", (35, 15, 6), [(0,), (1,), (2,)]),
        ("the same, rolled up", (35, 15, 6), [(0, 1, 2), (0, 1), (0,), ()]),
    ):
        bound = svd_bound(sizes, wanted)
        shares = weights(sizes, wanted, dict.fromkeys(closure(wanted), 1))
        finest = tuple(range(len(sizes)))
        found = [
            total_variance(sizes, wanted, variances) / bound
            for variances in ({k: 1 / v for k, v in shares.items()}, {k: float(len(wanted)) for k in wanted}, {finest: 1.0})
        ]
        print(f"| {name} | {len(wanted)} | {found[0]:.3f} | {found[1]:.2f} | {found[2]:.2f} |")


def regression(rng: np.random.Generator, times: int, epsilon: float) -> None:
    print(f"\nRegression of score on credits and gpa, epsilon {epsilon:g}, {NODES} nodes.\n")
    print("| rows | coefficient | least squares on all rows | median of ours | RMSE | stated error |\n|---|---|---|---|---|---|")
    rho = rho_of(epsilon, "1e-6")
    names = ["credits", "gpa", "score"]
    singles: list[dict[str, object]] = [{"kind": kind, "column": name} for name in names for kind in ("total", "squares")]
    pairs = [("credits", "gpa"), ("credits", "score"), ("gpa", "score")]
    products: list[dict[str, object]] = [{"kind": "product", "column": a, "other": b} for a, b in pairs]
    layout = layout_of([{"kind": "count", "column": "credits"}, *singles, *products], rho)
    for rows in (5_000, 500_000):
        gpa = np.clip(np.rint(400 - 80 * rng.gamma(2.0, 0.5, rows)), 0, 400).astype(np.int64)
        credits = rng.integers(0, 31, rows)
        score = np.clip(np.rint(25 + 0.8 * credits + 0.08 * gpa + rng.normal(0, 12, rows)), 0, 100).astype(np.int64)
        centred = {name: v - COLUMNS[name].centre for name, v in zip(names, (credits, gpa, score), strict=True)}
        exact = [rows]
        for at, name in enumerate(names):
            exact += [int(centred[name].sum()), int((centred[name] ** 2 - layout.parts[2 + 2 * at].offset).sum())]
        exact += [int((centred[a] * centred[b]).sum()) for a, b in pairs]
        truth = np.linalg.lstsq(np.column_stack([np.ones(rows), credits, gpa / 100]), score, rcond=None)[0]
        sums = noisy(layout, [np.array([value]) for value in exact], times, rng)
        bands = coefficients(sums, layout.parts, NODES, [COLUMNS[name] for name in ("score", "credits", "gpa")])
        for label, true, (band, _) in zip(("intercept", "credits", "gpa"), truth, bands, strict=True):
            rmse, stated = math.sqrt(float(np.nanmean((band.value - true) ** 2))), float(np.nanmedian(band.error))
            print(f"| {rows:,} | {label} | {true:.4f} | {np.nanmedian(band.value):.4f} | {rmse:.4f} | {stated:.4f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=20250901)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    medians(rng, args.repetitions, args.epsilon)
    tables()
    regression(rng, args.repetitions, args.epsilon)


if __name__ == "__main__":
    main()
