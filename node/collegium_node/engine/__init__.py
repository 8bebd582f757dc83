"""The engine interface: `tally(layout, data, schema=..., secret=...)` gives an `ExactTally`; every engine the same integers."""

from __future__ import annotations

from collegium_node.engine.embedded import tally
from collegium_node.engine.exact import ExactTally
from collegium_node.engine.warm import warm_up

__all__ = ["ExactTally", "tally", "warm_up"]
