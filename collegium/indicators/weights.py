"""How the budget is divided, in closed form but for one small convex problem a family.

Within a family. For a set T of columns let V(T) be the tables that depend on T alone and whose sums over any column of T are zero
(`collegium.margins`). A cell of margin S has, after least squares, the variance

    sum over T ⊆ S of  prod over T of (1 - 1/n)  /  (n(S∖T)² · I(T)),     I(T) = sum over measured M ⊇ T of  1 / (v(M) · n(M∖T))

with n the cells of a column and n(...) those of several. It is the same for every cell of a margin, used or not, so what is
minimised is the sum over margins of (weight of the indicators that use it) times this, over the shares of rho that the margins get.

Between families. A family that gets rho has error B/rho with B that minimum, so the sum over families is least where rho goes as
the root of B (Cauchy and Schwarz). Errors are measured in units of each family's sensitivity: persons, rows and money compare.

Sources: the spaces are those of Xiao, He, Zhang and Kifer 2023 ("ResidualPlanner"); the shares are found by the multiplicative
algorithm for A-optimal designs (Silvey, Titterington and Torsney 1978), whose stopping rule is the equivalence theorem (Kiefer
1974); the bound they are compared with is that of Li and Miklau 2013. Nothing was taken from any of their programs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from collegium.indicators.families import Columns
from collegium.inversion import Floats
from collegium.margins import closure

__all__ = ["budgets", "error", "shares"]

_ROUNDS = 2000
_CLOSE = 1e-5  # the objective is then within this share of the best
_LEAST = 2e-3  # a margin that would get less of rho than this is not measured, unless nothing else serves its cells


def shares(sizes: Mapping[str, int], wanted: Mapping[Columns, float]) -> dict[Columns, float]:
    """The share of the family's rho for each margin that is measured, in sum 1.

    Args:
        sizes: cells of each column.
        wanted: for each margin that indicators use, the sum of their weights.
    """
    margins = closure_of(wanted)
    if len(margins) == 1:
        return {margins[0]: 1.0}
    cost, gain = _problem(sizes, wanted, margins)
    share = np.full(len(margins), 1 / len(margins))
    for _ in range(_ROUNDS):
        information = _times(gain.T, share)
        slope = _times(gain, cost / (information * information))
        objective = math.fsum((slope * share).tolist())
        if slope.max() <= objective * (1 + _CLOSE):
            break
        share = share * np.sqrt(slope / objective)
        share = share / math.fsum(share.tolist())
    largest = {margin for margin in wanted if not any(set(margin) < set(other) for other in wanted)}
    kept = {margin: float(x) for margin, x in zip(margins, share, strict=True) if x >= _LEAST or margin in largest}
    total = math.fsum(kept.values())
    return {margin: x / total for margin, x in kept.items()}


def error(sizes: Mapping[str, int], wanted: Mapping[Columns, float], measured: Mapping[Columns, float]) -> float:
    """The weighted sum of variances after least squares, where margin M is measured with the variance 1 / measured[M]."""
    margins = closure_of(wanted)
    cost, gain = _problem(sizes, wanted, margins)
    information = _times(gain.T, np.array([measured.get(margin, 0.0) for margin in margins]))
    return math.fsum((cost / information).tolist())


def budgets(errors: Mapping[object, float], rho: int) -> dict[object, int]:
    """Nano-rho for each family, from the errors they would have at 1: in proportion to the roots, rounded down."""
    roots = {key: math.sqrt(value) for key, value in errors.items()}
    total = math.fsum(roots.values())
    return {key: math.floor(rho * (root / total)) for key, root in roots.items()}


def closure_of(margins: Iterable[Columns]) -> list[Columns]:
    """The margins and all that is contained in one, smallest first; columns in the order of their names."""
    names = sorted({column for margin in margins for column in margin})
    place = {name: number for number, name in enumerate(names)}
    found = closure(tuple(sorted(place[column] for column in margin)) for margin in margins)
    return [tuple(names[number] for number in keys) for keys in found]


def _times(table: Floats, weights: Floats) -> Floats:
    """The rows of a table, weighted and added one after the other: the same sum on every machine, which a product is not.

    Whoever holds the catalogue makes the same plan to the last nano-rho, and so the same questions.
    """
    total: Floats = (np.ascontiguousarray(table) * weights[:, None]).sum(axis=0)
    return total


def _problem(sizes: Mapping[str, int], wanted: Mapping[Columns, float], margins: list[Columns]) -> tuple[Floats, Floats]:
    """Weight of the error in each space, and for each space (row) what one unit of information in each margin (column) tells."""

    def beyond(margin: Columns, space: Columns) -> int:
        return math.prod(sizes[column] for column in margin if column not in space)

    cost = [
        math.prod(1 - 1 / sizes[column] for column in space)
        * sum(weight / beyond(margin, space) ** 2 for margin, weight in wanted.items() if set(space) <= set(margin))
        for space in margins
    ]
    gain = [[(set(space) <= set(margin)) / beyond(margin, space) for margin in margins] for space in margins]
    return np.array(cost), np.array(gain)
