"""Check what a snapshot would hold, before it is made: unmapped values, clamped numbers, duplicates, what the bounds leave out.

Reads everything once, keeps nothing, writes nothing. The report holds values and true counts and stays on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from collegium.errors import CollegiumError
from collegium.registration import CatalogueEntry
from collegium.schema import Schema
from collegium_node.config import NodeConfig, SqlConfig
from collegium_node.mapping import ColumnPlan, DatasetPlan, plan_dataset
from collegium_node.prepare import number_persons
from collegium_node.report import Bias, ColumnReport, DatasetReport, Groups, Places, Report, UnmappedValue
from collegium_node.servable import catalogue_reports
from collegium_node.sources import read_source
from collegium_node.sources.sql import cautions
from collegium_node.suggest import proposal_line, propose
from collegium_node.survey import AT, SHOWN_ROWS, Counted, RowNames, Seen, look, whole

__all__ = ["check"]

SHOWN_VALUES = 30
PERSON = "_person"


def check(config: NodeConfig, schema: Schema, catalogues: Mapping[str, CatalogueEntry] | None = None) -> Report:
    """Check every configured dataset, and what of the federation's catalogues of indicators it can serve.

    A dataset that cannot be read is reported as its `fault`; the others are still checked.
    """
    reports = []
    for name, dataset in config.datasets.items():
        try:
            reports.append(_check_dataset(plan_dataset(name, config, schema), config, schema))
        except CollegiumError as error:
            reports.append(DatasetReport(name, dataset.source, fault=str(error)))
    return Report(tuple(reports), catalogue_reports(config, schema, catalogues or {}))


def _check_dataset(plan: DatasetPlan, config: NodeConfig, schema: Schema) -> DatasetReport:
    rows, without = RowNames(), Counted()
    seen = {column.name: Seen() for column in plan.columns}
    frames: list[pl.DataFrame] = []
    ids: list[pl.Series] = []
    for batch in read_source(plan.config.source, config, plan.config.wanted):
        start = rows.enter(batch)
        mapped = plan.apply(batch.frame)
        here = mapped.person.is_not_null()
        without.add(~here, start)
        for column in plan.columns:
            look(column, batch.frame, start, seen[column.name])
        at = pl.int_range(start, start + batch.frame.height, dtype=pl.UInt32, eager=True).alias(AT)
        frames.append(mapped.frame.with_columns(at).filter(here))
        ids.append(mapped.person.filter(here))
    number, names = number_persons(ids)
    ids.clear()
    frame = pl.concat(frames).with_columns(pl.Series(PERSON, number))
    frames.clear()
    dataset = plan.dataset
    sizes = frame.group_by(PERSON).len()["len"]
    over = sizes.filter(sizes > dataset.max_rows)
    return DatasetReport(
        name=plan.name,
        source=plan.config.source,
        rows=rows.total,
        persons=len(names),
        without_person=without.places(rows),
        duplicates=_duplicates(frame, rows),
        max_rows=dataset.max_rows,
        max_groups=dataset.max_groups,
        most_rows=whole(sizes.max()),
        persons_over_rows=len(over),
        rows_left_out=whole(over.sum()) - len(over) * dataset.max_rows,
        columns=tuple(
            _column(column, seen[column.name], frame, dataset.max_rows, dataset.max_groups, rows, schema) for column in plan.columns
        ),
        cautions=(*_cautions(plan, config), *_lookalikes(pl.Series(pl.from_arrow(names), dtype=pl.String))),
    )


def _column(
    plan: ColumnPlan, seen: Seen, frame: pl.DataFrame, max_rows: int, max_groups: int, rows: RowNames, schema: Schema
) -> ColumnReport:
    config, column = plan.config, plan.column
    origin = "" if config is None else config.column if config.column is not None else f"constant {config.constant}"
    assert origin is not None
    if column.is_number:
        unit = float(column.step)
        return ColumnReport(
            name=plan.name,
            type=column.type,
            origin=origin,
            missing=seen.missing,
            no_number=seen.no_number.places(rows),
            below=seen.below.places(rows),
            above=seen.above.places(rows),
            lowest=None if seen.lowest is None else seen.lowest * unit,
            highest=None if seen.highest is None else seen.highest * unit,
            bias=_bias(plan, seen, frame, max_rows) if origin else None,
        )
    values = schema.values(column)
    becomes = config.default if config is not None and config.default is not None else "unknown"
    ordered = sorted(seen.values.items(), key=lambda item: (-item[1][0], item[1][1]))
    return ColumnReport(
        name=plan.name,
        type=column.type,
        origin=origin,
        missing=seen.missing,
        unmapped=tuple(
            UnmappedValue(value, count, rows.name(first), becomes, propose(value, values) or "")
            for value, (count, first) in ordered[:SHOWN_VALUES]
        ),
        unmapped_values=len(seen.values) + seen.distinct_more,
        unmapped_rows=seen.unmapped_rows,
        suggestion=proposal_line(plan.name, config, seen.values, values)
        if config is not None and config.column is not None
        else "",
        groups=_groups(plan.name, frame, max_groups) if origin else None,
    )


def _bias(plan: ColumnPlan, seen: Seen, frame: pl.DataFrame, max_rows: int) -> Bias:
    """A person with n rows keeps each with probability min(1, R/n): the choice is uniform over the person's own rows."""
    column, unit = plan.column, float(plan.column.step)
    high = (
        column.encode(column.person_max)
        if column.person_max is not None
        else max_rows * max(abs(column.max_steps), abs(column.min_steps))
    )
    low = 0 if column.min_steps >= 0 else -high
    value = pl.col(plan.name).cast(pl.Int64)
    people = frame.lazy().group_by(PERSON).agg(value.count().alias("n"), value.sum().alias("s")).filter(pl.col("n") > 0)
    weight = pl.min_horizontal(pl.col("n"), max_rows)
    kept, weighted, clipped, cut = (
        people.select(
            weight.sum(),
            (pl.col("s") * (weight / pl.col("n"))).sum().alias("w"),
            pl.col("s").clip(low, high).sum().alias("c"),
            (~pl.col("s").is_between(low, high)).sum().alias("cut"),
        )
        .collect()
        .row(0)
    )
    return Bias(
        mean_rows=seen.total / seen.numbers * unit if seen.numbers else None,
        mean_bounded=weighted / kept * unit if kept else None,
        sum_rows=seen.total * unit,
        sum_bounded=clipped * unit,
        clip=high * unit,
        persons_clipped=cut,
    )


def _groups(name: str, frame: pl.DataFrame, max_groups: int) -> Groups:
    spread = frame.lazy().select(PERSON, name).unique().group_by(PERSON).len().collect()["len"]
    over = spread.filter(spread > max_groups)
    return Groups(most=whole(spread.max()), persons_over=len(over), left_out=whole(over.sum()) - len(over) * max_groups)


def _duplicates(frame: pl.DataFrame, rows: RowNames) -> Places:
    keys = [name for name in frame.columns if name != AT]
    more = frame.lazy().group_by(keys).agg(pl.len(), pl.col(AT).sort().slice(1, SHOWN_ROWS)).filter(pl.col("len") > 1).collect()
    first = more[AT].explode().sort().head(SHOWN_ROWS).to_list()
    return Places(whole(more["len"].sum()) - more.height, tuple(rows.name(row) for row in first))


def _cautions(plan: DatasetPlan, config: NodeConfig) -> list[str]:
    """Forms in the SQL sources behind a dataset through which one person's rows may depend on others."""
    source = config.sources[plan.config.source]
    if not isinstance(source, SqlConfig):
        return []
    return [
        f"the query of {plan.config.source} has {form}: a person's rows must not depend on other persons, or the guarantee fails"
        for form in cautions(source.query)
    ]


def _lookalikes(names: pl.Series) -> list[str]:
    """Ids that differ only by case, leading zeros or a trailing .0: perhaps one person under two ids, who would count as two."""
    plain = names.str.to_lowercase().str.replace(r"\.0+$", "").str.strip_chars_start("0")
    more = len(names) - plain.n_unique() if len(names) else 0
    return (
        [f"{more:,} person ids differ from another only by case, leading zeros or a trailing .0; are they other persons?"]
        if more
        else []
    )
