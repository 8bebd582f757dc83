"""Least squares for one family: its noisy margins to estimates of all wanted cells, with their variances and covariances.

`collegium.margins` fits each space V(T) by a weighted mean, so a cell a of margin S and a cell b of margin R have the covariance

    sum over T ⊆ S ∩ R of  prod over k in T of ([a and b agree in k] - 1/n(k))  /  (I(T) · n(S∖T) · n(R∖T))

Cells that are 0 by their meaning (structural zeros) are then set to 0 and the rest moved along, by the covariance: the answer of
least squares under that condition, so that totals still are the sums of their cells. Everything is linear in the noisy figures
with coefficients that do not depend on them, and the number of nodes scales all variances alike: the figures of provinces add up
to the nation's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from collegium.inversion import Floats
from collegium.margins import Keys, closure, reconcile_margins

__all__ = ["Fit", "Moments"]

_DEPENDENT = 1e-9  # a zero whose variance is less than this share of its own, given the others, follows from them


class Moments:
    """Variances and covariances of the fit, from the variances of the measured margins alone.

    Args:
        sizes: cells of each axis of the question.
        variances: of the noise in a cell of each measured margin.
        wanted: margins to be estimated, each part of a measured one.
        zeros: cells that are 0, each with its margin, one of those wanted; the finest margins first.
    """

    def __init__(
        self, sizes: Sequence[int], variances: Mapping[Keys, float], wanted: Sequence[Keys], zeros: Sequence[tuple[Keys, int]]
    ) -> None:
        self.sizes, self.wanted, self.given = sizes, wanted, tuple(zeros)
        self._information = {
            space: math.fsum(
                1 / (variance * self._beyond(margin, space)) for margin, variance in variances.items() if set(space) <= set(margin)
            )
            for space in closure(wanted)
        }
        self._variance: dict[Keys, Floats] = {}
        self.zeros: list[tuple[Keys, int]] = []
        self._solver: list[list[float]] = []  # rows of L with L·C·Lᵀ = 1, C the covariance of the zeros
        for zero in zeros:
            self._add_zero(zero)
        # How each wanted cell moves with the whitened zeros: shape (zeros, cells of the margin).
        self._moved = {keys: self.whitened(keys) for keys in wanted} if self.zeros else {}

    def variance(self, keys: Keys) -> Floats:
        """Of every cell of a wanted margin, shape (cells,)."""
        if keys not in self._variance:
            self._variance[keys] = self._spread(keys)
        return self._variance[keys]

    def _spread(self, keys: Keys) -> Floats:
        plain = math.fsum(
            math.prod(1 - 1 / self.sizes[key] for key in space) / (self._information[space] * self._beyond(keys, space) ** 2)
            for space in closure([keys])
        )
        found = np.full(math.prod(self.sizes[key] for key in keys), plain)
        if self.zeros:
            found = np.maximum(found - (self._moved[keys] ** 2).sum(axis=0), 0.0)
            found[[cell for margin, cell in self.given if margin == keys]] = 0.0
        return found

    def covariance(self, keys: Keys, cell: int, other: Keys, under: int) -> float:
        """Of one cell of a wanted margin and one of another."""
        plain = float(self._column(keys, other, under)[cell])
        if not self.zeros:
            return plain
        return plain - math.fsum((self._moved[keys][:, cell] * self._moved[other][:, under]).tolist())

    def whitened(self, keys: Keys) -> Floats:
        """Covariance of a margin's cells with the zeros, made uncorrelated and of variance 1; shape (zeros, cells)."""
        columns = [self._column(keys, margin, cell) for margin, cell in self.zeros]
        rows = [sum((c * column for c, column in zip(row, columns, strict=False)), np.zeros(1)) for row in self._solver]
        return np.array(rows)

    def whiten(self, noisy: Sequence[float]) -> list[float]:
        """The zeros' noisy figures, made uncorrelated and of variance 1."""
        return [math.fsum(c * x for c, x in zip(row, noisy, strict=False)) for row in self._solver]

    def moved(self, keys: Keys) -> Floats:
        """See `whitened`; of a wanted margin."""
        return self._moved[keys]

    def _add_zero(self, zero: tuple[Keys, int]) -> None:
        """One more row of the inverse Cholesky factor, unless the zero follows from the ones before."""
        margin, cell = zero
        own = float(self._column(margin, margin, cell)[cell])
        with_others = [float(self._column(keys, margin, cell)[at]) for keys, at in self.zeros]
        along = [math.fsum(c * x for c, x in zip(row, with_others, strict=False)) for row in self._solver]
        left = own - math.fsum(x * x for x in along)
        if left <= _DEPENDENT * own:
            return
        row = [0.0] * len(self.zeros) + [1.0]
        for weight, other in zip(along, self._solver, strict=True):
            for place, value in enumerate(other):
                row[place] -= weight * value
        self.zeros.append(zero)
        self._solver.append([value / math.sqrt(left) for value in row])

    def _column(self, keys: Keys, other: Keys, under: int) -> Floats:
        """Covariance of all cells of one margin with one cell of another, before the zeros; shape (cells,)."""
        place = dict(zip(other, np.unravel_index(under, [self.sizes[key] for key in other]) if other else (), strict=True))
        table: Floats = np.zeros([self.sizes[key] for key in keys])
        for space in closure([tuple(key for key in keys if key in other)]):
            scale = self._information[space] * self._beyond(keys, space) * self._beyond(other, space)
            part: Floats = np.full([1] * len(keys), 1 / scale)
            for axis, key in enumerate(keys):
                if key in space:
                    line = np.full(self.sizes[key], -1 / self.sizes[key])
                    line[place[key]] += 1.0
                    part = part * line.reshape([-1 if k == axis else 1 for k in range(len(keys))])
            table = table + part
        return table.ravel()

    def _beyond(self, keys: Keys, space: Keys) -> int:
        return math.prod(self.sizes[key] for key in keys if key not in space)


class Fit:
    """The estimates of one family."""

    def __init__(self, moments: Moments, measured: Mapping[Keys, tuple[NDArray[np.int64], float]]) -> None:
        found = reconcile_margins(moments.sizes, measured, moments.wanted)
        self.values = {keys: found[keys][0] for keys in moments.wanted}
        if moments.zeros:
            pulls = moments.whiten([float(self.values[keys][cell]) for keys, cell in moments.zeros])
            for keys in moments.wanted:
                moved = moments.moved(keys)
                for pull, along in zip(pulls, moved, strict=True):
                    self.values[keys] = self.values[keys] - pull * along
            for keys, cell in moments.given:
                self.values[keys][cell] = 0.0
