"""Whether a university is in an indicator: it must serve every table and column that the indicator rests on.

A column that a university does not serve is `unknown` in all its rows (`collegium.served`): it would add a wrong zero to a
numerator and its persons to the denominator. So the university is not covered by the figures that rest on the column, and by those
alone. What is served is a public choice of the stewards, signed in every release; no figure decides it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from collegium.indicators.leaf import Leaf

__all__ = ["Gap", "Served"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Why a university is not in an indicator: a key of `collegium.errors.PUBLIC_TEXTS`; `missing` is such as graduate.salary."""

    reason: Literal["no-dataset", "no-column"]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """What one university serves: its datasets, and (dataset, column) of those columns to which it has mapped nothing."""

    datasets: frozenset[str]
    absent: frozenset[tuple[str, str]] = frozenset()

    def gap(self, leaf: Leaf) -> Gap | None:
        """Why the university is not in this indicator; None when it is."""
        datasets = {dataset for dataset, _ in leaf.columns} - self.datasets
        if datasets:
            return Gap("no-dataset", tuple(sorted(datasets)))
        columns = leaf.columns & self.absent
        return Gap("no-column", tuple(sorted(f"{dataset}.{column}" for dataset, column in columns))) if columns else None
