"""Numbers to whole steps, exactly: the nearest step, halves away from zero.

Floats decide only what they can decide. value / step in float64 is within 2^-51 of the truth, relatively, so for all results below
2^41 (bounds are below 2^40) a fraction further than 1/256 from one half rounds the same way as the exact number. The rest is
rounded by decimal arithmetic, once for each distinct value.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext

import numpy as np
import polars as pl

from collegium.schema import Column
from collegium_node.text import text_of

__all__ = ["parse_number", "steps_of"]

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
FAR = 2.0**60  # beyond every bound; keeps the cast to int64 in range


def parse_number(text: str, column: Column) -> int | None:
    """One number in steps, or None when the text is no finite number. Decimal's ROUND_HALF_UP is half away from zero."""
    try:
        with localcontext(prec=60):
            value = Decimal(text.strip())
            if not value.is_finite():
                return None
            steps = (value / column.step).to_integral_value(rounding=ROUND_HALF_UP)
            return int(min(max(steps, Decimal(-int(FAR))), Decimal(int(FAR))))
    except InvalidOperation:
        return None


def steps_of(series: pl.Series, column: Column) -> pl.Series:
    """A series of any type as Int64 steps, null where there is no number; not clamped to the bounds, but to ±2^60."""
    dtype = series.dtype
    if dtype.is_integer() and column.step == 1:
        return series.clip(*_limits(dtype)).cast(pl.Int64)
    if dtype == pl.Boolean:
        series = series.cast(pl.Int8)
    elif not dtype.is_numeric() or dtype.is_decimal() or dtype == pl.Float32:  # a Float32 stands for its shortest decimal
        text = text_of(series)
        series = pl.select(pl.when(text.str.contains(NUMBER)).then(text)).to_series()
    values = series.cast(pl.Float64, strict=False)
    values = pl.select(pl.when(values.is_finite()).then(values)).to_series()
    quotient = np.clip(values.fill_null(0.0).to_numpy() / float(column.step), -FAR, FAR)
    steps = np.rint(quotient).astype(np.int64)
    doubtful = np.abs(np.abs(quotient - np.floor(quotient)) - 0.5) < 1 / 256
    doubtful &= np.abs(quotient) < 2.0**41
    if doubtful.any():
        rows = np.flatnonzero(doubtful)
        distinct, inverse = np.unique(series.gather(rows).cast(pl.String).fill_null("0").to_numpy(), return_inverse=True)
        exact = [parse_number(text, column) or 0 for text in distinct.tolist()]
        steps[rows] = np.array(exact, dtype=np.int64)[inverse]
    missing = values.is_null()
    return pl.select(pl.when(~missing).then(pl.Series(steps))).to_series().alias(series.name)


def _limits(dtype: pl.DataType) -> tuple[int | None, int | None]:
    """Clip bounds that keep the widest integers inside Int64; None where the type itself is narrower."""
    if dtype in (pl.UInt64, pl.Int64, pl.Int128):
        return (None if dtype == pl.UInt64 else -int(FAR)), int(FAR)
    return None, None
