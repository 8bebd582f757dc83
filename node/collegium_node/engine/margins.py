"""Margins: every component is counted once at full detail, whatever margins of it were asked, and added up afterwards.

Integer addition: the margins of one table are sums of the same cells, so they agree with one another to the last integer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from collegium.layout import Layout, Part
from collegium.question import Component
from collegium_node.choice import Int64s

__all__ = ["fold", "full_detail"]


def full_detail(layout: Layout) -> Layout:
    """The layout whose parts are the different components of `layout`, each with all cells. The same one if nothing is a margin.

    It is the kernel's alone: nothing is ever released in it, and its parts' rho means nothing.
    """
    if all(part.keep is None for part in layout.parts):
        return layout
    parts: dict[Component, Part] = {}
    start = 0
    for part in layout.parts:
        bare = _bare(part)
        if bare not in parts:
            parts[bare] = replace(part, component=bare, start=start, width=part.width * part.crowd, keep=None, crowd=1)
            start = parts[bare].stop
    return Layout(layout.question, layout.unit, layout.axes, tuple(parts.values()))


def fold(layout: Layout, full: Layout, tally: Int64s) -> Int64s:
    """int64[layout.length] from int64[full.length]."""
    if full is layout:
        return tally
    at = {part.component: part for part in full.parts}
    sizes = tuple(axis.size for axis in layout.axes)
    result = np.empty(layout.length, dtype=np.int64)
    for part in layout.parts:
        source = at[_bare(part)]
        cells = tally[source.start : source.stop].reshape(*sizes, -1)  # bins last
        if part.keep is not None:
            cells = cells.sum(axis=tuple(number for number in range(len(sizes)) if number not in part.keep), dtype=np.int64)
        result[part.start : part.stop] = cells.ravel()
    return result


def _bare(part: Part) -> Component:
    return part.component.model_copy(update={"margin": None, "rho": 1})
