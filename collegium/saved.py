"""A question kept as a file, to be asked again with other values: each year, each province.

    title = "Graduates by province"      # or { en = "...", zh = "..." }
    sql = "SELECT province, COUNT(*) AS graduates FROM graduate WHERE year = {year} GROUP BY province"   # or a list of statements
    epsilon = "0.3"                      # or rho; the same each time, so that a question already asked is found again
    purpose = "annual report"
    max_groups = 2                       # max_rows, max_groups and nodes are optional
    mode = "national"                    # optional: of statements that do not end in RELEASE
    ratio = "students / teachers"        # optional: of two figures of two statements
    [clip]
    salary = [0, 20000]
    [set]                                # values for the places in braces, unless --set says otherwise
    year = 2025

A value stands for itself: a place that is a code is written with its quotes in the statement, province = '{province}'.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from collegium.errors import Invalid

__all__ = ["Saved", "read_range", "read_saved", "read_values"]

PLACE = re.compile(r"\{([a-z][a-z0-9_]{0,62})\}")
VALUE = re.compile(r"(?=.{1,64}\Z)-?[\w.]+(-[\w.]+)*")  # nothing that ends a literal or begins a comment
MAX_RANGE = 100

Amount = str | int | Decimal


class _Title(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    en: str
    zh: str = ""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    sql: str | Annotated[tuple[str, ...], Field(min_length=1)]
    title: str | _Title = ""
    ratio: str | tuple[str, ...] = ()
    epsilon: Amount | None = None
    rho: Amount | None = None
    purpose: str = ""
    nodes: tuple[str, ...] | None = None
    max_rows: int | None = None
    max_groups: int | None = None
    mode: Literal["per_node", "national"] = "per_node"
    clip: dict[str, tuple[Amount, Amount]] = {}
    set: dict[str, str | int | Decimal] = {}


@dataclass(frozen=True, slots=True)
class Saved:
    """A question file that has been read."""

    place: str
    file: _File

    @property
    def title(self) -> str:
        """In English."""
        return self.title_in("en")

    def title_in(self, language: str) -> str:
        """In `en` or `zh`; the English one where there is no other, the file's name where there is none."""
        title = self.file.title
        if not isinstance(title, str):
            title = (title.zh if language == "zh" else "") or title.en
        return title or Path(self.place).stem

    @property
    def ratios(self) -> tuple[str, ...]:
        """Quotients across the statements, to be shown below their tables."""
        return (self.file.ratio,) if isinstance(self.file.ratio, str) else self.file.ratio

    @property
    def statements(self) -> tuple[str, ...]:
        """With their places in braces."""
        return (self.file.sql,) if isinstance(self.file.sql, str) else self.file.sql

    @property
    def names(self) -> tuple[str, ...]:
        """The names in braces, each once."""
        return tuple(dict.fromkeys(name for statement in self.statements for name in PLACE.findall(statement)))

    def settings(self, values: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The settings of `collegium.asking.Ask` with these values; `statements` among them.

        Raises:
            Invalid: a value is missing, or is of a name that no statement has, or is more than a number or a code.
        """
        known = {name: str(value) for name, value in self.file.set.items()} | dict(values or {})
        strangers = sorted(set(known) - set(self.names))
        if strangers:
            has = f"It has: {', '.join(self.names)}." if self.names else "It has none."
            raise Invalid(f"no statement has {{{strangers[0]}}}", place=f"{self.place}: set", remedy=has)
        missing = [name for name in self.names if name not in known]
        if missing:
            remedy = f"Say --set {missing[0]}=VALUE, or write it under [set]."
            raise Invalid(f"there is no value for {{{missing[0]}}}", place=self.place, remedy=remedy)
        for name, value in known.items():
            if not VALUE.fullmatch(value):
                raise Invalid(f"{value!r} is neither a number nor a code", place=f"{self.place}: {name}", remedy="Write one value.")
        file = self.file
        return {
            "statements": tuple(PLACE.sub(lambda match: known[match[1]], statement) for statement in self.statements),
            "epsilon": None if file.epsilon is None else str(file.epsilon),
            "rho": None if file.rho is None else str(file.rho),
            "purpose": file.purpose,
            "nodes": file.nodes,
            "max_rows": file.max_rows,
            "max_groups": file.max_groups,
            "mode": file.mode,
            "clips": {name: (str(low), str(high)) for name, (low, high) in file.clip.items()},
        }


def read_saved(path: Path) -> Saved:
    """The question in a file. Raises Invalid with the place of the first mistake."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        raise Invalid("there is no such file", place=str(path), remedy="Name a question file, such as graduates.toml.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise Invalid(f"cannot be read: {error}", place=str(path), remedy="Correct the TOML there.") from None
    try:
        file = _File.model_validate(tree)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        where = str(detail["loc"][0]) if detail["loc"] else ""
        raise Invalid(detail["msg"], place=f"{path}: {where}" if where else str(path)) from None
    return Saved(str(path), file)


def read_values(words: list[str] | tuple[str, ...]) -> dict[str, str]:
    """`year=2026` and the like, each name once. Raises Invalid."""
    values: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value) or name in values:
            raise Invalid(f"{word!r} sets nothing", place="--set", remedy="Write NAME=VALUE, such as year=2026, each name once.")
        values[name] = value
    return values


def read_range(text: str) -> tuple[str, list[str]]:
    """`year=2021:2025` or `year=2021,2023`: the name and its values in order. Raises Invalid."""
    name, equals, values = text.partition("=")
    found = [value.strip() for value in values.split(",") if value.strip()]
    first, colon, last = values.partition(":")
    if colon and first.isdigit() and last.isdigit() and int(first) <= int(last) < int(first) + MAX_RANGE:
        found = [str(number) for number in range(int(first), int(last) + 1)]
    elif colon:
        found = []
    if not (name and equals and found) or len(found) > MAX_RANGE or len(set(found)) != len(found):
        remedy = f"Write NAME=FIRST:LAST or NAME=VALUE,VALUE, at most {MAX_RANGE}, such as year=2021:2025."
        raise Invalid(f"{text!r} is no range of values", place="--over", remedy=remedy)
    return name, found
