"""The cost that reaches a wished precision, found by bisection over plans. Costs nothing.

`1%` means: the expected national half width of every figure is at most one per cent of the assumed figure; of a share, at most one
percentage point. A number without a sign is a half width in natural units (of a share: parts of one).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from collegium.accounting import NANO, epsilon_of
from collegium.errors import Invalid
from collegium.plan import Expected, Plan, rho_text

__all__ = ["MOST", "Target", "cost_for", "read_target"]

MOST = 10 * NANO
"""Nano-rho beyond which nothing is looked for where no node has published a budget: rho 10 protects nobody in earnest."""

PRECISION = 1.002  # the cost found is at most this much above the least one
LEAST = 10**3  # nano-rho


@dataclass(frozen=True, slots=True)
class Target:
    """A wished half width; `text` as it was written."""

    text: str
    size: float
    relative: bool

    def reached(self, figure: Expected) -> bool:
        if self.relative:
            return figure.relative is not None and figure.relative <= self.size
        return figure.national.half_width <= self.size


def read_target(text: str) -> Target:
    """`1%`, `0.5 %` or `50`. Raises Invalid."""
    plain = text.strip()
    relative = plain.endswith("%")
    try:
        size = float(plain.rstrip("%").strip()) / (100 if relative else 1)
    except ValueError:
        size = math.nan
    if not 0 < size < math.inf:
        raise Invalid(f"{text!r} is no precision", place="--target-error", remedy="Write 1% or a half width in natural units.")
    return Target(plain, size, relative)


def cost_for(target: Target, plan_at: Callable[[int], Plan], delta: str) -> tuple[int, Plan]:
    """The least cost in nano-rho, to 0.2 %, whose plan reaches the target in every figure, and that plan.

    Args:
        plan_at: the plan of the request at a cost of so many nano-rho.

    Raises:
        Invalid: not even the largest budget that a university has published reaches it; the text says what it does reach.
    """
    most, whose = _ceiling(plan_at(LEAST * 1000))
    best = plan_at(most)
    aimless = next((figure for figure in _figures(best) if target.relative and figure.relative is None), None)
    if aimless is not None:
        remedy = "Write a half width in natural units instead of a percentage."
        text = f"{aimless.label} is assumed to be 0, of which no percentage can be taken"
        raise Invalid(text, place="--target-error", remedy=remedy)
    worst = next((figure for figure in _figures(best) if not target.reached(figure)), None)
    if worst is not None:
        reached = worst.national.half_width if not target.relative else (worst.relative or math.inf)
        shown = f"{reached:.2g}" if not target.relative else f"{reached:.2%}"
        raise Invalid(
            f"{worst.label} cannot reach {target.text}: {whose} (rho {rho_text(most)}, epsilon {epsilon_of(most, delta):.3g}) "
            f"reaches {shown} on what is assumed",
            place="--target-error",
            remedy="Wish for less, ask for fewer figures or cells, or say --expect ROWS if there are more rows than was assumed.",
        )
    low, high = LEAST, most  # the target is reached at `high`
    try:
        if _reached(plan_at(low), target):
            high = low
    except Invalid:  # too little for so many components
        pass
    while high > low * PRECISION:
        middle = math.isqrt(low * high)
        try:
            good = _reached(plan_at(middle), target)
        except Invalid:
            good = False
        low, high = (low, middle) if good else (middle, high)
    return high, plan_at(high)


def _reached(plan: Plan, target: Target) -> bool:
    return all(target.reached(figure) for figure in _figures(plan))


def _figures(plan: Plan) -> list[Expected]:
    return [figure for question in plan.questions for figure in question.figures]


def _ceiling(plan: Plan) -> tuple[int, str]:
    """The most that is worth trying, and whose limit that is."""
    published = [
        min(budget.rho, budget.lifetime)
        for node in plan.nodes
        for budget in node.budgets.values()
        if min(budget.rho, budget.lifetime)
    ]
    if published:
        return max(published), "the largest budget of a period that a university has published"
    return MOST, "the most that is tried where no university has published a budget"
