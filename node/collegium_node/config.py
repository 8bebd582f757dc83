"""node.toml as one frozen object: where the rows are and which column means what. Unknown keys are refused.

A complete example, which is also the manual::

    [node]
    name = "univ-a"                       # filled in by `join`

    [coordinator]
    mode = "dial"                         # "dial": the node calls out, no inbound port. "listen": the coordinator calls `listen`
    listen = "0.0.0.0:7444"
    proxy = ""                            # an HTTP CONNECT proxy, http://host:port

    [limits]
    answer_grid_ms = 0                    # answers leave on a grid of this many milliseconds, 0: at once
    max_parallel = 4                      # questions computed at the same time; the others wait

    [national]
    retention_days = 90                   # masked vectors are kept so long after the deadline of their national sum

    [metrics]
    listen = ""                           # "127.0.0.1:9464": Prometheus may fetch the figures there; loopback only

    [traces]
    export = false                        # spans of the steps of an answer, see the operators' page; needs answer_grid_ms >= 1000

    [sources.students]
    kind = "csv"                          # every column is read as text; .gz is unpacked
    path = "data/students-*.csv.gz"       # a file or a glob, relative to this file
    encoding = "utf-8"                    # or "gb18030"
    separator = ","
    null_values = ["NA"]                  # read as missing, as an empty value always is

    [sources.terms]
    kind = "parquet"
    path = "data/terms"                   # a file, a folder (all *.parquet below it) or a glob

    [sources.enrolled]
    kind = "sql"                          # DuckDB over the other sources by name; it reaches no file and no network
    query = "SELECT s.*, t.term FROM students s JOIN terms t USING (id)"

    [sources.staff]
    kind = "postgres"                     # a read-only session
    dsn_env = "STAFF_DSN"                 # the variable that holds the connection string; or `dsn`
    query = "SELECT id, age FROM staff"

    [datasets.enrolment]
    source = "enrolled"
    person = "id"                         # the source's column that tells persons apart

    [datasets.enrolment.columns]
    entry_year = "year_of_entry"                                            # as it is
    sex = { column = "sex", map = { Male = "1", Female = "2" }, default = "9" }  # `default`: for other values, not for missing ones
    study_level = { constant = "3" }

A value that `map` does not name is looked up as a code itself. Relative paths start at the folder of node.toml.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from collegium.errors import Invalid
from collegium.observing.settings import MetricsConfig
from collegium_node.steps import GRID_AT_LEAST

__all__ = [
    "ColumnConfig",
    "CoordinatorConfig",
    "CsvConfig",
    "DatasetConfig",
    "LimitsConfig",
    "NationalConfig",
    "NodeConfig",
    "NodeTable",
    "ParquetConfig",
    "PostgresConfig",
    "SourceConfig",
    "SqlConfig",
    "TracesConfig",
    "dsn_of",
    "parse_config",
    "read_config",
]

SourceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
DatasetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
PartyName = Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9-]{0,62})?$")]
Given = Annotated[str, StringConstraints(min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NodeTable(_Frozen):
    """`name` is empty until `join` has written it."""

    name: PartyName = ""


class CoordinatorConfig(_Frozen):
    mode: Literal["dial", "listen"] = "dial"
    listen: Annotated[str, StringConstraints(pattern=r"^\S+:\d{1,5}$")] = "0.0.0.0:7444"
    proxy: Annotated[str, StringConstraints(pattern=r"^(http://\S+)?$")] = ""


class LimitsConfig(_Frozen):
    answer_grid_ms: Annotated[int, Field(ge=0, le=600_000)] = 0
    max_parallel: Annotated[int, Field(ge=1, le=64)] = 4


class NationalConfig(_Frozen):
    """Masked vectors and sealed seeds are needed until a round is over, and for whoever looks at it again."""

    retention_days: Annotated[int, Field(ge=1, le=3650)] = 90


class TracesConfig(_Frozen):
    """Whether spans leave this node for the collector that OTEL_EXPORTER_OTLP_ENDPOINT names. See `collegium_node.steps`."""

    export: bool = False


class CsvConfig(_Frozen):
    kind: Literal["csv"]
    path: Given
    encoding: Literal["utf-8", "gb18030"] = "utf-8"
    separator: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    null_values: tuple[str, ...] = ()

    @field_validator("separator")
    @classmethod
    def _separates(cls, separator: str) -> str:
        if separator in '"\r\n' or not separator.isascii():
            raise ValueError("a separator is one ASCII character, and no quote or line end")
        return separator


class ParquetConfig(_Frozen):
    kind: Literal["parquet"]
    path: Given


class SqlConfig(_Frozen):
    kind: Literal["sql"]
    query: Given


class PostgresConfig(_Frozen):
    """Trusted with a database login: give it one that may only read. `dsn_env` keeps the password out of this file."""

    kind: Literal["postgres"]
    dsn: Annotated[str, Field(repr=False)] = ""
    dsn_env: str = ""
    query: Given

    @model_validator(mode="after")
    def _one_dsn(self) -> Self:
        if bool(self.dsn) == bool(self.dsn_env):
            raise ValueError("give `dsn` or `dsn_env`, one of them")
        return self


SourceConfig = Annotated[CsvConfig | ParquetConfig | SqlConfig | PostgresConfig, Field(discriminator="kind")]


class ColumnConfig(_Frozen):
    """Where a schema column comes from: a source column, perhaps with values mapped, or a constant."""

    column: Given | None = None
    map: dict[str, str] = {}
    default: str | None = None
    constant: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.column is None) == (self.constant is None):
            raise ValueError("give `column` or `constant`, one of them")
        if self.constant is not None and (self.map or self.default is not None):
            raise ValueError("`map` and `default` belong to `column`, not to `constant`")
        return self


class DatasetConfig(_Frozen):
    source: SourceName
    person: Given
    columns: Annotated[dict[DatasetName, ColumnConfig], Field(min_length=1)]

    @property
    def wanted(self) -> tuple[str, ...]:
        """The source's columns that this dataset reads, the person column first, each once."""
        mapped = (column.column for column in self.columns.values() if column.column is not None)
        return tuple(dict.fromkeys((self.person, *mapped)))


class NodeConfig(_Frozen):
    """The whole of node.toml; `file` is where it was read, for the places in errors and as the start of relative paths."""

    node: NodeTable = NodeTable()
    coordinator: CoordinatorConfig = CoordinatorConfig()
    limits: LimitsConfig = LimitsConfig()
    national: NationalConfig = NationalConfig()
    metrics: MetricsConfig = MetricsConfig()
    traces: TracesConfig = TracesConfig()
    sources: dict[SourceName, SourceConfig] = {}
    datasets: dict[DatasetName, DatasetConfig] = {}
    file: Annotated[Path, Field(exclude=True)]

    @model_validator(mode="after")
    def _traces_on_the_grid(self) -> Self:
        if self.traces.export and self.limits.answer_grid_ms < GRID_AT_LEAST:
            raise ValueError(f"traces.export needs limits.answer_grid_ms of at least {GRID_AT_LEAST}: spans tell times of answers")
        return self

    @model_validator(mode="after")
    def _sources_exist(self) -> Self:
        for name, dataset in self.datasets.items():
            if dataset.source not in self.sources:
                known = ", ".join(sorted(self.sources)) or "no source at all"
                raise ValueError(f"datasets.{name}: there is no source {dataset.source!r}; there is {known}")
        return self


def parse_config(text: str, file: Path) -> NodeConfig:
    """The configuration from its text. Raises Invalid with the place of the first mistake."""
    try:
        tree: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Invalid(str(error), place=str(file), remedy="Correct the TOML there.") from None
    if "file" in tree:
        raise Invalid("there is no such key", place=f"{file}: file", remedy="Take it out or correct its spelling.")
    try:
        return NodeConfig.model_validate({**tree, "file": file})
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        place = _place(detail["loc"])
        if detail["type"] == "extra_forbidden":
            raise Invalid("there is no such key", place=f"{file}: {place}", remedy="Take it out or correct its spelling.") from None
        message = detail["msg"].removeprefix("Value error, ")
        raise Invalid(message, place=f"{file}: {place}" if place else str(file)) from None


def _place(location: tuple[int | str, ...]) -> str:
    """The path as it stands in the file: without the kind by which a source's model was chosen."""
    parts = [str(part) for part in location if part != "[key]"]
    if parts and parts[0] == "sources":
        del parts[2:3]
    return ".".join(parts)


def read_config(path: Path) -> NodeConfig:
    """The configuration from its file. Raises Invalid when it is not there or wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Invalid("there is no such file", place=str(path), remedy="Make one with `collegium-node init`.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot be read: {error}", place=str(path)) from None
    return parse_config(text, path.absolute())


def dsn_of(config: PostgresConfig, place: str, environ: Mapping[str, str] = os.environ) -> str:
    """The connection string. Raises Invalid when its variable is not set."""
    if config.dsn:
        return config.dsn
    found = environ.get(config.dsn_env, "")
    if not found:
        raise Invalid(f"the variable {config.dsn_env} is not set", place=place, remedy="Set it to the connection string.")
    return found
