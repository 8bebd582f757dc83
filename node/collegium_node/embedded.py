"""The engine that a node runs by itself: memory-mapped snapshots, Polars columns, the compiled kernel, OpenDP's noise.

Everything heavy is imported here and nowhere on the way to a command that does not count.
"""

from __future__ import annotations

from pathlib import Path

from collegium.layout import Layout
from collegium.log.note import Verifier
from collegium.national.statements import Plan
from collegium.national.submission import Hidden
from collegium.schema import Schema
from collegium_node.digest import NodeSecret
from collegium_node.engine.embedded import tally
from collegium_node.engine.exact import ExactTally
from collegium_node.noise import NoisyTally, add_noise, hide_share
from collegium_node.snapshot import load, read_snapshot

__all__ = ["Embedded"]


class Embedded:
    """Counts and adds noise over the snapshots below `root`. `secret` decides which rows of a person count, see `digest`."""

    def __init__(self, root: Path, secret: NodeSecret) -> None:
        self._root = root
        self._secret = secret

    def has(self, snapshot: str, dataset: str) -> bool:
        """Whether the folder is there; nothing of its content is looked at."""
        try:
            return dataset in read_snapshot(self._root, snapshot).datasets
        except Exception:
            return False

    def tally(self, layout: Layout, schema: Schema, snapshot: str) -> ExactTally:
        """The exact figures. Raises Failed, reason `snapshot-gone`, when the rows are no longer there."""
        return tally(layout, load(self._root, snapshot, layout.question.dataset), schema=schema, secret=self._secret.key)

    def add_noise(self, layout: Layout, tally: ExactTally) -> NoisyTally:
        return add_noise(layout, tally)

    def hide_share(self, tally: ExactTally, plan_note: bytes, plan: Plan, member: int, node: Verifier) -> Hidden:
        return hide_share(tally, plan_note, plan, member, node)
