"""How many different persons a national COUNT(DISTINCT person) can be: universities count their own, and nobody matches them.

At one university the figure is of different persons, exactly up to the noise. A sum over universities counts a person once at each.
The schema declares at how many universities, m, one person can be; so of a sum S over k universities the different persons are

    S / min(m, k)   to   S

and with the 95 % interval of S the different persons lie between low / min(m, k) and high at least as surely. Nothing closer can be
said without matching people across universities, which no party here does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collegium.table import FactGroup, Row

if TYPE_CHECKING:
    from collegium.answer import TableView

__all__ = ["Overlap", "overlap_notes", "overlaps"]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Of one figure: between how many different persons it is, if one can be at `nodes` of the universities that answered."""

    measure: str
    group: FactGroup
    row: Row
    nodes: int
    low: int
    high: int


def overlaps(view: TableView) -> Iterator[Overlap]:
    """One for every figure of COUNT(DISTINCT person) that several universities add up to, if one person can be at several."""
    question = view.figures.question
    schema = view.registry.schemas[question.schema_id]
    most = schema.units[schema.datasets[question.dataset].unit].max_nodes_per_person
    for number, measure in enumerate(view.figures.view.measures):
        if measure.kind != "value" or question.components[measure.parts[0]].kind != "people":
            continue
        for group, row in view.shown():
            figure = row.figures[number]
            nodes = min(most, group.coverage.answered)
            if nodes > 1 and figure.low is not None and figure.high is not None:
                low, high = math.ceil(float(figure.low) / nodes), math.floor(float(figure.high))
                yield Overlap(measure.label, group, row, nodes, low, high)


def overlap_notes(view: TableView) -> list[str]:
    """One sentence a measure: with numbers where there is one figure of the whole federation, else the rule."""
    sentences = []
    found: dict[str, list[Overlap]] = {}
    for each in overlaps(view):
        found.setdefault(each.measure, []).append(each)
    for measure, of in found.items():
        whole = [each for each in of if not each.group.facts]
        most = max(each.nodes for each in of)
        if view.language == "zh":
            text = f"“{measure}”:同一人最多出现在 {most} 所机构,每所各计一次,未跨机构去重;"
            if len(whole) == 1:
                text += f"不同的人数在 {whole[0].low:,} 至 {whole[0].high:,} 之间(95%)。"
            else:
                text += f"不同的人数在该数的 1/{most} 与该数之间。"
        else:
            text = f"{measure}: one person can be at {most} universities and counts once at each; "
            if len(whole) == 1:
                text += f"different persons in all: between {whole[0].low:,} and {whole[0].high:,} (95 %)."
            else:
                text += f"different persons: between 1/{most} of a figure and the figure."
        sentences.append(text)
    return sentences
