"""The figure of one indicator, and the mark that says how far to trust it. Both are decided from noisy values alone.

""    good: the half-width of the interval is at most the catalogue's share of the value
"…"   the half-width is more: read the interval, not the value
"—"   not released: no university answered, or the noise hides the denominator; there is no value
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from collegium.shown import short

__all__ = ["BLURRED", "MISSING", "Figure", "mark_of", "missing"]

Mark = Literal["", "…", "—"]
Reason = Literal["no-answer", "no-denominator"]

BLURRED: Final = "…"
MISSING: Final = "—"


@dataclass(frozen=True, slots=True)
class Figure:
    """An indicator's value in the unit it is shown in, with its 95 % interval and the standard error of the noise.

    `value` is None where there is none; `high` is None where there is no upper limit (beside a `low`) or no interval at all;
    `std_error` is None where a denominator is not significant. `nodes` is how many universities are in it.
    """

    value: float | None
    low: float | None
    high: float | None
    std_error: float | None
    mark: Mark
    nodes: int
    reason: Reason | None = None

    @property
    def half_width(self) -> float:
        """Half the interval; infinite where it has no end."""
        return math.inf if self.low is None or self.high is None else (self.high - self.low) / 2

    def to_json(self) -> dict[str, str | int]:
        """Decimal strings of twelve digits, the same on every machine; absent parts are left out."""
        tree: dict[str, str | int] = {"mark": self.mark, "nodes": self.nodes}
        for name in ("value", "low", "high", "std_error"):
            number = getattr(self, name)
            if number is not None:
                tree[name] = short(number)
        if self.reason is not None:
            tree["reason"] = self.reason
        return tree


def missing() -> Figure:
    """Of an indicator that no university answered."""
    return Figure(None, None, None, None, MISSING, 0, "no-answer")


def mark_of(value: float | None, half_width: float, share: float) -> Mark:
    """The mark of a value with an interval of this half-width."""
    if value is None:
        return MISSING
    return "" if half_width <= share * abs(value) else BLURRED
