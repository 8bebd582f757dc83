"""Invented graduates, as a university's own export: a CSV file and the node.toml that maps it. A few kinds of campus, each with
rows of its own; the universities of a rehearsal are of one kind or another. Seeded, because nobody is described; noise never is.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from collegium.schema import Schema
from collegium_node.config import read_config
from collegium_node.digest import NodeSecret, load_secret
from collegium_node.snapshot import Snapshot, build_snapshot

__all__ = ["KINDS", "Graduate", "Kind", "kind_of", "people", "prepare_kinds"]

KINDS = 8
"""Different sets of rows."""

NODE_TOML = """\
[sources.graduates]
kind = "csv"
path = "graduates.csv"

[datasets.graduate]
source = "graduates"
person = "pid"
[datasets.graduate.columns]
year = "year"
gender = "gender"
placed = "placed"
salary = "salary"
"""


class Graduate(NamedTuple):
    """One invented person; `salary` is None for who has found no work."""

    year: int
    gender: str
    placed: bool
    salary: int | None


@dataclass(frozen=True, slots=True)
class Kind:
    """Prepared rows, the secret they were prepared with, and the folder they lie in."""

    root: Path
    snapshot: Snapshot
    secret: NodeSecret


def kind_of(number: int) -> int:
    """The kind of university `number`."""
    return number % KINDS


def people(kind: int, persons: int) -> list[Graduate]:
    """The graduates of a university of this kind, about `persons` of them; the same at every call."""
    chance = random.Random(f"collegium rehearsal {kind}")  # noqa: S311 (invented people)
    made = []
    for _ in range(persons // 2 + kind * persons // KINDS):
        placed = chance.random() < 0.6 + 0.03 * kind
        salary = round(chance.lognormvariate(8.7, 0.35)) if placed else None
        made.append(Graduate(chance.choice((2024, 2025)), chance.choice("12"), placed, salary))
    return made


def prepare_kinds(folder: Path, schema: Schema, *, persons: int) -> list[Kind]:
    """A snapshot of each kind below `folder`, made by the node's own preparation from a CSV file."""
    made = []
    for number in range(KINDS):
        root = folder / f"kind-{number}"
        root.mkdir(parents=True, exist_ok=True)  # a process that is started again prepares anew, as another snapshot
        lines = ["pid,year,gender,placed,salary"]
        for person, each in enumerate(people(number, persons)):
            salary = "" if each.salary is None else each.salary
            lines.append(f"P{person:07},{each.year},{each.gender},{int(each.placed)},{salary}")
        (root / "graduates.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (root / "node.toml").write_text(NODE_TOML, encoding="utf-8")
        secret = load_secret(root / "snapshot.key")
        made.append(Kind(root, build_snapshot("autumn", read_config(root / "node.toml"), schema, secret, root, time.time), secret))
    return made
