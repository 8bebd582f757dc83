"""Which indicators the templates make, and their ids: U-S06-001 for the university, D01-S06-001 for discipline 01.

Serial numbers run through a secondary indicator, template after template, separately for the two levels, and are the same in every
discipline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collegium.indicators.catalogue import TOTAL, Catalogue, Some
from collegium.indicators.leaf import Level

__all__ = ["Slot", "slots"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One indicator to be. `template` is its index in the file; `dimension` and `value` are None for a total."""

    id: str
    level: Level
    template: int
    discipline: str | None
    dimension: str | None
    value: str | None


def slots(catalogue: Catalogue) -> Iterator[Slot]:
    """All indicators, the universities' first, then discipline after discipline. A dimension that does not exist has none."""
    for number, template, dimension, value in _numbered(catalogue, "university"):
        yield Slot(f"U-{catalogue.templates[template].secondary}-{number:03d}", "university", template, None, dimension, value)
    if catalogue.discipline is None:
        return
    inner = list(_numbered(catalogue, "discipline"))
    for code in catalogue.discipline.codes:
        for number, template, dimension, value in inner:
            secondary = catalogue.templates[template].secondary
            yield Slot(f"D{code}-{secondary}-{number:03d}", "discipline", template, code, dimension, value)


def _numbered(catalogue: Catalogue, level: Level) -> Iterator[tuple[int, int, str | None, str | None]]:
    """Serial number, template, dimension and value of the indicators of one level."""
    following: dict[str, int] = {}
    for index, template in enumerate(catalogue.templates):
        by, first = (
            (template.university, template.first_university)
            if level == "university"
            else (template.discipline, template.first_discipline)
        )
        number = first if first is not None else following.get(template.secondary, 1)
        for item in by:
            for dimension, value in _values(catalogue, item):
                yield number, index, dimension, value
                number += 1
        following[template.secondary] = number


def _values(catalogue: Catalogue, item: str | Some) -> Sequence[tuple[str | None, str | None]]:
    if isinstance(item, Some):
        return [(item.dimension, value) for value in item.values]
    if item == TOTAL:
        return [(None, None)]
    found = catalogue.dimensions.get(item)
    return [] if found is None else [(item, value) for value in found.values]
