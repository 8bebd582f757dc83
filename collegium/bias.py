"""Where a question's own bounds may bend its figures. Told from the question and the public schema, never measured on data.

A bound that is never reached costs only noise; one that is reached often shifts the figure, and the interval does not show it,
for intervals speak of the bounded figure. So whoever sets a bound is told how much of the public range lies beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator

from collegium.layout import Layout, Part
from collegium.schema import Dataset

__all__ = ["bias_notes", "clipped_share"]


def bias_notes(layout: Layout, dataset: Dataset) -> Iterator[str]:
    """Sentences for the asker, one a bound that can matter."""
    bounds = layout.question.bounds
    seen: set[tuple[str | None, tuple[int, int] | None]] = set()
    for part in layout.parts:
        component = part.component
        if component.clip is None or component.column is None or (component.column, component.clip) in seen:
            continue
        seen.add((component.column, component.clip))
        column = dataset.columns[component.column]
        ends = " to ".join(f"{column.decode(end):f}" for end in component.clip)
        share = clipped_share(part, dataset)
        text = f"SUM({component.column}): a person's own sum is clipped to {ends}{' ' + column.unit if column.unit else ''}"
        if share > 0:
            text += f"; {share:.0%} of the public range of one row lies beyond the clip, so the sum may be too small"
        if bounds.max_rows > 1 or dataset.max_rows > 1:
            text += f"; a person may have {max(bounds.max_rows, dataset.max_rows)} rows, which the clip bounds together"
        yield text + "."
    if layout.axes and layout.cells > bounds.max_groups:
        keys = ", ".join(axis.column for axis in layout.axes)
        count = "one cell" if bounds.max_groups == 1 else f"{bounds.max_groups} cells"
        yield (
            f"GROUP BY {keys}: a person counts in at most {count} of {layout.cells}. If one person's rows can lie in more, as over "
            f"several years, figures are too small: raise --max-groups, at the price of more noise."
        )
    if bounds.max_rows < dataset.max_rows:
        where = "in all cells together" if bounds.scope == "person" else "in a cell"
        yield f"At most {bounds.max_rows} of a person's rows count {where}; the schema allows a person {dataset.max_rows}."


def clipped_share(part: Part, dataset: Dataset) -> float:
    """The part of a column's public range, from 0 to 1, that lies outside the clip of a sum."""
    clip, name = part.component.clip, part.component.column
    if clip is None or name is None:
        return 0.0
    column = dataset.columns[name]
    below, above = max(0, clip[0] - column.min_steps), max(0, column.max_steps - clip[1])
    return min(1.0, (below + above) / (column.max_steps - column.min_steps))
