"""Invented rows from the public schema alone, to try a question before it is sent: `collegium dummy graduate --rows 1000`.

Nothing is known of real people here but what the schema says of everybody: codes and bounds. Shares, correlations and typical
values are therefore meaningless; what is right is the shape, so that every question of the grammar can be tried. Some values are
missing, and a person has as many rows as the schema allows one at most. Noise never comes from the generator used here.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from collegium.errors import Failed, Invalid
from collegium.schema import Column, Dataset, Schema

__all__ = ["FACTS", "dummy_rows", "write_dummy"]

FACTS = "facts.toml"
MISSING = 0.02
MAX_ROWS = 10_000_000
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fern", "grove", "heron", "iris", "juniper")


def write_dummy(
    schema: Schema, datasets: list[str], out: Path, *, rows: int, universities: int = 1, rng: random.Random | None = None
) -> list[Path]:
    """Writes DATASET.csv with so many rows at each of so many invented universities; the files made.

    One university: into `out` itself. More: into a folder each, with public facts spread over the schema's codes. Existing files
    of those names are replaced.

    Raises:
        Invalid: there is no such dataset, or a number is out of bounds.
        Failed: the folder cannot be written.
    """
    rng = rng or random.Random()  # noqa: S311 - invented rows
    if not 1 <= rows <= MAX_ROWS or not 1 <= universities <= 1000:
        raise Invalid("write 1 to 10,000,000 rows and 1 to 1,000 universities", place="dummy")
    for name in datasets:
        schema.dataset(name)
    made = []
    try:
        for number in range(universities):
            folder = out / _name(number) if universities > 1 else out
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FACTS).write_text(_facts(schema, number), encoding="utf-8")
            for name in datasets:
                dataset = schema.datasets[name]
                with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                    writer = csv.writer(file)
                    writer.writerow([dataset.person, *dataset.columns])
                    writer.writerows(dummy_rows(schema, dataset, rows, rng, first=number * rows))
                made.append(folder / f"{name}.csv")
    except OSError as error:
        raise Failed(f"cannot be written: {error.strerror}", place=str(out), remedy="Name another folder with --out.") from None
    return made


def dummy_rows(schema: Schema, dataset: Dataset, rows: int, rng: random.Random, *, first: int = 0) -> Iterator[list[str]]:
    """`rows` rows: the person's id, then the columns in the schema's order, as text; numbers in natural units."""
    makers = [_Maker(schema, column, rng) for column in dataset.columns.values()]
    person, left = first, 0
    for _ in range(rows):
        if left == 0:
            person, left = person + 1, rng.randint(1, dataset.max_rows)
        left -= 1
        yield [f"D{person:09}", *(maker() if rng.random() >= MISSING else "" for maker in makers)]


class _Maker:
    """Draws one value of a column as text."""

    def __init__(self, schema: Schema, column: Column, rng: random.Random) -> None:
        self.column, self.rng = column, rng
        self.codes = () if column.is_number else tuple(schema.values(column))
        # Unequal on purpose: equal shares would hide a mistake in the order of codes.
        self.weights = [1 / (1 + place) ** 0.5 for place in range(len(self.codes))]

    def __call__(self) -> str:
        if self.codes:
            return self.rng.choices(self.codes, self.weights)[0]
        low, high = self.column.min_steps, self.column.max_steps
        steps = low + (high - low) * self.rng.triangular(0, 1, 0.35)
        value = self.column.decode(min(high, max(low, round(steps))))
        return f"{value.quantize(Decimal(1).scaleb(-self.column.decimals)):f}"


def _name(number: int) -> str:
    again = number // len(WORDS)
    return f"{WORDS[number % len(WORDS)]}-campus" + (f"-{again + 1}" if again else "")


def _facts(schema: Schema, number: int) -> str:
    """The public facts of an invented university; codes taken in turn, so that a few universities lie in different provinces."""
    lines = ["# Public facts of an invented university, one code of the schema each."]
    for name, fact in schema.facts.items():
        codes = list(schema.codes[fact.codes])
        lines.append(f'{name} = "{codes[number * 5 % len(codes)]}"')
    return "\n".join(lines) + "\n"
