"""How near the best is the plan of the catalogue's 1,298 indicators, and what do other ways to spend the same rho cost?

    python bench/indicator_plan.py                # seconds; prints Markdown tables

Errors are those of the very questions that would be asked. They are compared with (a) a share of the budget for every figure that
an indicator is made of, (b) the same tables with equal shares and no least squares, (c) what no linear measurement can beat; and,
by kind, with indicators asked one by one as a researcher would, a ratio as two counts.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collegium.accounting import NANO, rho_of
from collegium.indicators.batch import Batch, Line, Spot, plan_batch
from collegium.indicators.catalogue import read_catalogue
from collegium.indicators.estimate import Precision, precision
from collegium.indicators.expand import expand
from collegium.indicators.families import Columns, Family, demands, recipes
from collegium.indicators.leaf import Cell, Expanded, Leaf
from collegium.indicators.possible import can_hold
from collegium.schema import Schema, read_schema

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "coordinator" / "collegium_coordinator" / "catalogue" / "higher-education.toml"
SCHEMA = ROOT / "examples" / "higher-education" / "schema.toml"
YEAR = 2026

Floats = NDArray[np.float64]


def main() -> None:
    times = [time.process_time()]
    schema, catalogue = read_schema(SCHEMA), read_catalogue(CATALOGUE)
    times.append(time.process_time())
    expanded = expand(catalogue, schema, YEAR)
    times.append(time.process_time())
    rho = dict.fromkeys(schema.units, rho_of(2.0, "1e-6"))
    batch = plan_batch(expanded, schema, rho)
    times.append(time.process_time())
    read, spelt, planned = np.diff(times).tolist()
    print(f"{len(expanded.leaves):,} indicators; processor time to read {read:.2f} s, expand {spelt:.2f}, plan {planned:.2f};")
    length = sum(each.length for each in batch.layouts)
    print(f"{len(batch.questions)} questions, {batch.histograms} tables, {length:,} whole numbers from each university;")
    print(f"charged nano-rho, of {next(iter(rho.values())):,} each: {dict(batch.charges)}\n")
    compare(batch, expanded, schema, rho)
    one_by_one(batch, expanded, rho)


def one_by_one(batch: Batch, expanded: Expanded, rho: Mapping[str, int]) -> None:
    """Standard errors of single indicators at a share of one half, or one for one, as `collegium.indicators.expected` assumes."""
    known = precision(batch, [1] * len(batch.questions))
    uses = Counter(unit for line in batch.lines for unit in {_part(batch, spot)[0] for spot in _spots(line)})
    factors: dict[str, list[float]] = defaultdict(list)
    for number, (line, leaf) in enumerate(zip(batch.lines, expanded.leaves, strict=True)):
        alone = {}
        units = Counter(_part(batch, spot)[0] for spot in _spots(line))
        for spot in _spots(line):
            unit, sensitivity = _part(batch, spot)
            alone[spot] = sensitivity**2 / (2 * rho[unit] / NANO / uses[unit] / units[unit])
        factors[leaf.kind].append(math.sqrt(_variance(leaf, line, alone) / _planned(leaf, line, known, number)))
    print("| kind | indicators | error asked one by one / in the plan, median | least | most |\n|---|---|---|---|---|")
    for kind, found in sorted(factors.items()):
        print(f"| {kind} | {len(found)} | {np.median(found):.1f} | {min(found):.1f} | {max(found):.1f} |")
    every = [each for found in factors.values() for each in found]
    print(f"| all | {len(every)} | {np.median(every):.1f} | {min(every):.1f} | {max(every):.1f} |\n")


def _spots(line: Line) -> tuple[Spot, ...]:
    return (line.numerator,) if line.denominator is None else (line.numerator, line.denominator)


def _part(batch: Batch, spot: Spot) -> tuple[str, float]:
    """The privacy unit of a figure, and what one person can move it by."""
    placed = batch.families[spot.family]
    layout = batch.layouts[placed.question]
    return layout.unit, layout.parts[next(iter(placed.parts.values()))].sensitivity


def _variance(leaf: Leaf, line: Line, alone: Mapping[Spot, float]) -> float:
    """Of numerator minus quotient times denominator, both counted apart with these variances."""
    above, below = alone[line.numerator], alone[line.denominator] if line.denominator is not None else 0.0
    return above + _quotient(leaf, line) ** 2 * below


def _planned(leaf: Leaf, line: Line, known: Precision, number: int) -> float:
    """The same in the plan, where a ratio of one half needs its centred total alone."""
    above = float(known.sd[line.numerator.at]) ** 2
    if line.denominator is None:
        return above
    if leaf.kind == "ratio":
        return above / 4
    below, quotient = float(known.sd[line.denominator.at]) ** 2, _quotient(leaf, line)
    return above - 2 * quotient * float(known.covariances[number]) + quotient**2 * below


def _quotient(leaf: Leaf, line: Line) -> float:
    if leaf.kind in ("ratio", "share"):
        return 0.5
    if line.recipe.low < 0 or line.denominator is None:  # a mean in the middle of its bounds
        return 0.0
    return 1.0 if line.recipe.clip is None else line.recipe.clip[1] / line.recipe.unit / 2


def compare(batch: Batch, expanded: Expanded, schema: Schema, rho: Mapping[str, int]) -> None:
    """The plan beside other ways to spend the same rho, and beside what nobody can beat."""
    uses: dict[str, float] = defaultdict(float)
    tables: dict[str, int] = defaultdict(int)
    roots: dict[str, Floats] = defaultdict(lambda: np.zeros(2))
    for family, margins in demands(expanded, recipes(expanded, schema)).items():
        unit = schema.datasets[family.source.dataset].unit
        uses[unit] += sum(sum(cells.values()) for cells in margins.values())
        tables[unit] += len(margins)
        roots[unit] += np.sqrt(bounds(family, margins, schema))
    plans = _plan_errors(batch, schema, rho)
    print("## Error of the plan\n")
    print("| privacy unit | figures | tables | plan | (a) by indicator | (b) equal tables | (c) SVD bound | best possible |")
    print("|---|---|---|---|---|---|---|---|")
    totals = np.zeros(5)
    for unit in sorted(plans):
        found = np.array([plans[unit], uses[unit] ** 2, tables[unit] * uses[unit], *roots[unit] ** 2])
        totals += found
        print(f"| {unit} | {uses[unit]:.0f} | {tables[unit]} | {_ratios(found)} |")
    print(f"| all | {sum(uses.values()):.0f} | {sum(tables.values())} | {_ratios(totals)} |\n")
    print("Root mean square errors in units of each table's sensitivity, the plan = 1.\n")


def _plan_errors(batch: Batch, schema: Schema, rho: Mapping[str, int]) -> dict[str, float]:
    """The summed variances of all that indicators are made of, by privacy unit, of the very questions asked; as if at rho 1/2."""
    sd = precision(batch, [1] * len(batch.questions)).sd
    found: dict[str, float] = defaultdict(float)
    for line in batch.lines:
        for spot in (line.numerator, line.denominator):
            if spot is not None:
                placed = batch.families[spot.family]
                layout = batch.layouts[placed.question]
                sensitivity = layout.parts[next(iter(placed.parts.values()))].sensitivity
                found[layout.unit] += float(sd[spot.at] / sensitivity) ** 2 * 2 * rho[layout.unit] / NANO
    return found


def _ratios(found: Floats) -> str:
    return " | ".join(f"{math.sqrt(each / found[0]):.3f}" for each in found)


def bounds(family: Family, margins: Mapping[Columns, Mapping[Cell, float]], schema: Schema) -> tuple[float, float]:
    """Two lower bounds of the weighted total variance that any linear measurement of one family can have, at rho 1/2.

    Codes that no indicator uses are one cell, and none where the population excludes them all. The SVD bound (Li and Miklau 2013)
    is the squared sum of the singular values of the wanted figures over the number of cells: all cells alike. It holds with any
    weights on the cells, and with the best weights it is what the best measurement reaches (the dual of its semidefinite program);
    the multiplicative algorithm finds them.
    """
    names = sorted({name for margin in margins for name in margin})
    codes = [code for margin in margins.values() for cell in margin for code in cell]
    used = {name: sorted({code for column, code in codes if column == name}) for name in names}
    shape = [len(used[name]) + _others(family, name, used[name], schema) for name in names]
    grid = np.indices(shape).reshape(len(shape), -1) if shape else np.zeros((0, 1), dtype=np.int64)
    rows = []
    for cells in margins.values():
        for cell, weight in cells.items():
            row = np.full(grid.shape[1], math.sqrt(weight))
            for name, code in cell:
                row = row * (grid[names.index(name)] == used[name].index(code))
            rows.append(row)
    wanted = np.array(rows)
    on = np.full(wanted.shape[1], 1 / wanted.shape[1])
    first, best = 0.0, 0.0
    for k in range(60):
        values, vectors = np.linalg.eigh((wanted * on) @ wanted.T)
        values = np.maximum(values, 1e-12 * values.max())
        best = max(best, float(np.sqrt(values).sum()) ** 2)
        first = best if k == 0 else first
        on = on * (((vectors / values**0.25).T @ wanted) ** 2).sum(axis=0)
        on /= on.sum()
    return first, best


def _others(family: Family, name: str, used: Sequence[str], schema: Schema) -> bool:
    """Can a row of the population have another code than those?"""
    every = [*schema.values(schema.datasets[family.source.dataset].columns[name]), None]
    conditions = [each for each in (family.source.population, family.operand.filter) if each is not None]
    return any(all(can_hold(each, {name: code}) for each in conditions) for code in every if code not in used)


if __name__ == "__main__":
    main()
