"""Turning the export of traces on, where the operator has. Off, whatever the environment says, unless node.toml says so too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from collegium.errors import CollegiumError
from collegium.observing.otlp import Otlp, from_environment
from collegium.party.lines import Lines
from collegium_node.config import NodeConfig
from collegium_node.home import Node
from collegium_node.steps import OFF, Steps

__all__ = ["Exported", "exported"]


@dataclass(frozen=True, slots=True)
class Exported:
    """`steps` makes spans, `sink` sends them; None when nothing is exported."""

    steps: Steps = OFF
    sink: Otlp | None = None

    def close(self) -> None:
        """Send what is left, for a moment."""
        if self.sink is not None:
            self.sink.close()


def exported(node: Node, config: NodeConfig, lines: Lines, environ: Mapping[str, str] = os.environ) -> Exported:
    """What this node exports, said in a line of its log. A mistake in the environment costs the traces, never the node."""
    if not config.traces.export:
        return Exported()
    try:
        sink = from_environment("collegium-node", environ)
    except CollegiumError as error:
        lines.failure("traces-not-exported", error)
        return Exported()
    if sink is None:
        lines.event("traces-not-exported", remedy="set OTEL_EXPORTER_OTLP_ENDPOINT")
        return Exported()
    grid = config.limits.answer_grid_ms / 1000
    lines.event("traces-exported", grid_ms=config.limits.answer_grid_ms)
    return Exported(Steps(sink, grid=grid, node=node.membership.name), sink)
