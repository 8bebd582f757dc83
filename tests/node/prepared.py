"""The node's engine on snapshots that are made once, for tests that ask many questions of the same rows without a process.

As `collegium.engines.TrialEngine`: what `collegium ask --local` counts with, but for the preparation, which it repeats each time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from collegium.layout import Layout
from collegium.schema import Schema
from collegium.trial import Trial
from collegium_node.config import NodeConfig
from collegium_node.digest import NodeSecret
from collegium_node.embedded import Embedded
from collegium_node.snapshot import build_snapshot

__all__ = ["Prepared", "trial_of"]


class Prepared:
    """Universities by name; noise is drawn anew for every answer."""

    def __init__(self, nodes: Mapping[str, NodeConfig], schema: Schema, scratch: Path) -> None:
        secret = NodeSecret.generate()
        self._engines: dict[str, tuple[Embedded, str]] = {}
        for name, config in nodes.items():
            snapshot = build_snapshot("first", config, schema, secret, scratch / name, time.time)
            self._engines[name] = Embedded(scratch / name, secret), snapshot.id

    def answer(self, folder: Path, schema: Schema, layouts: Sequence[Layout]) -> list[tuple[bytes, tuple[str, ...]]]:
        engine, snapshot = self._engines[folder.name]
        noisy = [engine.add_noise(layout, engine.tally(layout, schema, snapshot)) for layout in layouts]
        return [(each.payload, tuple(repr(scale) for scale in each.scales)) for each in noisy]


def trial_of(nodes: Mapping[str, NodeConfig], facts: Mapping[str, str], schema: Schema, folder: Path) -> Trial:
    """A trial over nodes whose rows come from anywhere. `facts` by node, as TOML. A trial looks for files of datasets' names."""
    for name, config in nodes.items():
        (folder / name).mkdir()
        (folder / name / "facts.toml").write_text(facts.get(name, ""), encoding="utf-8")
        for dataset in config.datasets:
            (folder / name / f"{dataset}.csv").touch()
    return Trial(folder, schema, engine=Prepared(nodes, schema, folder.with_name(f"{folder.name}-snapshots")))
