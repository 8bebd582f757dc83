"""What `check` tells the data steward: values, row numbers and true counts, for this machine's screen only.

Nothing here may leave the campus. The gate takes none of these types, and the service never imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from collegium_node.servable import CatalogueReport, render

__all__ = ["Bias", "ColumnReport", "DatasetReport", "Groups", "Places", "Report", "UnmappedValue"]


@dataclass(frozen=True, slots=True)
class Places:
    """How many rows something concerns, and where the first of them are ("students.csv, row 17")."""

    count: int = 0
    first: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.count:,}" + (
            f" ({'; '.join(self.first)}{'; …' if self.count > len(self.first) else ''})" if self.count else ""
        )


@dataclass(frozen=True, slots=True)
class UnmappedValue:
    """A value of the source that is no code. `becomes` is the default's code, or `unknown`; `proposal` a guess or empty."""

    value: str
    rows: int
    first: str
    becomes: str
    proposal: str


@dataclass(frozen=True, slots=True)
class Bias:
    """What the person bounds do to a number over all rows, in natural units; None where there is no row.

    `mean_rows` and `sum_rows` are of the rows as they are, `mean_bounded` with values clamped and at most max_rows rows a person
    (expected over the choice), `sum_bounded` with each person's sum clipped to ±clip.
    """

    mean_rows: float | None
    mean_bounded: float | None
    sum_rows: float
    sum_bounded: float
    clip: float
    persons_clipped: int


@dataclass(frozen=True, slots=True)
class Groups:
    """Over how many values of a category a person is spread: the most, and what max_groups would leave out when grouping by it."""

    most: int
    persons_over: int
    left_out: int


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """One schema column. `origin` is the source column, `constant …`, or empty where nothing is mapped: then all is unknown."""

    name: str
    type: str
    origin: str
    missing: int = 0
    unmapped: tuple[UnmappedValue, ...] = ()
    unmapped_values: int = 0  # distinct ones, also those not listed
    unmapped_rows: int = 0
    no_number: Places = Places()
    below: Places = Places()
    above: Places = Places()
    lowest: float | None = None
    highest: float | None = None
    suggestion: str = ""
    bias: Bias | None = None
    groups: Groups | None = None

    @property
    def findings(self) -> Iterator[str]:
        """What the steward should look at, one sentence each."""
        if not self.origin:
            yield f"{self.name}: nothing is mapped to it, so it is unknown in every row"
        if self.unmapped and self.unmapped[0].becomes == "unknown":
            yield f"{self.name}: {self.unmapped_rows:,} rows have values outside the code list and count as unknown"
        if self.no_number.count:
            yield f"{self.name}: no number in {self.no_number}"
        for side, places in (("below the minimum", self.below), ("above the maximum", self.above)):
            if places.count:
                yield f"{self.name}: {side} and clamped in {places}"


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """One dataset. `fault` is set, and all else is empty, where its source or mapping cannot be read."""

    name: str
    source: str
    fault: str = ""
    rows: int = 0
    persons: int = 0
    without_person: Places = Places()
    duplicates: Places = Places()
    max_rows: int = 0
    max_groups: int = 0
    most_rows: int = 0
    persons_over_rows: int = 0
    rows_left_out: int = 0
    columns: tuple[ColumnReport, ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[str, ...]:
        if self.fault:
            return (self.fault,)
        found = []
        if self.without_person.count:
            found.append(f"rows without a person, left out: {self.without_person}")
        if self.duplicates.count:
            found.append(f"rows that repeat another of the same person in every column: {self.duplicates}")
        found.extend(self.cautions)
        for column in self.columns:
            found.extend(column.findings)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Report:
    """The whole check. `ok` is true when there is nothing the steward should look at."""

    datasets: tuple[DatasetReport, ...]
    catalogues: tuple[CatalogueReport, ...] = ()

    @property
    def ok(self) -> bool:
        return not any(dataset.findings for dataset in self.datasets)

    @property
    def broken(self) -> bool:
        """True when a dataset cannot be read at all: a snapshot would fail."""
        return any(dataset.fault for dataset in self.datasets)

    def to_json(self) -> dict[str, Any]:
        """A plain tree of the same, with `findings` written out."""
        tree = asdict(self)
        for plain, dataset in zip(tree["datasets"], self.datasets, strict=True):
            plain["findings"] = list(dataset.findings)
        return {"ok": self.ok, "broken": self.broken, **tree}

    def render(self) -> RenderableType:
        """Tables for a terminal."""
        parts: list[RenderableType] = []
        for dataset in self.datasets:
            parts += _dataset(dataset)
        for catalogue in self.catalogues:
            parts += render(catalogue)
        parts.append(Text("Local only: these figures are exact. Do not send them on.", style="bold"))
        return Group(*parts)


def _dataset(report: DatasetReport) -> Iterator[RenderableType]:
    yield Text(f"\n{report.name}  ← source {report.source}", style="bold")
    if report.fault:
        yield Text(report.fault, style="red")
        return
    yield Text(
        f"{report.rows:,} rows of {report.persons:,} persons; a person has at most {report.most_rows:,} rows. "
        f"{report.persons_over_rows:,} persons have more than max_rows = {report.max_rows}: without group keys "
        f"{report.rows_left_out:,} of their rows would not count."
    )
    yield _columns(report)
    biased = [column for column in report.columns if column.bias is not None]
    if biased:
        yield _biases(biased)
    spread = [column for column in report.columns if column.groups is not None and column.groups.persons_over]
    if spread:
        yield _groups(spread, report.max_groups)
    unmapped = [column for column in report.columns if column.unmapped]
    if unmapped:
        yield _unmapped(unmapped)
    suggestions = [column.suggestion for column in unmapped if column.suggestion]
    if suggestions:
        yield Text(f"Proposed for [datasets.{report.name}.columns] in node.toml; check every entry:", style="bold")
        yield Text("\n".join(suggestions), overflow="fold")
    for finding in report.findings:
        yield Text(f"! {finding}", style="yellow")


def _table(title: str, *headers: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, header in enumerate(headers):
        table.add_column(header, justify="left" if number == 0 else "right")
    return table


def _columns(report: DatasetReport) -> Table:
    table = _table(
        "Columns", "column", "type", "from", "missing", "outside the list", "no number", "clamped low", "clamped high", "seen"
    )
    for column in report.columns:
        seen = f"{column.lowest:g} … {column.highest:g}" if column.lowest is not None and column.highest is not None else ""
        counts = (column.missing, column.unmapped_rows, column.no_number.count, column.below.count, column.above.count)
        origin = Text(column.origin or "nothing", style="" if column.origin else "yellow")
        table.add_row(column.name, column.type, origin, *(f"{count:,}" if count else "" for count in counts), seen)
    return table


def _biases(columns: list[ColumnReport]) -> Table:
    table = _table(
        "What the person bounds change (all rows, no group keys)",
        "column",
        "mean",
        "bounded",
        "sum",
        "clipped",
        "clip",
        "persons clipped",
    )
    for column in columns:
        bias = column.bias
        assert bias is not None
        figures = (bias.mean_rows, bias.mean_bounded, bias.sum_rows, bias.sum_bounded, bias.clip)
        shown = ("" if figure is None else f"{figure:,.6g}" for figure in figures)
        table.add_row(column.name, *shown, f"{bias.persons_clipped:,}" if bias.persons_clipped else "")
    return table


def _groups(columns: list[ColumnReport], max_groups: int) -> Table:
    table = _table(
        f"What max_groups = {max_groups} leaves out when grouping by one column",
        "column",
        "most values of a person",
        "persons over",
        "person-values left out",
    )
    for column in columns:
        assert column.groups is not None
        table.add_row(column.name, f"{column.groups.most:,}", f"{column.groups.persons_over:,}", f"{column.groups.left_out:,}")
    return table


def _unmapped(columns: list[ColumnReport]) -> Table:
    table = _table("Values outside the code list", "column", "value", "rows", "first at", "becomes", "proposal")
    for column in columns:
        for value in column.unmapped:
            table.add_row(column.name, Text(value.value), f"{value.rows:,}", value.first, value.becomes, value.proposal)
        more = column.unmapped_values - len(column.unmapped)
        if more > 0:
            table.add_row(column.name, f"and {more:,} more values", "", "", "", "")
    return table
