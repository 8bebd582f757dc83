"""Which indicators of the federation's catalogues this campus can serve, and why not the others. It reads node.toml and no row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from collegium.errors import CollegiumError
from collegium.indicators.catalogue import parse_catalogue
from collegium.indicators.check import last_year
from collegium.indicators.coverage import Served
from collegium.indicators.expand import expand
from collegium.indicators.leaf import Expanded
from collegium.registration import CatalogueEntry
from collegium.schema import Schema
from collegium_node.config import NodeConfig
from collegium_node.mapping import plan_dataset

__all__ = ["CatalogueReport", "TableReport", "catalogue_reports", "render"]


@dataclass(frozen=True, slots=True)
class TableReport:
    """One table of a catalogue. `missing` gives for each column that is not served the indicators that rest on it."""

    dataset: str
    mapped: bool
    columns: int
    missing: Mapping[str, int]
    indicators: int
    served: int


@dataclass(frozen=True, slots=True)
class CatalogueReport:
    """One catalogue. `fault` is set, and all else is empty, where this version cannot read it or it does not fit the schema."""

    catalogue: str
    fault: str = ""
    indicators: int = 0
    served: int = 0
    tables: tuple[TableReport, ...] = ()


def catalogue_reports(config: NodeConfig, schema: Schema, catalogues: Mapping[str, CatalogueEntry]) -> tuple[CatalogueReport, ...]:
    """The newest version of each of the registry's catalogues against the configuration."""
    newest = {each.name: (id, each) for id, each in catalogues.items()}
    served = _served(config, schema)
    reports = []
    for id, entry in newest.values():
        try:
            catalogue = parse_catalogue(entry.toml, place=id)
            reports.append(_report(expand(catalogue, schema, last_year(catalogue, schema)), served))
        except CollegiumError as error:
            reports.append(CatalogueReport(id, fault=str(error)))
    return tuple(reports)


def render(report: CatalogueReport) -> Iterator[RenderableType]:
    """Lines and a table for a terminal."""
    yield Text(f"\nCatalogue {report.catalogue}", style="bold")
    if report.fault:
        yield Text(report.fault, style="yellow")
        return
    yield Text(
        f"This university can serve {report.served:,} of {report.indicators:,} indicators. In the others it counts as not covered."
    )
    table = Table()
    for number, head in enumerate(("table", "columns used", "not served", "indicators", "of these served")):
        table.add_column(head, justify="left" if number in (0, 2) else "right")
    for each in report.tables:
        lost = ", ".join(f"{column} ({count:,})" for column, count in each.missing.items()) if each.mapped else "the whole table"
        style = "yellow" if lost else ""
        table.add_row(each.dataset, f"{each.columns}", Text(lost, style=style), f"{each.indicators:,}", f"{each.served:,}")
    yield table
    if any(each.missing for each in report.tables):
        yield Text("In parentheses: indicators that rest on the column.")


def _served(config: NodeConfig, schema: Schema) -> Served:
    """A dataset whose mapping is wrong is served by nobody: its fault is reported with the dataset."""
    datasets: set[str] = set()
    absent: set[tuple[str, str]] = set()
    for name in config.datasets:
        try:
            plan = plan_dataset(name, config, schema)
        except CollegiumError:
            continue
        datasets.add(name)
        absent.update((name, column) for column in plan.absent)
    return Served(frozenset(datasets), frozenset(absent))


def _report(made: Expanded, served: Served) -> CatalogueReport:
    columns: dict[str, set[str]] = {}
    resting: Counter[tuple[str, str]] = Counter()
    indicators: Counter[str] = Counter()
    good: Counter[str] = Counter()
    whole = 0
    for leaf in made.leaves:
        covered = served.gap(leaf) is None
        whole += covered
        for dataset in {dataset for dataset, _ in leaf.columns}:
            indicators[dataset] += 1
            good[dataset] += covered
        for dataset, column in leaf.columns:
            columns.setdefault(dataset, set()).add(column)
            resting[dataset, column] += 1
    tables = []
    for dataset in sorted(columns):
        mapped = dataset in served.datasets
        missing = {
            column: resting[dataset, column] for column in sorted(columns[dataset]) if (dataset, column) in served.absent and mapped
        }
        tables.append(TableReport(dataset, mapped, len(columns[dataset]), missing, indicators[dataset], good[dataset]))
    return CatalogueReport(made.catalogue, "", len(made.leaves), whole, tuple(tables))
