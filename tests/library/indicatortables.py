"""True tables of whole numbers for a measurement plan, at the level of tallies: no rows, no persons, every margin exact."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collegium.accounting import noise_scale
from collegium.indicators.batch import Batch, Line, Placed, Spot, plan_batch
from collegium.indicators.catalogue import read_catalogue
from collegium.indicators.expand import expand
from collegium.indicators.leaf import Expanded
from collegium.layout import Layout
from collegium.schema import Schema, read_schema

ROOT = Path(__file__).resolve().parents[2]
RHO = {"student": 500_000_000, "staff": 500_000_000, "learner": 500_000_000}

Ints = NDArray[np.int64]


@lru_cache
def shipped() -> tuple[Expanded, Schema, Batch]:
    """The catalogue of the demonstration for 2026, its schema and a plan."""
    schema = read_schema(ROOT / "examples" / "higher-education" / "schema.toml")
    text = ROOT / "coordinator" / "collegium_coordinator" / "catalogue" / "higher-education.toml"
    expanded = expand(read_catalogue(text), schema, 2026)
    return expanded, schema, plan_batch(expanded, schema, RHO)


class World:
    """What is true at some universities: for each family of a plan a table over all keys of its question."""

    def __init__(self, batch: Batch, rng: np.random.Generator, mean: float = 300.0) -> None:
        self.batch = batch
        pairs = {
            line.numerator.family: (line.denominator.family, line)
            for line in batch.lines
            if line.denominator is not None and line.recipe.low < 0
        }
        self.tables: dict[int, Ints] = {}
        for number, placed in enumerate(batch.families):
            if number not in pairs:
                self.tables[number] = self._counts(placed, rng, mean)
        for number, (below, line) in pairs.items():
            self.tables[number] = _totals(self.tables[below], line, rng)

    def tally(self, question: int) -> Ints:
        """The exact tally of one question."""
        layout = self.batch.layouts[question]
        found = np.zeros(layout.length, dtype=np.int64)
        for number, placed in enumerate(self.batch.families):
            if placed.question == question:
                for keys, part in placed.parts.items():
                    found[layout.parts[part].start : layout.parts[part].stop] = self.margin(number, keys)
        return found

    def margin(self, family: int, keys: tuple[int, ...]) -> Ints:
        table = self.tables[family]
        found: Ints = table.sum(axis=tuple(axis for axis in range(table.ndim) if axis not in keys)).ravel()
        return found

    def truth(self, line: Line) -> float:
        """The indicator itself, by the definition of its kind; NaN over an empty denominator."""
        expanded, schema, _ = shipped()
        leaf = expanded.leaf(line.id)
        assert leaf is not None
        above, below = self._cell(line.numerator), 1.0 if line.denominator is None else self._cell(line.denominator)
        if not below:
            return math.nan
        if leaf.kind == "ratio":  # above is those who do minus those who do not
            return leaf.factor * (below + above) / 2 / below
        column = schema.datasets[leaf.dataset].columns[leaf.column] if leaf.column is not None else None
        if column is None:
            return leaf.factor * above / below
        centred = column.centre if self.batch.families[line.numerator.family].family.operand.kind == "total" else 0
        return leaf.factor * float(column.step) * (centred + above / below)

    def _cell(self, spot: Spot) -> float:
        keys = self.batch.families[spot.family].wanted[spot.margin]
        return float(self.margin(spot.family, keys)[spot.cell])

    def _counts(self, placed: Placed, rng: np.random.Generator, mean: float) -> Ints:
        axes = self.batch.layouts[placed.question].axes
        wide = [rng.gamma(1.0, 1.0, axis.size) for axis in axes]
        table = np.ones([axis.size for axis in axes])
        for axis, weights in enumerate(wide):
            table = table * weights.reshape([-1 if k == axis else 1 for k in range(len(axes))])
        found: Ints = np.asarray(rng.poisson(table / table.mean() * mean / math.sqrt(table.size)), dtype=np.int64)
        for keys, cell in placed.zeros:
            at = np.unravel_index(cell, [axes[key].size for key in keys])
            place: list[slice | int] = [slice(None)] * len(axes)
            for key, index in zip(keys, at, strict=True):
                place[key] = int(index)
            found[tuple(place)] = 0
        return found


def _totals(counts: Ints, line: Line, rng: np.random.Generator) -> Ints:
    """Between the least and the largest that as many rows can add up to."""
    assert line.recipe.high is not None
    share = rng.beta(2.0, 2.0, counts.shape)
    found: Ints = np.rint(counts * (line.recipe.low + share * (line.recipe.high - line.recipe.low))).astype(np.int64)
    return found


def drawn(layout: Layout, nodes: int, rng: np.random.Generator) -> Ints:
    """The noise of `nodes` nodes in one question. Rounded normal: the plans tested here have scales above ten."""
    scales = np.concatenate([np.full(part.width, noise_scale(part)) for part in layout.parts])
    found: Ints = np.rint(rng.normal(0.0, scales * math.sqrt(nodes))).astype(np.int64)
    return found
