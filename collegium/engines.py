"""Engines that count rows, found by name and never imported here: the library holds none, a node's installation declares one.

A distribution declares an engine under the entry point group `collegium.engines`. Only `collegium.trial` looks for one, to try a
question on invented rows; where none is installed, the refusal says what to install.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from collegium.errors import Invalid
from collegium.layout import Layout
from collegium.schema import Schema

__all__ = ["GROUP", "TrialEngine", "trial_engine"]

GROUP = "collegium.engines"


class TrialEngine(Protocol):
    """Answers from CSV files as a node answers from its snapshot."""

    def answer(self, folder: Path, schema: Schema, layouts: Sequence[Layout]) -> list[tuple[bytes, tuple[str, ...]]]:
        """For each layout, the noisy tally (int64 little endian) and the scale of each component's noise as text.

        The rows of dataset NAME are in `folder`/NAME.csv, with the schema's own names as headings. Raises Invalid with the place
        of what cannot be read.
        """
        ...


def trial_engine(found: Sequence[EntryPoint] | None = None) -> TrialEngine:
    """The installed engine. Raises Invalid, with what to install, when there is none."""
    points = sorted(entry_points(group=GROUP) if found is None else found, key=lambda point: point.name)
    broken = ""
    for point in points:
        try:
            engine: TrialEngine = point.load()()
        except ImportError as error:
            broken = f"; {point.name} cannot be loaded ({error})"
            continue
        return engine
    raise Invalid(
        f"no engine is installed here that can count rows{broken}",
        place="--local",
        remedy="Install the node's part beside the library (`pip install collegium-node`), on a machine without real data.",
    )
