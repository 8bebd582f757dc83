"""Numbers as a person reads them: no more digits than the interval supports, and a mark where it is wide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from collegium.indicators.edition import Estimate
from collegium.indicators.site.words import Language

__all__ = ["interval_text", "number", "places", "short_text", "tick_texts", "value_text"]

SCALES: dict[Language, tuple[tuple[int, str], ...]] = {"en": ((9, "bn"), (6, "M"), (3, "k")), "zh": ((8, "亿"), (4, "万"))}
"""Powers of ten that have a name, largest first."""
LONG = 100_000  # from here on a picture has room for a short number only


def places(figure: Estimate) -> int:
    """Decimal places, so that the last digit is at most a third of the half-width. Negative: zeros before the point."""
    half = _half(figure)
    if half is None or half <= 0:
        return 0 if figure.value is None or float(figure.value).is_integer() else 2
    return max(-12, min(4, -math.floor(math.log10(half / 3))))


def number(value: float | None, digits: int) -> str:
    """Grouped by thousands, rounded half to even at `digits` places; a dash for None."""
    if value is None or not math.isfinite(value):
        return "—"
    return f"{round(value, digits):,.{max(0, digits)}f}".replace("-", "−")


def value_text(figure: Estimate) -> str:
    """The value with its mark."""
    if figure.value is None or figure.mark == "—":
        return "—"
    return number(figure.value, places(figure)) + (" …" if figure.mark == "…" else "")


def short_text(figure: Estimate, language: Language) -> str:
    """The value with its mark in a few characters, for pictures: 92.5M, 9,250万. The table beside has all digits."""
    if figure.value is None or figure.mark == "—" or abs(figure.value) < LONG:
        return value_text(figure)
    power, name = next(each for each in SCALES[language] if abs(figure.value) >= 10 ** each[0])
    scaled = figure.value / 10**power
    supported = places(figure) + power
    digits = min(supported, 2 - math.floor(math.log10(abs(scaled))))  # three digits are enough to see
    return f"{number(scaled, digits)}{name}{' …' if figure.mark else ''}"


def tick_texts(ticks: Sequence[float], language: Language) -> list[str]:
    """Labels of an axis, all in one size and with the same decimals."""
    most = max((abs(tick) for tick in ticks), default=0.0)
    power, name = next((each for each in SCALES[language] if most >= max(LONG, 10 ** each[0])), (0, ""))
    step = min((after - before for before, after in pairwise(ticks)), default=1.0) / 10**power
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return ["0" if tick == 0 else f"{number(tick / 10**power, digits)}{name}" for tick in ticks]


def interval_text(figure: Estimate) -> str:
    """From the lower to the upper end."""
    if figure.mark == "—" or (figure.low is None and figure.high is None):
        return "—"
    digits = places(figure)
    low = "−∞" if figure.low is None else number(figure.low, digits)
    high = "∞" if figure.high is None else number(figure.high, digits)
    return f"{low} – {high}"


def _half(figure: Estimate) -> float | None:
    if figure.low is None or figure.high is None:
        return None
    return (figure.high - figure.low) / 2
