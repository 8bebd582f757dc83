"""Shares of noise: what each node adds, so that the sum has the noise of one mechanism although some nodes drop out or cheat.

With n nodes, a dropout fraction δ and a colluding fraction γ, at least u_min = ⌈(1−δ)n⌉ nodes are in a sum, m = u_min − ⌈γn⌉ of
them honest. To have a standard deviation of σ steps in the sum of m shares, a node draws a discrete Gaussian of scale

    s = 2^f · σ / √m     on a lattice 2^f times finer than a step,     f = max(0, ⌈log2(4√m / σ)⌉), so that s ≥ 4.

Without the finer lattice a share of scale 0.05 would round to nothing, and the sum would have no noise at all.

A sum of discrete Gaussians is nearly one. By the bound of Kairouz, Liu and Steinke, "The Distributed Discrete Gaussian Mechanism
for Federated Learning with Secure Aggregation" (2021), its rho exceeds
Δ²/(2σ²) by at most 10·m·d·exp(−π²s²)/4 for d cells, which at s ≥ 4 is below 1e-55. The variance is raised by one part in 10^12,
which takes more than that away again, so that the stated rho holds as it stands. All comparisons are exact, in
rational arithmetic: every machine finds the same doubles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from collegium.accounting import NANO
from collegium.errors import Invalid

__all__ = [
    "SMALLEST_SCALE",
    "Share",
    "Tolerance",
    "fits_64_bits",
    "make_share",
    "national_rho",
    "sigma_for",
    "variance_factor",
]

SMALLEST_SCALE = 4
"""Lattice steps. No share has a smaller scale."""

_MILLION = 10**6
_SURPLUS = 1 + Fraction(1, 10**12)  # of the variance; see above
_DEVIATIONS = 20
_REACH = 2**63
_MAX_FINE = 32  # 2^32 lattice steps in one: reached only by a σ that protects nobody


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Which share of the nodes may be missing (δ) and which may collude or add no noise (γ), both in millionths."""

    dropout: int
    colluding: int

    def __post_init__(self) -> None:
        if not (0 <= self.dropout < _MILLION and 0 <= self.colluding < _MILLION):
            raise Invalid("dropout and colluding nodes are fractions from 0 to below 1, in millionths", place="tolerance")

    def least(self, nodes: int) -> int:
        """u_min: fewer participants than this give no result."""
        return -(-(_MILLION - self.dropout) * nodes // _MILLION)

    def honest(self, nodes: int) -> int:
        """m: so many honest participants carry the whole noise.

        Raises:
            Invalid: fewer than two would be left. One node's share would then be a figure of that node.
        """
        left = self.least(nodes) - -(-self.colluding * nodes // _MILLION)
        if left < 2:
            raise Invalid(
                f"of {nodes} nodes {max(0, left)} would have to carry the noise",
                place="tolerance",
                remedy="Ask more nodes, or tolerate fewer dropouts and colluding nodes.",
            )
        return left


@dataclass(frozen=True, slots=True)
class Share:
    """One component's share: `fine` is f, `scale` is s in lattice steps."""

    fine: int
    scale: float


def sigma_for(rho: int, sensitivity_squared: int, nodes_per_person: int) -> float:
    """σ in steps that `rho` nano-rho buy in the sum: the smallest double with σ² ≥ (kΔ)² / (2 rho).

    A person at k nodes moves the sum k times as far, so k times the sensitivity is what the noise has to hide.

    Args:
        rho: the national charge of one component, in nano-rho.
        sensitivity_squared: Δ², the squared L2 sensitivity at one node.
        nodes_per_person: k.
    """
    if min(rho, sensitivity_squared, nodes_per_person) < 1:
        raise Invalid("rho, sensitivity and nodes of a person are positive whole numbers", place="national noise")
    return _root_above(Fraction(nodes_per_person**2 * sensitivity_squared * NANO, 2 * rho))


def national_rho(sigma: float, sensitivity_squared: int, nodes_per_person: int) -> int:
    """(kΔ)² / (2σ²) in nano-rho, rounded up: what one person loses by the sum, if at least m participants are honest."""
    if not 0 < sigma < math.inf or min(sensitivity_squared, nodes_per_person) < 1:
        raise Invalid("sigma, sensitivity and nodes of a person are positive", place="national noise")
    return math.ceil(Fraction(nodes_per_person**2 * sensitivity_squared * NANO, 2) / Fraction(sigma) ** 2)


def make_share(sigma: float, honest: int) -> Share:
    """The share of each of `honest` = m nodes for a standard deviation of `sigma` steps in their sum.

    Raises:
        Invalid: sigma or m is not positive, or so small a sigma that the lattice would need more than 2^32 steps in one.
    """
    if not 0 < sigma < math.inf or honest < 1:
        raise Invalid("sigma and the number of honest nodes are positive", place="national noise")
    variance = Fraction(sigma) ** 2
    fine = 0
    while 4**fine * variance < SMALLEST_SCALE**2 * honest:
        fine += 1
        if fine > _MAX_FINE:
            raise Invalid("so little noise protects nobody", place="national noise", remedy="Ask with a smaller epsilon.")
    return Share(fine, _root_above(4**fine * variance * _SURPLUS / honest))


def variance_factor(participants: int, honest: int) -> Fraction:
    """|U| / m: the real variance of a result is so many times σ². Published with every result."""
    if not 0 < honest <= participants:
        raise Invalid("a sum has at least as many participants as the noise needs", place="national noise")
    return Fraction(participants, honest)


def fits_64_bits(reach: int, nodes: int, share: Share) -> bool:
    """Whether |Σ 2^f·tally| + 20 standard deviations stay below 2^63, if no cell of a node is beyond ±reach.

    With all `nodes` in the sum its standard deviation is s·√n lattice steps.
    """
    spread = Fraction(share.scale) * (math.isqrt(nodes) + 1)
    return (nodes * reach << share.fine) + _DEVIATIONS * spread < _REACH


def _root_above(square: Fraction) -> float:
    """The smallest double whose exact square is not below `square`."""
    try:
        root = math.sqrt(square)
    except OverflowError:
        raise Invalid("so much noise is no figure", place="national noise", remedy="Ask with a larger epsilon.") from None
    while Fraction(root) ** 2 < square:
        root = math.nextafter(root, math.inf)
    while root > 0 and Fraction(below := math.nextafter(root, 0.0)) ** 2 >= square:
        root = below
    return root
