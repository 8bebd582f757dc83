"""Do 95 % intervals hold the truth 95 % of the time? A simulation at the tally level, for every kind of measure.

    python bench/intervals.py                     # 5,000 repetitions, twenty minutes at most; prints a Markdown table
    python bench/intervals.py --repetitions 500

A repetition draws fresh discrete Gaussian noise at every node for the same exact tallies, adds, makes the intervals as `combine`
does, and asks whether the bounded truth is inside. 5,000 repetitions know a coverage of 95 % to ± 0.6 % (two standard errors). The
noise here is drawn with numpy from the exact law; the seed is fixed so that the table can be repeated. Production noise is
OpenDP's and takes no seed.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from collegium.accounting import noise_scale, rho_of, split
from collegium.differences import difference
from collegium.entropy import entropy_band
from collegium.gram import correlation_band, gram, intercept_band, slope_band
from collegium.intervals import (
    Band,
    mean_band,
    never_negative,
    noise_of,
    proportion_band,
    ratio_band,
    ratio_limit,
    share_band,
    variance_band,
    whole_band,
)
from collegium.lattice import whole_interval
from collegium.layout import Layout, compile_layout
from collegium.margins import closure, reconcile_margins, spread_of_margins, weights
from collegium.quantiles import quantile_band
from collegium.question import Bounds, Component, In, Predicate, Question
from collegium.schema import parse_schema
from collegium.top_share import top_codes_band, top_share_band
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
placed = { type = "boolean", title = { en = "placed" } }
gpa = { type = "decimal", title = { en = "gpa" }, min = 0, max = 4, step = 0.01 }
credits = { type = "integer", title = { en = "credits" }, min = 0, max = 30 }
score = { type = "integer", title = { en = "score" }, min = 0, max = 100 }
pay = { type = "integer", title = { en = "pay" }, min = 0, max = 50000, step = 10 }
"""
)
PLACED = In(column="placed", values=("1",))
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Rows of all persons of one cell, one row a person, in steps."""

    placed: NDArray[np.bool_]
    gpa: Ints
    credits: Ints
    score: Ints
    pay: Ints

    @property
    def size(self) -> int:
        return len(self.gpa)


def population(rng: np.random.Generator, persons: int) -> Population:
    """Skewed as real data are: gpa around 3.2 with a tail below, one in eight placed nowhere."""
    gpa = np.clip(np.rint(400 - 80 * rng.gamma(2.0, 0.5, persons)), 0, 400).astype(np.int64)
    placed, credits = rng.random(persons) < 0.875, rng.integers(0, 31, persons)
    score = np.clip(np.rint(25 + 0.8 * credits + 0.08 * gpa + rng.normal(0, 12, persons)), 0, 100).astype(np.int64)
    pay = np.clip(np.rint(rng.lognormal(6.3, 0.45, persons)), 0, 5000).astype(np.int64)
    return Population(placed, gpa, credits, score, pay)


def component(kind: str, rho: int, **more: object) -> Component:
    return Component.model_validate({"kind": kind, "rho": rho, **more})


def layout_of(*components: Component) -> Layout:
    return compile_layout(
        Question(dataset="d", components=components, bounds=Bounds(max_groups=1, max_rows=1), schema_id=SCHEMA.id), SCHEMA
    )


class NoiseSource:
    """Sums of `nodes` discrete Gaussians: by inversion of the exact law, or a rounded normal where nothing tells them apart."""

    def __init__(self, rng: np.random.Generator, nodes: int, repetitions: int) -> None:
        self.rng, self.nodes, self.repetitions = rng, nodes, repetitions

    def draw(self, scale: float) -> Ints:
        if scale > 1000:
            return np.rint(self.rng.normal(0, scale * math.sqrt(self.nodes), self.repetitions)).astype(np.int64)
        reach = math.ceil(12 * scale) + 2
        xs = np.arange(-reach, reach + 1)
        cumulated = np.cumsum(np.exp(-((xs / scale) ** 2) / 2))
        total: Ints = np.zeros(self.repetitions, dtype=np.int64)
        for _ in range(self.nodes):
            total += xs[np.searchsorted(cumulated, self.rng.random(self.repetitions) * cumulated[-1])]
        return total


def cases(people: Population, rho: int, source: NoiseSource) -> Iterator[tuple[str, NDArray[np.bool_], float]]:
    """Name of the measure, whether each repetition held the truth, median width relative to the truth."""
    nodes, n = source.nodes, people.size
    thirds, halves = split(rho, [1, 1, 1]), split(rho, [1, 1])
    gpa = SCHEMA.datasets["d"].columns["gpa"]

    def noisy(layout: Layout, *truths: int) -> list[Ints]:
        return [truth + source.draw(noise_scale(part)) for truth, part in zip(truths, layout.parts, strict=True)]

    def whole(name: str, layout: Layout, truth: int, floor: bool) -> tuple[str, NDArray[np.bool_], float]:
        (sums,) = noisy(layout, truth)
        _, low, high = whole_interval(sums, noise_of(layout.parts[0], nodes), floor=floor)
        return name, (low <= truth) & (truth <= high), float(np.median(high - low)) / max(truth, 1)

    def real(name: str, low: NDArray[np.float64], high: NDArray[np.float64], truth: float) -> tuple[str, NDArray[np.bool_], float]:
        slack = 1e-9 * abs(truth)  # the truth in doubles; far below any interval
        return name, (low <= truth + slack) & (truth - slack <= high), float(np.median(high - low)) / max(abs(truth), 1e-9)

    yield whole("people", layout_of(component("people", rho)), n, True)
    yield whole("people, empty cell", layout_of(component("people", rho)), 0, True)
    yield whole(
        "histogram bin",
        layout_of(component("bins", rho, column="gpa", edges=[0, 200, 300, 400])),
        int((people.gpa < 200).sum()),
        True,
    )
    summed = layout_of(component("sum", rho, column="credits", clip=[0, 30]))
    floor = never_negative(summed.parts[0], SCHEMA.datasets["d"].columns["credits"])
    yield whole("sum", summed, int(people.credits.sum()), floor)

    centred = people.gpa - gpa.centre
    layout = layout_of(*(component(kind, r, column="gpa") for kind, r in zip(("count", "total"), halves, strict=True)))
    sums = noisy(layout, n, int(centred.sum()))
    band = mean_band(sums[0], sums[1], (layout.parts[0], layout.parts[1]), nodes, gpa)
    yield real("mean", band.low + gpa.centre, band.high + gpa.centre, float(people.gpa.mean()))

    layout = layout_of(*(component(kind, r, column="gpa") for kind, r in zip(("count", "total", "squares"), thirds, strict=True)))
    squares = int((centred**2 - layout.parts[2].offset).sum())
    sums = noisy(layout, n, int(centred.sum()), squares)
    band = variance_band((sums[0], sums[1], sums[2]), (layout.parts[0], layout.parts[1], layout.parts[2]), nodes, gpa)
    variance = float(people.gpa.var())
    yield real("variance", band.low, band.high, variance)
    yield real("stddev", np.sqrt(band.low), np.sqrt(band.high), math.sqrt(variance))

    placed = int(people.placed.sum())
    condition: Predicate = PLACED
    layout = layout_of(*(component(kind, r, condition=condition) for kind, r in zip(("count", "total"), halves, strict=True)))
    for name, yes in (("share", placed), ("share of 100 %", n)):
        sums = noisy(layout, n, 2 * yes - n)
        band = share_band(sums[0], sums[1], (layout.parts[0], layout.parts[1]), nodes)
        yield real(name, band.low, band.high, yes / n)

    layout = layout_of(component("people", halves[0], filter=PLACED), component("people", halves[1]))
    limit = ratio_limit(layout.parts[0].component, layout.parts[1].component, 1)
    sums = noisy(layout, placed, n)
    band = ratio_band(sums[0], sums[1], (layout.parts[0], layout.parts[1]), nodes, limit)
    yield real("ratio, part of whole", band.low, band.high, placed / n)

    layout = layout_of(component("people", halves[0]), component("people", halves[1], filter=PLACED))
    sums = noisy(layout, n, placed)
    band = ratio_band(sums[0], sums[1], (layout.parts[0], layout.parts[1]), nodes, math.inf)
    yield real("ratio, no limit", band.low, band.high, n / placed)

    yield from more_cases(people, rho, source)


def more_cases(people: Population, rho: int, source: NoiseSource) -> Iterator[tuple[str, NDArray[np.bool_], float]]:
    """Proportions, differences, margins, models, quantiles."""
    nodes, n, times = source.nodes, people.size, source.repetitions
    dataset = SCHEMA.datasets["d"]

    def cells(layout: Layout, truth: Ints) -> Ints:
        """Noisy sums of whole layouts, shape (length, repetitions)."""
        scales = [noise_scale(part) for part in layout.parts for _ in range(part.width)]
        return np.stack([value + source.draw(scale) for value, scale in zip(truth.tolist(), scales, strict=True)])

    def held(name: str, band: Band, truth: float) -> tuple[str, NDArray[np.bool_], float]:
        slack = 1e-9 * abs(truth)
        width = float(np.median(band.high - band.low)) / max(abs(truth), 1e-9)
        return name, (band.low <= truth + slack) & (truth - slack <= band.high), width

    layout = layout_of(component("bins", rho, column="credits", edges=[0, 5, 10, 20, 30]))
    counts = np.histogram(people.credits, [0, 5, 10, 20, 30])[0].astype(np.int64)
    sums = cells(layout, np.append(counts, 0))
    band = proportion_band(sums[0], sums.sum(axis=0), layout.parts[0], nodes, 5)
    yield held("proportion", band, float(counts[0]) / n)

    edges = [0, 300, 450, 600, 800, 1100, 1600, 2500, 5000]
    layout = layout_of(component("bins", rho, column="pay", edges=edges))
    counts = np.histogram(people.pay, edges)[0].astype(np.int64)
    flat = cells(layout, np.append(counts, 0)).T.ravel()
    known = counts[counts > 0] / n
    yield held("entropy", entropy_band(flat, layout.parts[0], nodes), float(-(known * np.log2(known)).sum()))
    above = np.cumsum(counts[::-1])[::-1] - counts
    middles = (np.array(edges[:-1]) + np.array(edges[1:])) / 2
    for share in (0.1, 0.5):
        taken = np.clip(share * n - above, 0, counts)
        truth = float((taken * middles).sum() / (counts * middles).sum())
        yield held(f"top share, {share:.0%}", top_share_band(flat, layout.parts[0], nodes, share), truth)
    largest = float(np.sort(counts)[-3:].sum()) / n
    yield held("top 3 codes", top_codes_band(flat, layout.parts[0], nodes, 3), largest)

    quarters = split(rho, [1, 1, 1, 1])
    boys = people.gpa % 2 == 0
    condition: Predicate = PLACED
    layout = layout_of(*(component(kind, r, condition=condition) for kind, r in zip(("count", "total") * 2, quarters, strict=True)))
    both = [(int(g.sum()), int(people.placed[g].sum())) for g in (boys, ~boys)]
    sums = cells(layout, np.array([v for size, yes in both for v in (size, 2 * yes - size)]))
    pairs = ((layout.parts[0], layout.parts[1]), (layout.parts[2], layout.parts[3]))
    one, other = (share_band(sums[2 * k], sums[2 * k + 1], pairs[k], nodes) for k in (0, 1))
    yield held("difference of shares", difference(one, other), both[0][1] / both[0][0] - both[1][1] / both[1][0])
    column = dataset.columns["gpa"]
    layout = layout_of(*(component(kind, r, column="gpa") for kind, r in zip(("count", "total") * 2, quarters, strict=True)))
    groups = [people.gpa[g] for g in (boys, ~boys)]
    sums = cells(layout, np.array([v for g in groups for v in (len(g), int((g - column.centre).sum()))]))
    pairs = ((layout.parts[0], layout.parts[1]), (layout.parts[2], layout.parts[3]))
    one, other = (mean_band(sums[2 * k], sums[2 * k + 1], pairs[k], nodes, column) for k in (0, 1))
    yield held("difference of means", difference(one, other), float(groups[0].mean() - groups[1].mean()))

    # A table of 5 by 3 cells with both margins and the total, rho divided as `collegium.sql` does.
    sizes, wanted = (5, 3), closure([(0, 1)])
    table = np.zeros(sizes, dtype=np.int64)
    np.add.at(table, (people.credits // 7, people.score // 34), 1)
    sds = {
        keys: Fraction(share).limit_denominator(10**6) for keys, share in weights(sizes, wanted, dict.fromkeys(wanted, 1)).items()
    }
    measured = {}
    for keys, share in sds.items():
        layout = layout_of(component("people", int(rho * share)))
        truth = table.sum(axis=tuple(axis for axis in (0, 1) if axis not in keys)).ravel()
        measured[keys] = (truth, noise_scale(layout.parts[0]), noise_of(layout.parts[0], nodes).sd)
    drawn = {keys: np.stack([v + source.draw(scale) for v in truth.tolist()]) for keys, (truth, scale, _) in measured.items()}
    found = {keys: np.empty(times) for keys in wanted}
    for k in range(times):
        fitted = reconcile_margins(sizes, {keys: (drawn[keys][:, k], sd**2) for keys, (_, _, sd) in measured.items()}, wanted)
        for keys in wanted:
            found[keys][k] = fitted[keys][0][0]
    spread = spread_of_margins(sizes, {keys: sd**2 for keys, (_, _, sd) in measured.items()}, wanted)
    for name, keys in (("margins: cell", (0, 1)), ("margins: row total", (0,)), ("margins: grand total", ())):
        truth = table.sum(axis=tuple(axis for axis in (0, 1) if axis not in keys)).ravel()[0]
        yield held(name, whole_band(found[keys], spread[keys], floor=True), float(truth))

    x, y = people.credits, people.score
    cx, cy = dataset.columns["credits"], dataset.columns["score"]
    kinds = (("count", "credits"), ("total", "credits"), ("squares", "credits"), ("total", "score"), ("squares", "score"))
    layout = layout_of(
        *(component(kind, rho // 6, column=name) for kind, name in kinds),
        component("product", rho // 6, column="credits", other="score"),
    )
    dx, dy = x - cx.centre, y - cy.centre
    exact = [n, dx.sum(), (dx**2 - layout.parts[2].offset).sum(), dy.sum(), (dy**2 - layout.parts[4].offset).sum(), (dx * dy).sum()]
    model = gram(list(cells(layout, np.array(exact, dtype=np.int64))), layout.parts, nodes, cx, cy)
    slope, intercept = np.polyfit(x, y, 1)
    yield held("slope", slope_band(model), float(slope))
    yield held("intercept", intercept_band(model), float(intercept) - cy.centre)
    yield held("correlation", correlation_band(model), float(np.corrcoef(x, y)[0, 1]))

    column, values = dataset.columns["pay"], people.pay
    grids = grids_of(0, *design(column.max_steps + 1))
    layout = layout_of(*(component("bins", rho // len(grids), column="pay", grid=grid) for grid in grids))
    truths = [np.append(np.histogram(values, np.array(part.bins.edges if part.bins else ()))[0], 0) for part in layout.parts]
    runs = min(times, 2000)
    few = NoiseSource(source.rng, nodes, runs)
    noisy = [
        np.stack([v + few.draw(noise_scale(part)) for v in truth.tolist()], axis=1).ravel().astype(np.int64)
        for truth, part in zip(truths, layout.parts, strict=True)
    ]
    ordered = np.sort(values)
    for name, q in (("median", 0.5), ("quantile 0.9", 0.9)):
        yield held(name, quantile_band(noisy, layout.parts, nodes, column, q), float(ordered[math.ceil(q * n) - 1]))
    halves, medians = [], []
    layout = layout_of(*(component("bins", rho // 2 // len(grids), column="pay", grid=grid) for grid in grids))
    for g in (boys, ~boys):
        found = [np.append(np.histogram(values[g], np.array(part.bins.edges if part.bins else ()))[0], 0) for part in layout.parts]
        drawn_bins = [
            np.stack([v + few.draw(noise_scale(part)) for v in truth.tolist()], axis=1).ravel().astype(np.int64)
            for truth, part in zip(found, layout.parts, strict=True)
        ]
        halves.append(quantile_band(drawn_bins, layout.parts, nodes, column, 0.5))
        medians.append(float(np.sort(values[g])[math.ceil(g.sum() / 2) - 1]))
    yield held("difference of medians", difference(*halves), medians[0] - medians[1])


def shown(width: float, name: str) -> str:
    if name.endswith("empty cell"):
        return f"{width:.0f}"
    if width > 10_000:  # no bound, or a truth of 0
        return "∞"
    return f"{100 * width:.0f} %" if width >= 0.1 else f"{100 * width:.2g} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5000)
    parser.add_argument("--persons", type=int, nargs="+", default=[50, 5_000, 500_000])
    parser.add_argument("--epsilon", type=float, nargs="+", default=[0.5, 2.0, 8.0])
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=20250901)
    args = parser.parse_args()
    started = time.monotonic()
    table: dict[str, list[str]] = {}
    heads: list[str] = []
    found: list[tuple[float, float]] = []
    for epsilon in args.epsilon:
        rho = rho_of(epsilon, "1e-6")
        for persons in args.persons:
            rng = np.random.default_rng([args.seed, persons, round(epsilon * 1000)])
            people = population(rng, persons)
            sd = noise_of(layout_of(component("people", rho)).parts[0], args.nodes).sd
            heads.append(f"ε {epsilon:g} (±{sd:.1f}), {persons:,}")
            for name, held, width in cases(people, rho, NoiseSource(rng, args.nodes, args.repetitions)):
                coverage = float(held.mean())
                found.append((sd, coverage))
                table.setdefault(name, []).append(f"{100 * coverage:.1f} ({shown(width, name)})")
    print(f"Coverage in % of 95 % intervals, {args.repetitions:,} repetitions, {args.nodes} nodes, delta 1e-6.")
    print("In brackets the median width beside the truth; of an empty cell, in persons. Behind ε the standard deviation of the")
    print("national count if all of ε goes to it: below 12 more than 95 % cannot be avoided, because noise is whole.")
    print()
    print("| measure | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
    for name, line in table.items():
        print(f"| {name} | " + " | ".join(line) + " |")
    print()
    for text, group in (("12 or more", [c for sd, c in found if sd >= 12]), ("below 12", [c for sd, c in found if sd < 12])):
        if group:
            within, ends = sum(abs(c - 0.95) <= 0.01 for c in group), f"{100 * min(group):.1f} to {100 * max(group):.1f} %"
            print(f"Deviation {text}: {within} of {len(group)} within 95 % ± 1 %; from {ends}.")
    print(f"{time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
