"""The one source of noise: OpenDP's discrete Gaussian on int64, one measurement a component, its rho stated by OpenDP itself.

For each part of the tally, with L2 sensitivity Δ and charge rho:

(1) the scale is Δ / sqrt(2·rho), raised in the last places until OpenDP's own `map(Δ)` is at most the rho charged, compared as
    exact fractions;
(2) values that could reach the ends of int64 are refused, for OpenDP saturates there;
(3) the measurement is called once on the whole part; a second draw of the same part would be a second charge.

There is no seed and no way to pass one. OpenDP draws from a generator that the operating system seeds and that seeds itself anew
in a forked child (tested: an upgrade of OpenDP may change its generator). What no process can see is a copy of a whole running
virtual machine: two copies resumed from one image of its memory draw the same noise until the generator's next reseeding, minutes
later. The ledger of such a node is a copy too, which its log shows.

For a national sum the same exact tally gets this node's share of the noise (`collegium_node.national_noise`) and is masked at once:
a share alone protects little, so what leaves this module is the masked vector, and nobody at the node ever sees another.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

# With a backtrace at every level OpenDP is 5 to 20 times slower, and a backtrace is a side output.
os.environ["RUST_BACKTRACE"] = "0"

import numpy as np
import opendp.prelude as dp

from collegium.errors import Failed
from collegium.layout import Layout, Part
from collegium.log.note import Verifier
from collegium.national.share import Share
from collegium.national.statements import Plan
from collegium.national.submission import Hidden, hide
from collegium_node.choice import Int64s
from collegium_node.engine.exact import ExactTally
from collegium_node.national_noise import SharedPart, add_share

__all__ = ["NoisyTally", "add_noise", "hide_share", "rho_stated", "scale_for"]

NANO = 10**9
HEAD_ROOM = 2**62
dp.enable_features("contrib")  # OpenDP's name for everything its own group has not proven on paper; the Gaussian is among it


@dataclass(frozen=True, slots=True)
class NoisyTally:
    """A tally that may leave. `payload` is int64 little endian [layout.length]; `scales` has one float a part."""

    payload: bytes
    scales: tuple[float, ...]


def add_noise(layout: Layout, tally: ExactTally) -> NoisyTally:
    """The tally with noise on every value, for the rho that the question states for each component.

    Raises:
        Failed: the tally does not fit the layout, leaves the head room, or OpenDP states a larger loss than was charged. The text
            holds no figure.
    """
    exact = tally.open()
    if exact.shape != (layout.length,):
        raise Failed("the tally does not fit the question's layout")
    noisy = np.empty(layout.length, dtype="<i8")
    scales = []
    for part in layout.parts:
        # (1)
        scale = scale_for(part)
        if _stated(_measurement(scale), part) > _charged(part):
            raise Failed("OpenDP states a larger loss than was charged; nothing is released")
        # (2)
        values: Int64s = exact[part.start : part.stop]
        if bool(np.any((values >= HEAD_ROOM) | (values <= -HEAD_ROOM))):
            raise Failed("a tally leaves the head room of 64 bits; nothing is released")
        # (3)
        noisy[part.start : part.stop] = _measurement(scale)(values.tolist())
        scales.append(scale)
    return NoisyTally(noisy.tobytes(), tuple(scales))


def hide_share(tally: ExactTally, plan_note: bytes, plan: Plan, member: int, node: Verifier) -> Hidden:
    """This node's part of a national sum: the tally with its share of the noise, under three masks. Once for a charge.

    Args:
        plan: of `plan_note`, checked before: its parts are those of the tally's layout.
        member: this node's place in the roster.

    Raises:
        Failed: the tally does not fit the plan. The text holds no figure.
    """
    parts = [SharedPart(part.cells, Share(part.fine, float(part.scale)), part.reach) for part in plan.parts]
    return hide(plan_note, plan, member, node, add_share(parts, tally.open()))


def scale_for(part: Part) -> float:
    """The smallest scale near Δ / sqrt(2·rho) for which OpenDP states at most the rho charged."""
    scale = part.sensitivity / math.sqrt(2 * part.component.rho / NANO)
    for _ in range(64):
        if _stated(_measurement(scale), part) <= _charged(part):
            return scale
        scale = math.nextafter(scale, math.inf)
    raise Failed("OpenDP states a larger loss than the published formula; nothing is released")


def rho_stated(part: Part, scale: float) -> Fraction:
    """The rho that OpenDP states for one part at a scale, exactly as its float says."""
    return _stated(_measurement(scale), part)


def _charged(part: Part) -> Fraction:
    return Fraction(part.component.rho, NANO)


def _stated(measurement: Any, part: Part) -> Fraction:
    return Fraction(measurement.map(part.sensitivity))


def _measurement(scale: float) -> Any:
    # T is named: OpenDP's plain `int` has 32 bits and saturates.
    return dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64"), scale=scale)
