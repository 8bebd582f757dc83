"""95 % intervals for a quotient of two noisy figures (Fieller 1954), right however small the denominator is.

The truth is t = N/D. For a candidate t the pivot

    Z(t) = (num - t·den) / sqrt(var_num - 2·t·cov + t²·var_den)

is standard normal when t is the truth, whatever N and D are. The usual delta method divides by `den` as if it were exact, and
fails when the denominator is a handful of noise standard deviations; this does not. `collegium.inversion` makes the interval.

How far the data can tell candidates apart depends on the true denominator. Its best estimate if t is the truth,

    D(t) = ((t·var_den - cov)·num + (var_num - t·cov)·den) / (var_num - 2·t·cov + t²·var_den),

is independent of Z(t), so a choice between one-sided and two-sided test that looks at D(t) alone leaves every candidate its 5 %.
"""

from __future__ import annotations

import numpy as np

from collegium.inversion import Evidence, Floats, invert

__all__ = ["correlated_interval", "quotient_interval"]


def quotient_interval(
    num: Floats,
    den: Floats,
    var_num: float,
    var_den: float,
    low: float | Floats,
    high: float | Floats,
    *,
    cov: float | Floats = 0.0,
) -> tuple[Floats, Floats]:
    """Ends of 95 % intervals for N/D inside the public range [low, high].

    Args:
        num, den: noisy figures of one shape. A denominator that is not above zero says nothing: the whole range.
        var_num, var_den, cov: variances and covariance of their noise; both variances above zero.
        low, high, cov: one for all, or one a figure.
    """

    def test(t: Floats) -> Evidence:
        variance = var_num - 2 * t * cov + t * t * var_den
        sd = np.sqrt(variance)
        denominator = ((t * var_den - cov) * num + (var_num - t * cov) * den) / variance
        return Evidence((num - t * den) / sd, _quotient(sd, denominator))

    lower, upper = invert(test, np.full(num.shape, low), np.full(num.shape, high))
    blind = den <= 0
    return np.where(blind, low, lower), np.where(blind, high, upper)


def correlated_interval(
    num: Floats, den: Floats, var_num: Floats | float, var_den: Floats | float, cov: Floats | float, low: float, high: float
) -> tuple[Floats, Floats]:
    """The same where the noise of both is made of the same draws, so that D(t) may say nothing.

    How far the candidates can be told apart then follows from the noisy denominator itself.
    """

    def test(t: Floats) -> Evidence:
        sd = np.sqrt(np.maximum(var_num - 2 * t * cov + t * t * var_den, 1e-12 * var_den))
        return Evidence((num - t * den) / sd, _quotient(sd, den))

    lower, upper = invert(test, np.full(num.shape, low), np.full(num.shape, high))
    blind = den <= 0
    return np.where(blind, low, lower), np.where(blind, high, upper)


def _quotient(sd: Floats, denominator: Floats) -> Floats:
    """sd / denominator, infinite where the denominator is not above zero."""
    positive = denominator > 0
    return np.where(positive, sd / np.where(positive, denominator, 1.0), np.inf)
