"""Privacy arithmetic: nano-rho to (epsilon, delta) and back, and the noise a charge buys.

The unit of every budget is zCDP's rho (Bun and Steinke 2016), held as an integer number of nano-rho, because rho adds up exactly
over questions. (epsilon, delta) is presentation. The conversion is the optimal one of Canonne, Kamath and Steinke, "The Discrete
Gaussian for Differential Privacy" (2020), proposition 12: rho-zCDP implies (epsilon, delta)-DP for every alpha > 1 with

    delta = exp((alpha - 1)(alpha rho - epsilon)) / (alpha - 1) * (1 - 1/alpha)^alpha

Any alpha gives a true bound, so an inexact search can only state a larger epsilon than needed, never a smaller one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from functools import lru_cache

from collegium.errors import Invalid
from collegium.layout import Part

__all__ = [
    "NANO",
    "epsilon_of",
    "guarantee_sentence",
    "noise_scale",
    "read_delta",
    "rho_of",
    "scale_buys",
    "scale_is_right",
    "split",
]

NANO = 10**9
"""Nano-rho in one rho."""

MAX_NANO = 10**15  # the largest charge of one component, see Component.rho
_ROUND_UP = 1 + 1e-12  # far above the rounding of the formula below in doubles


def read_delta(delta: str | float) -> float:
    """A delta as the registry writes it ("1e-6"). Raises Invalid unless 0 < delta < 1."""
    try:
        value = float(delta)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise Invalid(f"{delta!r} is no delta", place="delta", remedy="Write a number between 0 and 1, such as 1e-6.")
    return value


def epsilon_of(rho: int, delta: str | float) -> float:
    """The smallest epsilon that `rho` nano-rho of zCDP imply at `delta`, rounded up in the twelfth digit.

    The bound as a function of alpha has one valley: for a fixed epsilon the logarithm of the formula is convex in alpha, so the set
    of alpha that reach that epsilon is an interval. The sign of its slope says on which side of the valley alpha lies.
    """
    if rho < 0:
        raise Invalid(f"{rho} nano-rho is below zero", place="rho")
    log_inverse_delta = -math.log(read_delta(delta))
    if rho == 0:
        return 0.0
    r = rho / NANO
    low, high = -60.0, 60.0  # of log(alpha - 1)
    best = math.inf
    for _ in range(80):
        middle = (low + high) / 2
        x = math.exp(middle)  # alpha - 1
        log_shrink = -math.log1p(1 / x)  # log(1 - 1/alpha)
        epsilon = (1 + x) * r + log_shrink + (log_inverse_delta - math.log1p(x)) / x
        best = min(best, epsilon)
        if (1 + 2 * x) * r - epsilon + log_shrink < 0:
            low = middle
        else:
            high = middle
    return max(0.0, best) * _ROUND_UP


def rho_of(epsilon: str | float, delta: str | float) -> int:
    """The largest whole number of nano-rho whose `epsilon_of` is at most `epsilon`.

    Raises:
        Invalid: epsilon is no number above 0, or buys less than one nano-rho, or more than a component may hold.
    """
    try:
        wanted = float(epsilon)
    except ValueError:
        wanted = math.nan
    if not 0 < wanted < math.inf:
        raise Invalid(f"{epsilon!r} is no epsilon", place="epsilon", remedy="Write a number above 0, such as 0.5.")
    if epsilon_of(MAX_NANO, delta) <= wanted:
        raise Invalid(f"epsilon {epsilon} protects nobody", place="epsilon", remedy="Write a smaller number, such as 0.5.")
    low, high = 0, MAX_NANO  # epsilon_of(low) <= wanted < epsilon_of(high)
    while high - low > 1:
        middle = (low + high) // 2
        if epsilon_of(middle, delta) <= wanted:
            low = middle
        else:
            high = middle
    if low == 0:
        raise Invalid(f"epsilon {epsilon} is less than one nano-rho", place="epsilon", remedy="Write a larger number, such as 0.5.")
    return low


def split(total: int, weights: Sequence[int]) -> list[int]:
    """`total` nano-rho shared in proportion to positive whole weights, each rounded down: the parts never exceed the total.

    Raises:
        Invalid: there are no weights, one is not positive, or a part would be nothing.
    """
    if not weights or min(weights) < 1:
        raise Invalid("a budget is shared by positive weights", place="rho")
    parts = [total * weight // sum(weights) for weight in weights]
    if min(parts) < 1:
        raise Invalid(f"{total} nano-rho are too few for {len(weights)} measures", place="rho", remedy="Ask with a larger epsilon.")
    return parts


def noise_scale(part: Part) -> float:
    """The published scale of a component's discrete Gaussian, in steps: sensitivity / sqrt(2 rho). A node's may be an ulp above."""
    return math.sqrt(part.sensitivity_squared * NANO / (2 * part.component.rho))


def scale_is_right(scale: str, part: Part) -> bool:
    """Is this stated noise scale the one that the component's charge buys?

    Exact in rational arithmetic: never smaller than sensitivity / sqrt(2 rho) by more than 1e-12 of it (that would be a weaker
    promise than the charge), never larger by more than 1e-9 (that would be a worse figure than was paid for). The text must be
    the shortest form of a double, so that one scale has one spelling.
    """
    return scale_buys(scale, part.sensitivity_squared, part.component.rho)


@lru_cache(maxsize=65_536)
def scale_buys(scale: str, sensitivity_squared: int, rho: int) -> bool:
    """`scale_is_right` for a part with this sensitivity and charge. Thousands of releases state the same few scales."""
    try:
        value = float(scale)
    except ValueError:
        return False
    if not 0 < value < math.inf or repr(value) != scale:
        return False
    square = Fraction(value) ** 2
    target = Fraction(sensitivity_squared * NANO, 2 * rho)
    return target * (1 - Fraction(1, 10**12)) ** 2 <= square <= target * (1 + Fraction(1, 10**9)) ** 2


def guarantee_sentence(
    rho: int, delta: str | float, unit: str, nodes_per_person: int = 1, *, national: int = 0, language: str = "en"
) -> str:
    """What the request costs one person, in words.

    Args:
        rho: nano-rho charged at each node.
        delta: the federation's delta.
        unit: the privacy unit's title in the same language.
        nodes_per_person: m, at how many nodes one person can be. Noise is drawn at every node, so the losses add: m times rho,
            multiplied before it is converted, because epsilon does not add up.
        national: how much of `rho` is for national sums. There the noise covers a person at m nodes already, so it counts once.
    """
    here = f"rho {_plain(Decimal(rho) / NANO)}", f"epsilon {_up(epsilon_of(rho, delta))}"
    total = (rho - national) * nodes_per_person + national
    all_over = f"rho {_plain(Decimal(total) / NANO)}", f"epsilon {_up(epsilon_of(total, delta))}"
    if language == "zh":
        text = f"隐私单位“{unit}”:增加或移除一个人在一所机构的全部记录,对该机构发布结果的影响至多为 {here[0]}(zCDP),"
        text += f"即 {here[1]}(delta {delta})"
        if nodes_per_person > 1:
            text += f";同一人最多出现在 {nodes_per_person} 所机构,全国合计至多 {all_over[0]},即 {all_over[1]}(delta {delta})"
        return text + "。" + (_coalition(unit, nodes_per_person, language) if national else "")
    text = f"Adding or removing all rows of one {unit} at one university changes what it releases by at most {here[0]} (zCDP), "
    text += f"which is {here[1]} at delta {delta}"
    if nodes_per_person > 1:
        text += f". One {unit} can be at {nodes_per_person} universities: nationwide at most {all_over[0]}, "
        text += f"which is {all_over[1]} at delta {delta}"
    return text + "." + (" " + _coalition(unit, nodes_per_person, language) if national else "")


def _coalition(unit: str, nodes: int, language: str) -> str:
    """On what the promise of a national sum rests, and what a person at several nodes costs there."""
    if language == "zh":
        text = "全国汇总的保证以足够多的机构如实加入噪声、三个受托方中至少一个诚实为前提"
        if nodes > 1:
            text += f";其噪声按同一人出现在 {nodes} 所机构计({nodes}² = {nodes**2} 倍 rho)"
        return text + "。"
    text = "Of a national sum it holds while enough universities add their noise and one of the three trustees is honest"
    if nodes > 1:
        text += (
            f"; its noise is for one {unit} at {nodes} universities, which takes {nodes}² = {nodes**2} times the rho of one at one"
        )
    return text + "."


def _up(value: float) -> str:
    """Four significant digits, rounded up: a guarantee is never stated better than it is."""
    return _plain(Context(prec=4, rounding=ROUND_CEILING).create_decimal_from_float(value))


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
