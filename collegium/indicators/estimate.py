"""From sums of noisy tallies to the figures of all indicators. The same linear map for the nation and for any part of it.

    figures = estimate(batch, sums, nodes)                # sums and numbers of nodes, one a question
    figures = estimate_nodes(batch, {"node-1": tallies, ...})    # adds up itself; nodes may miss some of the questions

Every interval is of the bounded figure and of the noise alone. Plain figures are normal after least squares (where one table alone
serves them they are whole, and get the exact law of whole noise); quotients are inverted as Fieller did, with the covariance that
least squares leaves between a cell and the margin it lies in.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collegium.addition import add
from collegium.indicators.batch import Batch, Line, Placed
from collegium.indicators.figure import Figure, missing
from collegium.indicators.fitting import Fit, Moments
from collegium.indicators.intervals import Pairs, plain_figures, quotient_figures
from collegium.indicators.noise import times, universities, variance
from collegium.intervals import noise_of
from collegium.inversion import Floats
from collegium.lattice import ONE_SIDED, TWO_SIDED, smooth_noise
from collegium.national.law import Added

__all__ = ["Precision", "cells", "estimate", "estimate_nodes", "figures_of", "precision"]

Tally = NDArray[np.int64]

_SMOOTH = 6.0  # below this standard deviation whole noise shows through least squares, and an end gets half a step more


@dataclass(frozen=True)
class Precision:
    """What is known of the noise in all estimates before any data: shape (batch.length,) each; NaN where no node answered.

    `one_sided` and `two_sided` are the points that the noise stays below with 95 %, and within with 95 %. `covariances` are those
    of numerator and denominator of each indicator in the order of `batch.lines`, where they are of one family.
    """

    sd: Floats
    one_sided: Floats
    two_sided: Floats
    covariances: Floats


def precision(batch: Batch, nodes: Sequence[Added]) -> Precision:
    """The noise in all estimates, if `nodes` nodes answer each question, or of these rounds of national sums."""
    sd, one, two = (np.full(batch.length, np.nan) for _ in range(3))
    for placed, moments in zip(batch.families, batch.moments, strict=True):
        if universities(nodes[placed.question]) > 0:
            _fill(batch, placed, nodes[placed.question], moments, sd, one, two)
    factors = [times(batch.layouts[placed.question], placed, nodes[placed.question]) for placed in batch.families]
    together = [factors[line.numerator.family] for line in batch.lines]
    return Precision(sd, one, two, batch.covariances * np.array(together, dtype=np.float64))


def estimate(
    batch: Batch,
    sums: Sequence[Tally | None],
    nodes: Sequence[Added],
    *,
    known: Precision | None = None,
    lines: Sequence[int] | None = None,
) -> dict[str, Figure]:
    """The figure of every indicator.

    Args:
        sums: for each question the sum of its releases, shape (layout.length,), or None where no node answered.
        nodes: for each question how many releases were added, or which rounds of national sums. Where an indicator is made of two
            questions, both sums must be of the same nodes: a ratio of different universities would be no ratio of anything.
            `estimate_nodes` sees to that.
        known: `precision(batch, nodes)`, where it is at hand.
        lines: the indicators wanted, by their place in `batch.lines`; all if not given.
    """
    here: list[Added] = [0 if found is None else count for found, count in zip(sums, nodes, strict=True)]
    known = precision(batch, here) if known is None else known
    wanted = range(len(batch.lines)) if lines is None else lines
    chosen = [batch.lines[number] for number in wanted]
    above, below = [line.numerator for line in chosen], [line.denominator or line.numerator for line in chosen]
    values = cells(batch, sums, here, {spot.family for spot in (*above, *below)})
    return figures_of(batch, values[[spot.at for spot in above]], values[[spot.at for spot in below]], known, here, wanted)


def cells(batch: Batch, sums: Sequence[Tally | None], nodes: Sequence[Added], families: Container[int] | None = None) -> Floats:
    """The estimates of all cells of all wanted margins, whether an indicator shows them or not: shape (batch.length,).

    NaN where no node answered, and in families that are not among those asked for.
    """
    values = np.full(batch.length, np.nan)
    for number, (placed, moments) in enumerate(zip(batch.families, batch.moments, strict=True)):
        tally = sums[placed.question]
        if tally is None or universities(nodes[placed.question]) < 1 or (families is not None and number not in families):
            continue
        fit = Fit(moments, _measured(batch, placed, tally, nodes[placed.question]))
        for keys, start in zip(placed.wanted, placed.starts, strict=True):
            values[start : start + fit.values[keys].size] = fit.values[keys]
    return values


def estimate_nodes(batch: Batch, tallies: Mapping[str, Sequence[Tally | None]]) -> dict[str, Figure]:
    """The figures of some nodes together, from their releases: for each node one tally a question, None where it gave none.

    An indicator made of two questions is made of the nodes that answered both.
    """
    answered = [tuple(name for name in sorted(tallies) if tallies[name][q] is not None) for q in range(len(batch.questions))]
    sums = [_sum(batch, tallies, q, names) for q, names in enumerate(answered)]
    found = estimate(batch, sums, [len(names) for names in answered])
    apart: dict[tuple[int, ...], list[int]] = {}
    for number, line in enumerate(batch.lines):
        questions = batch.questions_of(line)
        if len({answered[q] for q in questions}) > 1:
            apart.setdefault(questions, []).append(number)
    for questions, lines in apart.items():
        both = tuple(name for name in answered[questions[0]] if all(name in answered[q] for q in questions))
        only = [_sum(batch, tallies, q, both) if q in questions else None for q in range(len(batch.questions))]
        counts = [len(both) if q in questions else 0 for q in range(len(batch.questions))]
        found |= estimate(batch, only, counts, lines=lines)
    return found


def figures_of(
    batch: Batch, above: Floats, below: Floats, known: Precision, nodes: Sequence[Added], lines: Sequence[int]
) -> dict[str, Figure]:
    """The figures of some indicators from the estimates of their numerators and denominators, in the order of `lines`.

    A plain figure is its numerator; its denominator is not looked at.
    """
    chosen = [batch.lines[number] for number in lines]
    result: dict[str, Figure] = {line.id: missing() for line in chosen}
    there = [k for k, line in enumerate(chosen) if not _blind(line, known)]
    counts = [_nodes(batch, line, nodes) for line in chosen]

    plain = [k for k in there if chosen[k].denominator is None]
    at = [chosen[k].numerator.at for k in plain]
    noise = known.sd[at], known.one_sided[at], known.two_sided[at]
    recipes = [chosen[k].recipe for k in plain]
    figures = plain_figures(recipes, above[plain], *noise, [counts[k] for k in plain], batch.half_width)
    result |= dict(zip((chosen[k].id for k in plain), figures, strict=True))

    pairs = [(k, spot) for k in there if (spot := chosen[k].denominator) is not None]
    which = [k for k, _ in pairs]
    at, under = [chosen[k].numerator.at for k in which], [spot.at for _, spot in pairs]
    smooth = np.where(known.sd < _SMOOTH, known.sd + 0.5 / TWO_SIDED, known.sd)
    covariances = known.covariances[[lines[k] for k in which]]
    paired = Pairs(above[which], below[which], smooth[at], known.sd[under], covariances)
    recipes = [chosen[k].recipe for k in which]
    figures = quotient_figures(recipes, paired, [counts[k] for k in which], batch.half_width)
    return result | dict(zip((chosen[k].id for k in which), figures, strict=True))


def _fill(batch: Batch, placed: Placed, nodes: Added, moments: Moments, sd: Floats, one: Floats, two: Floats) -> None:
    """Standard deviations and points of one family's estimates."""
    layout = batch.layouts[placed.question]
    factor = times(layout, placed, nodes)
    for keys, start in zip(placed.wanted, placed.starts, strict=True):
        spread = np.sqrt(moments.variance(keys) * factor)
        here = slice(start, start + spread.size)
        sd[here] = spread
        if len(placed.parts) == 1 and not placed.zeros:  # sums of whole noise, whose law is known
            ((margin, part),) = placed.parts.items()
            added = int(np.prod([layout.axes[key].size for key in margin if key not in keys], dtype=np.int64))
            if isinstance(nodes, int):
                noise = noise_of(layout.parts[part], nodes * added)
            else:
                noise = noise_of(layout.parts[part], nodes)
                noise = noise if added == 1 else smooth_noise(noise.sd * added**0.5)
            one[here], two[here] = noise.one_sided, noise.two_sided
        else:
            more = np.where((spread < _SMOOTH) & (spread > 0), 0.5, 0.0)
            one[here], two[here] = ONE_SIDED * spread + more, TWO_SIDED * spread + more


def _measured(batch: Batch, placed: Placed, tally: Tally, nodes: Added) -> dict[tuple[int, ...], tuple[Tally, float]]:
    parts = batch.layouts[placed.question].parts
    return {
        keys: (tally[parts[part].start : parts[part].stop], variance(parts[part], nodes)) for keys, part in placed.parts.items()
    }


def _sum(batch: Batch, tallies: Mapping[str, Sequence[Tally | None]], question: int, names: Sequence[str]) -> Tally | None:
    found = [tally for name in names if (tally := tallies[name][question]) is not None]
    return add(found, batch.layouts[question].length) if found else None


def _blind(line: Line, known: Precision) -> bool:
    below = line.denominator or line.numerator
    return bool(np.isnan(known.sd[line.numerator.at]) or np.isnan(known.sd[below.at]))


def _nodes(batch: Batch, line: Line, nodes: Sequence[Added]) -> int:
    return min(universities(nodes[question]) for question in batch.questions_of(line))
