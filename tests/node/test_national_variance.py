"""The noise of a released national sum, from the plan that a node checks to the figure: its variance is σ²·|U|/m.

The tolerated dropouts and colluding nodes are many here, so that |U|/m is twice or one and a half times σ² and not 1.1 times: what
the published factor is could not be told from one otherwise without drawing for hours.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from collegium.national.addition import Total, figures
from collegium.national.plan import Wanted, check_plan, plan_parts
from collegium.national.share import SMALLEST_SCALE, Tolerance, variance_factor
from collegium.national.statements import Plan
from collegium_node.national_noise import SharedPart, add_share

MANY = Tolerance(300_000, 200_000)
WANTED = (
    Wanted(500, 1, 5 * 10**7, 2**17),
    Wanted(500, 9, 10**9, 2**17),
)  # σ of 3.2 steps and of 0.07: the second needs the lattice


class Said:
    """Of a plan what its check reads."""

    def __init__(self, nodes: int) -> None:
        self.nodes, self.homes, self.dropout, self.colluding = nodes, 1, MANY.dropout, MANY.colluding
        self.least, self.honest = MANY.least(nodes), MANY.honest(nodes)
        self.parts = plan_parts(WANTED, nodes, MANY, 1)


def released(nodes: int, participants: int) -> tuple[Said, np.ndarray]:
    """The figures of every cell after the true sum is taken away, shape (2, 500); each node has `member` in every cell."""
    plan = Said(nodes)
    shares = check_plan(plan, WANTED, 1)  # type: ignore[arg-type] # it reads nothing else of a Plan
    assert all(share.scale >= SMALLEST_SCALE for share in shares)
    parts = [SharedPart(part.cells, share, part.reach) for part, share in zip(plan.parts, shares, strict=True)]
    total = Total(1000)
    for member in range(participants):
        total.add([add_share(parts, np.full(1000, member, dtype=np.int64))])
    cells = total.signed().reshape(2, 500)
    noisy = np.stack([figures(row, part.fine) for row, part in zip(cells, plan.parts, strict=True)])
    return plan, noisy - sum(range(participants))


def check(nodes: int, participants: int) -> None:
    plan, noise = released(nodes, participants)
    factor = variance_factor(participants, plan.honest)
    assert factor > 1.3
    for row, part in zip(noise, plan.parts, strict=True):
        due = float(part.sigma) ** 2 * float(factor)
        assert abs(row.mean()) < 5 * math.sqrt(due / len(row))
        assert abs(row.var() / due - 1) < 5 * math.sqrt(2 / len(row))  # five sampling errors: 0.32, and factors of 1.4 and 2


@pytest.mark.parametrize("nodes", [10, 100])
def test_everybody_takes_part(nodes: int) -> None:
    check(nodes, nodes)


@pytest.mark.parametrize("nodes", [10, 100])
def test_as_many_drop_out_as_are_tolerated(nodes: int) -> None:
    check(nodes, MANY.least(nodes))


@pytest.mark.long
def test_a_thousand() -> None:
    check(1000, 1000)
    check(1000, MANY.least(1000))


def test_the_plan_read_here_has_the_fields_of_a_plan() -> None:
    assert vars(Said(10)).keys() <= Plan.model_fields.keys()
