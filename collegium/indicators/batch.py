"""The measurement plan: from indicators to one request of few questions, and back from cells to indicators.

    batch = plan_batch(expanded, schema, {"student": 500_000_000, "staff": ..., "learner": ...})     # nano-rho a person and year
    batch.questions, batch.views        the request: one entry each
    batch.charges                       nano-rho by privacy unit; never more than was allowed
    expected(batch, nodes=24)           the half-width of every indicator before it is paid for   (collegium.indicators.expected)
    estimate(batch, sums, nodes)        its figure from noisy sums                                  (collegium.indicators.estimate)

A question asks for all tables of one source, each at the margins that are worth their share (`collegium.indicators.weights`).
Persons are asked for with bounds of one cell and one row, so that totals add up; rows, means and sums with bounds over all the
person's cells together, so that a table costs what its total costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from collegium.accounting import noise_scale
from collegium.errors import Invalid
from collegium.indicators.families import Columns, Family, demands, recipes
from collegium.indicators.fitting import Moments
from collegium.indicators.leaf import Expanded
from collegium.indicators.places import Line, Placed, Spot, find_places
from collegium.indicators.questions import bounds_of, grouped, question_of, sizes_of, view_of
from collegium.indicators.weights import budgets, error, shares
from collegium.inversion import Floats
from collegium.lattice import national_noise
from collegium.layout import Layout, compile_layout
from collegium.question import Question
from collegium.schema import Schema
from collegium.sql.release import Mode
from collegium.view import View

__all__ = ["LEAST_VARIANCE", "Batch", "Line", "Placed", "Spot", "plan_batch"]

LEAST_VARIANCE = 1e-9


@dataclass(frozen=True)
class Batch:
    """A plan that can be asked, and read. `length` is the number of estimates; `half_width` the catalogue's rule for marks."""

    catalogue: str
    year: int
    half_width: float
    questions: tuple[Question, ...]
    views: tuple[View, ...]
    layouts: tuple[Layout, ...]
    families: tuple[Placed, ...]
    lines: tuple[Line, ...]
    length: int
    charges: Mapping[str, int]

    @property
    def histograms(self) -> int:
        """Tables that leave a node: a component is one."""
        return sum(len(question.components) for question in self.questions)

    @cached_property
    def moments(self) -> tuple[Moments, ...]:
        """Of each family, if one node answers; with n nodes all variances and covariances are n times as large."""
        found = []
        for placed in self.families:
            layout = self.layouts[placed.question]
            scales = {keys: noise_scale(layout.parts[part]) for keys, part in placed.parts.items()}
            # Above 0 even where the cost is so high that whole noise is all but always 0.
            variances = {keys: max(national_noise(scale, 1).sd ** 2, LEAST_VARIANCE) for keys, scale in scales.items()}
            found.append(Moments([axis.size for axis in layout.axes], variances, placed.wanted, placed.zeros))
        return tuple(found)

    @cached_property
    def covariances(self) -> Floats:
        """Of numerator and denominator of each indicator, if one node answers; 0 where they are of two families."""
        found = np.zeros(len(self.lines))
        for number, line in enumerate(self.lines):
            above, below = line.numerator, line.denominator
            if below is not None and below.family == above.family:
                wanted = self.families[below.family].wanted
                of = self.moments[below.family]
                found[number] = of.covariance(wanted[above.margin], above.cell, wanted[below.margin], below.cell)
        return found

    def questions_of(self, line: Line) -> tuple[int, ...]:
        """The questions that an indicator is made of, one or two."""
        spots = [line.numerator] if line.denominator is None else [line.numerator, line.denominator]
        return tuple(sorted({self.families[spot.family].question for spot in spots}))


def plan_batch(
    expanded: Expanded, schema: Schema, rho: Mapping[str, int], *, mode: Mode = "per_node", facts: Sequence[str] = ()
) -> Batch:
    """The plan of a catalogue for the given nano-rho by privacy unit and the given release mode.

    `facts`: in release mode national, by which the sums are told apart (`collegium.national.groups`).

    Raises:
        Invalid: a unit has no rho or too little for its tables, or rho is given for a unit that no indicator counts.
    """
    made = recipes(expanded, schema)
    wanted = demands(expanded, made)
    measured: dict[Family, dict[Columns, float]] = {}
    errors: dict[str, dict[object, float]] = {}
    for family, margins in wanted.items():
        sizes = sizes_of(family, margins, schema)
        weights = {margin: sum(cells.values()) for margin, cells in margins.items()}
        measured[family] = shares(sizes, weights)
        errors.setdefault(schema.datasets[family.source.dataset].unit, {})[family] = error(sizes, weights, measured[family])
    _check_units(errors, rho)
    allowed = {family: nano for unit, of in errors.items() for family, nano in budgets(of, rho[unit]).items()}

    questions: list[Question] = []
    parts: dict[Family, tuple[int, dict[Columns, int]]] = {}
    for group in grouped(measured, schema):
        bounds = bounds_of(group[0].source, expanded.max_rows)
        question, places = question_of(group, measured, allowed, bounds, schema, mode)
        for family, where in places.items():
            parts[family] = len(questions), where
        questions.append(question)
    layouts = tuple(compile_layout(question, schema) for question in questions)
    families, lines, length = find_places(expanded, made, wanted, parts, layouts)
    charges = dict.fromkeys(sorted(errors), 0)
    for question, layout in zip(questions, layouts, strict=True):
        charges[layout.unit] += question.rho
    return Batch(
        catalogue=expanded.catalogue,
        year=expanded.year,
        half_width=expanded.half_width,
        questions=tuple(questions),
        views=tuple(view_of(question, facts) for question in questions),
        layouts=layouts,
        families=families,
        lines=lines,
        length=length,
        charges=charges,
    )


def _check_units(errors: Mapping[str, object], rho: Mapping[str, int]) -> None:
    for unit in sorted(errors):
        if rho.get(unit, 0) < 1:
            raise Invalid(
                f"the catalogue counts each {unit}, and there is no rho for it", place="rho", remedy=f"Such as --rho {unit}=0.5."
            )
    for unit in sorted(rho):
        if unit not in errors:
            raise Invalid(
                f"no indicator counts a {unit}", place="rho", remedy=f"The catalogue counts: {', '.join(sorted(errors))}."
            )
