"""Any column as text, the same text for the same value whatever type a file stored it in."""

from __future__ import annotations

import polars as pl

from collegium.errors import Invalid

__all__ = ["WHOLE", "text_of"]

WHOLE = 2**53  # a float below this holds every whole number exactly


def text_of(series: pl.Series) -> pl.Series:
    """The series as text, stripped of white space; empty text is null.

    Whole floats and decimals lose their point (1001.0 is 1001), so that an id or a code reads the same when a gap elsewhere in the
    column made a writer store whole numbers as floats: without that, one person's missing value would change everybody's ids.

    Raises:
        Invalid: the column holds lists, structures or bytes that are no text.
    """
    dtype = series.dtype
    if dtype.is_float():
        whole = series.is_finite() & (series == series.floor()) & (series.abs() < WHOLE)
        text = pl.select(
            pl.when(whole.fill_null(False))
            .then(series.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(series.cast(pl.String))
        ).to_series()
        text = pl.select(pl.when(series.is_nan()).then(None).otherwise(text)).to_series()  # NaN is how pandas writes a gap
    elif dtype.is_decimal():
        text = series.cast(pl.String).str.replace(r"(\.\d*?)0+$", "$1").str.strip_suffix(".")
    elif dtype.is_nested() or dtype == pl.Object:
        raise Invalid(
            f"column {series.name!r} holds {dtype}, which is no single value", remedy="Take its parts out in a SQL source."
        )
    elif dtype == pl.Binary:
        try:
            text = series.cast(pl.String)
        except pl.exceptions.PolarsError:
            raise Invalid(f"column {series.name!r} holds bytes that are no text", remedy="Cast it to text in the query.") from None
    else:
        text = series if dtype == pl.String else series.cast(pl.String)
    text = text.str.strip_chars()
    return pl.select(pl.when(text != "").then(text)).to_series().alias(series.name)
