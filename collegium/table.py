"""The table of an indicator: what a person wants to see of a question, in codes and decimal strings, the same bytes everywhere.

Titles are not in it: labels of codes in English and Chinese come from the schema when the table is shown. A figure that is not
there is absent and says why; it is never a zero. `high` without a value beside a `low` means that there is no upper limit.

    Table   measures · facts · fact_groups · rows
    Row     of (its fact group) · group (labels of the cell) · figures (one a measure) · unsure · rank
    Figure  value · low · high · error · mark · raw · significant | reason | bins
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from collegium.errors import Invalid
from collegium.log.statement import canonical_json

__all__ = ["MODELS", "TOTAL", "Coverage", "FactGroup", "Figure", "Mark", "MeasureInfo", "MissingNode", "Row", "Selection", "Table"]

Mark = Literal["reliable", "caution", "unreliable"]

MODELS = ("slope", "intercept", "regression")
"""Kinds of measures whose figures have a `model_error`."""

TOTAL = "(all)"
"""The label of a key that a row of GROUPING SETS adds up over."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Closed):
    """One figure. Numbers are decimal strings in natural units, `raw` the national noisy sums it was made from, in steps, where
    they are few.

    `low` and `high` hold the bounded truth 95 % of the time; `error` is the standard error of the noise, absent where the noisy
    denominator is not significant. `value` and the interval are cut to the public range, `raw` is not: it may be negative.
    `mark` is decided from value and error alone. `reason`: "no-answer" (no node of the group answered; nothing else is there)
    or "no-denominator" (the noisy denominator is not above zero; the interval is the public range).
    """

    value: str | None = None
    low: str | None = None
    high: str | None = None
    error: str | None = None
    mark: Mark | None = None
    raw: tuple[int, ...] | None = None
    reason: Literal["no-answer", "no-denominator"] | None = None
    bins: tuple[Figure, ...] | None = None  # of a histogram, in the order of MeasureInfo.bins; then nothing else is there
    significant: bool | None = None  # of a difference: its interval leaves 0 out
    model_error: str | None = None  # of a regression: the standard error as of a sample, with that of the noise in it


class MeasureInfo(_Closed):
    """What the schema and question say of one measure. `unit`, `decimals`, `clip` as in natural units of `column`.

    `bins` are the labels of the figures of one cell where there are several: bins of a histogram, coefficients of a regression.
    `of` is what a difference is of. `part`: a ratio that cannot be above 1, because it is of a part to its whole.
    """

    label: str
    kind: str
    of: str | None = None
    part: Literal[True] | None = None
    column: str | None = None
    unit: str | None = None
    decimals: int | None = None
    clip: tuple[str, str] | None = None
    bins: tuple[str, ...] | None = None

    @property
    def percent(self) -> bool:
        """Whether a person wants it in per cent: a share, a part of a whole, the difference of two shares."""
        return self.kind in ("share", "proportion", "top_share") or self.of == "share" or bool(self.part)

    def unit_in(self, language: str) -> str:
        """What stands behind a title, in `en` or `zh`; "" where there is no unit."""
        if not self.percent:
            return "比特" if self.unit == "bits" and language == "zh" else self.unit or ""
        return "%" if self.of is None else "百分点" if language == "zh" else "points"


class MissingNode(_Closed):
    node: str
    reason: str


class Coverage(_Closed):
    """Who is in the sums. Enrolment is the sum of what the registry knows; nodes of unknown enrolment count nothing."""

    asked: int
    answered: int
    enrolment_asked: int
    enrolment_answered: int
    missing: tuple[MissingNode, ...]


class FactGroup(_Closed):
    """Nodes whose releases were added. The first group of a table has neither facts nor node: all nodes asked."""

    facts: dict[str, str]
    node: str | None = None
    coverage: Coverage


class Row(_Closed):
    """One cell of one fact group. `unsure` and `rank` as `collegium.selection` says, where HAVING and ORDER BY were asked."""

    of: int
    group: tuple[str, ...]
    figures: tuple[Figure, ...]
    unsure: bool | None = None
    rank: tuple[int, int] | None = None


class Selection(_Closed):
    """What HAVING and LIMIT did: rows of the statement, rows that HAVING kept, rows shown.

    `contenders` is how many of the rows that LIMIT left out may belong among those shown, as far as the intervals tell.
    """

    of: int
    kept: int
    shown: int
    contenders: int | None = None


class Table(_Closed):
    """All rows: for every fact group in order, every group cell in the order of the layout, empty ones included.

    With a selection: of the statement's rows those chosen, in the order asked for. They are the rows of the fact groups where
    there are any, and then the rows of all nodes together stand before them, unchosen.
    """

    level: Literal["0.95"] = "0.95"
    group: tuple[str, ...]
    facts: tuple[str, ...]
    measures: tuple[MeasureInfo, ...]
    fact_groups: tuple[FactGroup, ...]
    rows: tuple[Row, ...]
    selection: Selection | None = None

    def rows_of(self, fact_group: int) -> tuple[Row, ...]:
        """The rows of one fact group, in the order of the table."""
        if self.selection is not None:
            return tuple(row for row in self.rows if row.of == fact_group)
        cells = len(self.rows) // len(self.fact_groups)
        return self.rows[fact_group * cells : (fact_group + 1) * cells]

    def in_order(self) -> tuple[Row, ...]:
        """The rows as a person wants them: those of the fact groups first, in their order, then those of all nodes together."""
        groups = tuple(row for row in self.rows if row.of != 0)
        return groups + self.rows_of(0)

    def to_bytes(self) -> bytes:
        """Canonical JSON: what the indicator's digest is over."""
        return canonical_json(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def from_bytes(cls, data: bytes, *, place: str = "table") -> Table:
        """A table from its bytes. Raises Invalid unless they are exactly what `to_bytes` gives."""
        try:
            tree: Any = json.loads(data)
            table = cls.model_validate(tree)
        except (ValueError, RecursionError, ValidationError):
            raise Invalid("this is no table of an indicator", place=place) from None
        if table.to_bytes() != data:
            raise Invalid("the table is not in canonical form", place=place)
        return table
