"""A SQL query over other sources by name, run by DuckDB in memory: join, filter, derive.

The query reaches the named sources and nothing else: external access is off and the settings are locked, so it reads no file, loads
no extension and opens no connection. A source's rows must be a function of their own person's rows and of public facts. A query
that ranks, limits or samples over all persons breaks that, and with it the guarantee; `cautions` finds the usual forms.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import sqlglot
from sqlglot import exp

from collegium.errors import Invalid, Refused
from collegium_node.config import SqlConfig
from collegium_node.sources.base import BATCH_ROWS, Batch, frame_of, require
from collegium_node.text import text_of

__all__ = ["SqlSource", "cautions", "tables_of"]

SETTINGS = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",  # a table name is a source, never a variable of this program
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",  # rows are never spilled to a folder nobody knows of
    "lock_configuration": "true",
}
Read = Callable[[str], Iterator[Batch]]


class SqlSource:
    """One query. `read` opens another source by name; `names` are those there are."""

    def __init__(self, config: SqlConfig, place: str, names: Sequence[str], read: Read) -> None:
        self.config = config
        self.place = place
        self.names = names
        self.read = read

    def batches(self, wanted: Sequence[str] | None) -> Iterator[Batch]:
        tables = tables_of(self.config.query, self.place)
        with duckdb.connect(":memory:", config=SETTINGS) as connection:
            for name in tables:
                if name not in self.names:
                    raise _no_source(name, self.names, self.place)
                connection.register(name, _table(self.read(name)))
            row = 1
            try:
                reader = connection.sql(self.config.query).to_arrow_reader(BATCH_ROWS)
                columns = require(reader.schema.names, wanted, self.place)
                for arrow in reader:
                    frame = frame_of(arrow, self.place)
                    yield Batch(frame.select(columns), self.place, row)
                    row += frame.height
            except duckdb.Error as error:
                raise _failed(error, self.place) from None
            if row == 1:
                empty = frame_of(reader.schema.empty_table(), self.place)
                yield Batch(empty.select(columns), self.place, row)


def tables_of(query: str, place: str) -> list[str]:
    """The tables a query reads, sorted, from DuckDB's own parse tree, so that what is checked is what runs.

    Raises:
        Refused: it is not one SELECT. Invalid: it does not parse.
    """
    with duckdb.connect(":memory:", config=SETTINGS) as connection:
        try:
            statements = connection.extract_statements(query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise Refused("a source is one SELECT", by="policy", place=place, remedy="Leave other statements out.")
            trees = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
        except duckdb.Error as error:
            raise _failed(error, place) from None
    tables: set[str] = set()
    local: set[str] = set()  # names of WITH tables
    _walk(json.loads(trees[0][0]), tables, local)
    return sorted(tables - local)


def cautions(query: str) -> list[str]:
    """Forms in a query through which one person's rows may depend on other persons. Advice: it cannot find them all."""
    try:
        tree = sqlglot.parse_one(query, dialect="duckdb")
    except sqlglot.errors.SqlglotError:
        return []
    found = {
        "LIMIT or OFFSET": tree.find(exp.Limit, exp.Offset) is not None,
        "a sample or a random number": tree.find(exp.TableSample, exp.Rand, exp.Randn) is not None,
        "a window without PARTITION BY": any(not window.args.get("partition_by") for window in tree.find_all(exp.Window)),
        "an aggregate compared or joined with rows": any(
            inner.args.get("group") is None
            and any(find.find_ancestor(exp.Window, exp.Select) is inner for find in inner.find_all(exp.AggFunc))
            for inner in tree.find_all(exp.Select)
        ),
    }
    return [name for name, there in found.items() if there]


def _walk(tree: Any, tables: set[str], local: set[str]) -> None:
    if isinstance(tree, dict):
        if tree.get("type") == "BASE_TABLE":
            tables.add(str(tree["table_name"]))
        local.update(str(entry["key"]) for entry in (tree.get("cte_map") or {}).get("map", ()))
        for branch in tree.values():
            _walk(branch, tables, local)
    elif isinstance(tree, list):
        for branch in tree:
            _walk(branch, tables, local)


def _no_source(name: str, names: Sequence[str], place: str) -> Refused | Invalid:
    known = f"The sources are: {', '.join(sorted(names))}."
    if Path(name).suffix or "/" in name or ":" in name:
        return Refused(
            f"a query may not open {name!r} by itself",
            by="policy",
            place=place,
            remedy="Declare the file as a source and name that.",
        )
    return Invalid(f"there is no source {name!r}", place=place, remedy=known)


def _table(batches: Iterator[Batch]) -> pa.Table:
    """All batches as one table. A column that files store in different types becomes text."""
    frames = [batch.frame for batch in batches]
    order = frames[0].columns
    frames = [frame.select(order) for frame in frames]
    mixed = [name for name in order if len({frame.schema[name] for frame in frames}) > 1]
    frames = [frame.with_columns(text_of(frame[name]) for name in mixed) for frame in frames] if mixed else frames
    return pl.concat(frames, rechunk=False).to_arrow()


def _failed(error: duckdb.Error, place: str) -> Refused | Invalid:
    if isinstance(error, duckdb.PermissionException):
        return Refused(
            "a query may not open files, networks or extensions by itself",
            by="policy",
            place=place,
            remedy="Declare the file as a source and name that.",
        )
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException | duckdb.InvalidInputException):
        # DuckDB's text would quote the value.
        return Invalid("a value cannot be converted", place=place, remedy="Use TRY_CAST, which gives NULL instead.")
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Invalid(first, place=place, remedy="Correct the query.")
