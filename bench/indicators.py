"""The catalogue of 1,298 indicators, measured at 24 synthetic universities for one charge: is every interval right?

    python bench/indicators.py                    # 1,000 repetitions, some minutes; prints a Markdown table
    python bench/indicators.py --repetitions 100

Rows of 24 universities of very different size are made for all ten tables, each person's rows bounded as the questions bound them.
The truth of every indicator is counted from the rows. A repetition draws fresh noise of the exact law for all tables, makes all
figures from the sums as `collegium.indicators.estimate` does, and asks whether the truth is inside. The seed is fixed.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collegium.accounting import noise_scale, rho_of
from collegium.indicators.batch import Batch, Line, plan_batch
from collegium.indicators.catalogue import read_catalogue
from collegium.indicators.estimate import estimate, precision
from collegium.indicators.expand import expand
from collegium.schema import Schema, read_schema

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/library"))

from syntheticrows import Rows, exact_margin, exact_tally, make_rows

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "coordinator" / "collegium_coordinator" / "catalogue" / "higher-education.toml"
SCHEMA = ROOT / "examples" / "higher-education" / "schema.toml"
YEAR = 2026
NODES = 24
SIZES = (100, 1_000, 10_000, 100_000)
"""Bounds of the size classes: persons or rows in the denominator, or in the cell."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repetitions", type=int, default=1000)
    options.add_argument("--students", type=int, default=10_000, help="at the average university")
    options.add_argument("--epsilon", type=float, default=2.0, help="of each privacy unit, at delta 1e-6")
    chosen = options.parse_args()
    schema = read_schema(SCHEMA)
    expanded = expand(read_catalogue(CATALOGUE), schema, YEAR)
    batch = plan_batch(expanded, schema, dict.fromkeys(schema.units, rho_of(chosen.epsilon, "1e-6")))
    simulate(batch, schema, chosen.students, chosen.repetitions)


def simulate(batch: Batch, schema: Schema, students: int, repetitions: int) -> None:
    """Coverage of all intervals over repetitions, by size class and by kind."""
    rng = np.random.default_rng(2026)
    sizes = np.maximum(rng.lognormal(0.0, 0.9, NODES) * students, 200).astype(int)
    sums = [np.zeros(layout.length, dtype=np.int64) for layout in batch.layouts]
    truth = _Truth(batch, schema)
    for size in sizes.tolist():
        tables = {name: make_rows(rng, schema, name, size, YEAR) for name in schema.datasets}
        for question, layout in enumerate(batch.layouts):
            bounded = tables[layout.question.dataset].bounded(layout.question, rng)
            sums[question] += exact_tally(bounded, layout)
            truth.add(question, bounded)
    values = [truth.of(line) for line in batch.lines]
    counts = [truth.size(line) for line in batch.lines]
    nodes = [NODES] * len(batch.questions)
    known = precision(batch, nodes)
    source = _Noise(batch, rng)
    held = np.zeros((repetitions, len(values)), dtype=bool)
    errors = np.full((repetitions, len(values)), np.nan)
    marked = np.zeros(len(values))
    slowest = 0.0
    for k in range(repetitions):
        noisy = [exact + noise for exact, noise in zip(sums, source.draw(), strict=True)]
        begun = time.perf_counter()
        found = list(estimate(batch, noisy, nodes, known=known).values())
        slowest = max(slowest, time.perf_counter() - begun)
        for n, (figure, value) in enumerate(zip(found, values, strict=True)):
            slack = 1e-9 * max(1.0, abs(value))
            low = -math.inf if figure.low is None else figure.low
            high = math.inf if figure.high is None else figure.high
            held[k, n] = math.isnan(value) or low - slack <= value <= high + slack
            marked[n] += figure.mark != ""
            if figure.value is not None and figure.std_error:
                errors[k, n] = (figure.value - value) / figure.std_error
    print(f"## Coverage\n\n{NODES} universities, {int(sizes.sum()):,} students, {repetitions:,} repetitions.")
    print(f"All indicators are estimated in at most {slowest:.2f} s.\n")
    _coverage(batch, held, errors, marked / repetitions, counts)


def _coverage(batch: Batch, held: NDArray[np.bool_], errors: Floats, marked: Floats, counts: Sequence[float]) -> None:
    print("| persons or rows | sort | indicators | held, % | 95 % of indicators from, to | mean error, in its own | marked |")
    print("|---|---|---|---|---|---|---|")
    groups: dict[tuple[int, str], list[int]] = defaultdict(list)
    for number, (line, size) in enumerate(zip(batch.lines, counts, strict=True)):
        label = sum(size >= bound for bound in SIZES)
        groups[label, "plain figures" if line.denominator is None else "quotients"].append(number)
    for (label, sort), chosen in sorted(groups.items()):
        low, high = (0, *SIZES)[label], (*SIZES, None)[label]
        name = f"{low:,} to {high:,}" if high is not None else f"{low:,} and more"
        each = held[:, chosen].mean(axis=0)
        bias = np.nanmean(errors[:, chosen])
        ends = f"{100 * np.percentile(each, 2.5):.1f} to {100 * np.percentile(each, 97.5):.1f}"
        row = f"{100 * each.mean():.2f} | {ends} | {bias:+.3f} | {100 * marked[chosen].mean():.0f} %"
        print(f"| {name} | {sort} | {len(chosen)} | {row} |")
    each = held.mean(axis=0)
    print(f"| all | | {held.shape[1]} | {100 * each.mean():.2f} | | {np.nanmean(errors):+.3f} | {100 * marked.mean():.0f} % |\n")


class _Truth:
    """What every indicator really is, of the rows as the questions bound them; counted cell by cell, without any least squares."""

    def __init__(self, batch: Batch, schema: Schema) -> None:
        self.batch, self.schema = batch, schema
        self.cells: dict[tuple[int, int], Ints] = {}
        self.rows: dict[tuple[int, int], Ints] = {}

    def add(self, question: int, rows: Rows) -> None:
        for number, placed in enumerate(self.batch.families):
            if placed.question != question:
                continue
            for margin, keys in enumerate(placed.wanted):
                layout = self.batch.layouts[question]
                for into, what in ((self.cells, placed.family.operand), (self.rows, None)):
                    exact = exact_margin(rows, layout, keys, what, placed.family.operand.filter)
                    into[number, margin] = into.get((number, margin), 0) + exact

    def of(self, line: Line) -> float:
        above = float(self.cells[line.numerator.family, line.numerator.margin][line.numerator.cell])
        recipe = line.recipe
        if line.denominator is None:
            return recipe.factor * recipe.unit * above
        below = float(self.cells[line.denominator.family, line.denominator.margin][line.denominator.cell])
        return recipe.factor * (recipe.middle + recipe.unit * above / below) if below else math.nan

    def size(self, line: Line) -> float:
        spot = line.denominator or line.numerator
        return float(self.rows[spot.family, spot.margin][spot.cell])


class _Noise:
    """Sums of the noise of all nodes, for all questions; by inversion of the exact law where whole numbers show."""

    def __init__(self, batch: Batch, rng: np.random.Generator) -> None:
        self.batch, self.rng = batch, rng
        self.laws: dict[float, Floats] = {}

    def draw(self) -> list[Ints]:
        return [
            np.concatenate([self._part(noise_scale(part), part.width) for part in layout.parts]) for layout in self.batch.layouts
        ]

    def _part(self, scale: float, width: int) -> Ints:
        if scale > 50:
            return np.rint(self.rng.normal(0, scale * math.sqrt(NODES), width)).astype(np.int64)
        reach = math.ceil(12 * scale) + 2
        law = self.laws.setdefault(scale, np.cumsum(np.exp(-((np.arange(-reach, reach + 1) / scale) ** 2) / 2)))
        drawn = np.searchsorted(law, self.rng.random((NODES, width)) * law[-1]) - reach
        total: Ints = drawn.sum(axis=0).astype(np.int64)
        return total


if __name__ == "__main__":
    main()
