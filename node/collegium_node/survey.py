"""One pass over a source's rows: what each column shows, and where. The material of `check`; stays on this machine."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

import polars as pl

from collegium_node.mapping import ColumnPlan
from collegium_node.report import Places
from collegium_node.sources import Batch
from collegium_node.text import text_of

__all__ = ["AT", "SHOWN_ROWS", "Counted", "RowNames", "Seen", "look", "whole"]

SHOWN_ROWS = 5
KEPT_VALUES = 10_000  # distinct unmapped values remembered: a column of free text must not fill the memory
AT = "_at"


class RowNames:
    """From a row's number over the whole source back to its file and its number there."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.batches: list[tuple[str, int]] = []
        self.total = 0

    def enter(self, batch: Batch) -> int:
        start = self.total
        self.starts.append(start)
        self.batches.append((batch.place.rsplit("/", 1)[-1], batch.first_row))
        self.total += batch.frame.height
        return start

    def name(self, row: int) -> str:
        at = bisect_right(self.starts, row) - 1
        place, first = self.batches[at]
        return f"{place}, row {first + row - self.starts[at]}"


@dataclass
class Counted:
    """Rows counted over batches, and the first few of them."""

    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, mask: pl.Series, start: int) -> None:
        found = mask.fill_null(False).arg_true()
        self.count += len(found)
        self.first += (
            [start + row for row in found.head(SHOWN_ROWS - len(self.first)).to_list()] if len(self.first) < SHOWN_ROWS else []
        )

    def places(self, rows: RowNames) -> Places:
        return Places(self.count, tuple(rows.name(row) for row in self.first))


@dataclass
class Seen:
    """What one column showed over all batches."""

    missing: int = 0
    values: dict[str, list[int]] = field(default_factory=dict)  # unmapped value → rows, first row
    distinct_more: int = 0
    unmapped_rows: int = 0
    no_number: Counted = field(default_factory=Counted)
    below: Counted = field(default_factory=Counted)
    above: Counted = field(default_factory=Counted)
    lowest: int | None = None
    highest: int | None = None
    total: float = 0.0
    numbers: int = 0


def look(plan: ColumnPlan, frame: pl.DataFrame, start: int, seen: Seen) -> None:
    """Note what one batch shows of one column."""
    raw = plan.raw(frame)
    if raw is None:
        return
    if plan.column.is_number:
        seen.missing += _missing(raw)
        numbers = plan.numbers(frame)
        seen.no_number.add(plan.no_number(frame, numbers), start)
        seen.below.add(numbers < plan.column.min_steps, start)
        seen.above.add(numbers > plan.column.max_steps, start)
        there = numbers.drop_nulls()
        if len(there):
            low, high = whole(there.min()), whole(there.max())
            seen.lowest = low if seen.lowest is None else min(seen.lowest, low)
            seen.highest = high if seen.highest is None else max(seen.highest, high)
            seen.total += float(there.cast(pl.Float64).sum())  # in floats: values beyond the bounds could leave int64
            seen.numbers += len(there)
        return
    text = text_of(raw)
    seen.missing += text.null_count()
    odd = (
        pl.DataFrame({"value": text, "key": plan.keys(raw)})
        .with_row_index(AT)
        .filter(pl.col("key").is_not_null() & ~pl.col("key").is_in(list(plan.lookup)))
    )
    seen.unmapped_rows += odd.height
    for value, count, first in odd.group_by("value").agg(pl.len(), pl.col(AT).min().alias("first")).sort("first").rows():
        if value in seen.values:
            seen.values[value][0] += count
        elif len(seen.values) < KEPT_VALUES:
            seen.values[value] = [count, start + first]
        else:
            seen.distinct_more += 1


def _missing(raw: pl.Series) -> int:
    if not raw.dtype.is_numeric():
        return text_of(raw).null_count()
    return raw.null_count() + (whole(raw.is_nan().sum()) if raw.dtype.is_float() else 0)


def whole(value: object) -> int:
    """A count out of Polars, where the maximum or sum of nothing is null."""
    return value if isinstance(value, int) else 0
