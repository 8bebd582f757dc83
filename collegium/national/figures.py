"""The sum of one round as the tables are made from it: on its lattice, with its participants and how much noise is in it.

A national sum has the noise of one mechanism for a person counted k times, a little more where more took part than had to: k²·|U|/m
of the variance that a single university's release would have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from collegium.errors import NotVerified
from collegium.layout import Layout
from collegium.national.law import RoundOf
from collegium.national.share import make_share, sigma_for, variance_factor
from collegium.national.statements import Plan, Result

__all__ = ["NationalSum", "in_steps", "read_sum"]


@dataclass(frozen=True, slots=True)
class NationalSum:
    """One round's total, int64, shape (length,): part p on a lattice of 2^fines[p] points a step.

    `codes` are those of the partition's group, None when the sum is over everybody asked; `nodes` the participants, by name.
    `factor` is |U|/m, `homes` is k.
    """

    codes: tuple[str, ...] | None
    nodes: tuple[str, ...]
    total: NDArray[np.int64]
    fines: tuple[int, ...]
    factor: Fraction
    homes: int

    @property
    def honest(self) -> int:
        """m: the noise is whole if so many participants have added theirs."""
        return int(len(self.nodes) / self.factor)

    @property
    def noise(self) -> RoundOf:
        return RoundOf(self.homes, len(self.nodes), self.honest)


def read_sum(layout: Layout, plan: Plan, result: Result, total: bytes, nodes: Sequence[str]) -> NationalSum:
    """The sum of a round whose plan and result have been verified. `total` is the blob that the result names, 8 bytes a cell.

    Raises:
        NotVerified: the blob is not the one named, its length is not the layout's, or `nodes` are not as many as the result counts.
    """
    place = "national sum"
    if len(total) != result.total.size or hashlib.sha256(total).hexdigest() != result.total.sha256:
        raise NotVerified("this is not the total that was signed", place=place)
    if len(total) != 8 * layout.length:
        raise NotVerified("the total has other cells than the question", place=place)
    if len(nodes) != result.count or len(set(nodes)) != len(nodes):
        raise NotVerified("the result counts other participants", place=place)
    values = np.frombuffer(total, dtype="<i8").astype(np.int64)
    fines = tuple(part.fine for part in plan.parts)
    factor = variance_factor(result.count, result.honest)
    return NationalSum(plan.group, tuple(sorted(nodes)), values, fines, factor, plan.homes)


def in_steps(layout: Layout, one: NationalSum) -> NDArray[np.int64]:
    """The total in whole steps, shape (layout.length,): rounded, halves to even. Integers alone, the same on every machine.

    Raises:
        NotVerified: the sum is not one of this question, or its lattice is not the one that its noise needs.
    """
    place = "national sum"
    if one.total.shape != (layout.length,) or len(one.fines) != len(layout.parts):
        raise NotVerified("the total has other cells than the question", place=place)
    if len(one.nodes) != one.factor * one.honest:
        raise NotVerified("the participants are not those of the noise", place=place)
    steps = np.empty(layout.length, dtype=np.int64)
    for number, (part, fine) in enumerate(zip(layout.parts, one.fines, strict=True)):
        share = make_share(sigma_for(part.component.rho, part.sensitivity_squared, one.homes), one.honest)
        if fine != share.fine:
            raise NotVerified("the lattice is not that of the question's noise", place=f"{place}, component {number}")
        steps[part.start : part.stop] = _rounded(one.total[part.start : part.stop], fine)
    return steps


def _rounded(cells: NDArray[np.int64], fine: int) -> NDArray[np.int64]:
    whole = cells >> fine
    rest = cells - (whole << fine)
    half = (1 << fine) >> 1  # 0 on the lattice of whole steps, where nothing is left to round
    up = (rest > half) | ((rest == half) & (whole & 1 == 1)) if fine else np.zeros(cells.shape, dtype=np.bool_)
    return whole + up
