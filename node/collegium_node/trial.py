"""A question tried on invented rows, by the code that a node answers with: preparation, snapshot, exact tally, noise.

The library finds this class through the entry point group `collegium.engines`. What is left out is what only a running node has:
policy, ledger, log and gate. So it is no way to ask about real rows: nothing is charged, and every try draws new noise and a new
secret, which would average away. The snapshot lives in a temporary folder and is gone with the answer.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from collegium.errors import Invalid
from collegium.layout import Layout
from collegium.schema import Schema
from collegium_node.config import ColumnConfig, CsvConfig, DatasetConfig, NodeConfig
from collegium_node.digest import NodeSecret
from collegium_node.embedded import Embedded
from collegium_node.snapshot import build_snapshot

__all__ = ["Trial"]


class Trial:
    """As `collegium.engines.TrialEngine` says."""

    def answer(self, folder: Path, schema: Schema, layouts: Sequence[Layout]) -> list[tuple[bytes, tuple[str, ...]]]:
        config = _config(folder, schema, {layout.question.dataset for layout in layouts})
        with TemporaryDirectory(prefix="collegium-trial-") as scratch:
            root, secret = Path(scratch), NodeSecret.generate()
            snapshot = build_snapshot("trial", config, schema, secret, root, time.time)
            engine = Embedded(root, secret)
            noisy = [engine.add_noise(layout, engine.tally(layout, schema, snapshot.id)) for layout in layouts]
        return [(each.payload, tuple(repr(scale) for scale in each.scales)) for each in noisy]


def _config(folder: Path, schema: Schema, datasets: Iterable[str]) -> NodeConfig:
    """The configuration of a node whose files have the schema's own names as headings."""
    sources: dict[str, CsvConfig] = {}
    mapped: dict[str, DatasetConfig] = {}
    for name in sorted(datasets):
        dataset = schema.dataset(name)
        file = folder / f"{name}.csv"
        headings = _headings(file)
        if dataset.person not in headings:
            raise Invalid(
                f"there is no column {dataset.person!r}", place=str(file), remedy=f"Make it with `collegium dummy {name}`."
            )
        sources[name] = CsvConfig(kind="csv", path=str(file.absolute()))
        columns = {column: ColumnConfig(column=column) for column in dataset.columns if column in headings}
        if not columns:
            raise Invalid(
                f"none of its columns is one of {name}", place=str(file), remedy=f"Make it with `collegium dummy {name}`."
            )
        mapped[name] = DatasetConfig(source=name, person=dataset.person, columns=columns)
    return NodeConfig(sources=dict(sources), datasets=mapped, file=(folder / "node.toml").absolute())


def _headings(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return next(csv.reader(lines), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"cannot be read: {error}", place=str(file), remedy=f"Make it with `collegium dummy {file.stem}`.") from None
