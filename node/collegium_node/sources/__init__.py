"""Where rows come from: one small class for each `kind` of source, and the registry that opens them by name.

A kind is imported when a source of it is opened: a node without a database loads no driver.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from collegium.errors import Invalid
from collegium_node.config import CsvConfig, NodeConfig, ParquetConfig, SqlConfig
from collegium_node.sources.base import BATCH_ROWS, Batch, Source

__all__ = ["BATCH_ROWS", "Batch", "Source", "open_source", "read_source"]


def read_source(name: str, config: NodeConfig, wanted: Sequence[str] | None = None) -> Iterator[Batch]:
    """The rows of a source in batches, with the wanted columns or all. See `Source.batches` for what it raises."""
    return open_source(name, config).batches(wanted)


def open_source(name: str, config: NodeConfig, trail: tuple[str, ...] = ()) -> Source:
    """The source of that name; `trail` holds the SQL sources that are being opened, from the outermost in.

    Raises:
        Invalid: a SQL source reaches itself.
    """
    place = f"{config.file}: sources.{name}"
    if name in trail:
        raise Invalid(
            f"the query reaches itself: {' → '.join((*trail, name))}", place=place, remedy="Take one of them out of the circle."
        )
    source = config.sources[name]
    base = config.file.parent
    if isinstance(source, CsvConfig):
        from collegium_node.sources.csv import CsvSource

        return CsvSource(source, base, place)
    if isinstance(source, ParquetConfig):
        from collegium_node.sources.parquet import ParquetSource

        return ParquetSource(source, base, place)
    if isinstance(source, SqlConfig):
        from collegium_node.sources.sql import SqlSource

        inner = (*trail, name)
        return SqlSource(source, place, tuple(config.sources), lambda other: open_source(other, config, inner).batches(None))
    from collegium_node.sources.postgres import PostgresSource

    return PostgresSource(source, place)
