"""Structural zeros: cells that hold nothing by their meaning, declared in the catalogue or excluded by the population itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

from collegium.indicators.families import Columns, Family
from collegium.indicators.leaf import Expanded, Impossible
from collegium.indicators.possible import can_hold
from collegium.layout import Axis, Layout
from collegium.margins import Keys
from collegium.question import columns_of

__all__ = ["keys_of", "size_of", "zeros_of"]


def zeros_of(expanded: Expanded, family: Family, layout: Layout, margins: Sequence[Keys]) -> tuple[tuple[Keys, int], ...]:
    """The cells of a family's wanted margins that are 0, each with its margin; the finest margins first."""
    declared = (zero for each in expanded.impossible for zero in _zeros(each, family, layout, margins))
    return tuple(sorted({*declared, *_excluded(family, layout, margins)}, key=lambda zero: (-len(zero[0]), zero)))


def keys_of(layout: Layout, margin: Columns) -> Keys:
    """A margin by the positions of its columns among the question's axes."""
    return tuple(number for number, axis in enumerate(layout.axes) if axis.column in margin)


def size_of(layout: Layout, keys: Keys) -> int:
    """Cells of a margin."""
    return math.prod(layout.axes[key].size for key in keys)


def _zeros(impossible: Impossible, family: Family, layout: Layout, margins: Sequence[Keys]) -> list[tuple[Keys, int]]:
    """The impossible cells of the wanted margins that tell them apart, the finest margins first."""
    if impossible.dataset != family.source.dataset:
        return []
    names = {axis.column for axis in layout.axes}
    if not set(impossible.codes) <= names:
        return []
    needed = set(keys_of(layout, tuple(impossible.codes)))
    able = sorted((keys for keys in margins if needed <= set(keys)), key=lambda keys: -len(keys))
    return [(keys, cell) for keys in able for cell in range(size_of(layout, keys)) if _holds(impossible, layout, keys, cell)]


def _excluded(family: Family, layout: Layout, margins: Sequence[Keys]) -> Iterator[tuple[Keys, int]]:
    """The cells of the wanted margins that no row counted can be in, because of the population's condition or the filter."""
    conditions = [each for each in (family.source.population, family.operand.filter) if each is not None]
    told = {column for condition in conditions for column in columns_of(condition)}
    for keys in margins:
        if not told & {layout.axes[key].column for key in keys}:
            continue
        for cell, indices in enumerate(product(*(range(layout.axes[key].size) for key in keys))):
            known = {layout.axes[key].column: _code(layout.axes[key], index) for key, index in zip(keys, indices, strict=True)}
            if not all(can_hold(condition, known) for condition in conditions):
                yield keys, cell


def _code(axis: Axis, index: int) -> str | int | None:
    """What a cell of one axis says of a row's column, as conditions have it: a code, a number in steps, or None for unknown."""
    if index == axis.size - 1:
        return None
    return axis.labels[index] if axis.first is None else axis.first + index


def _holds(impossible: Impossible, layout: Layout, keys: Keys, cell: int) -> bool:
    for key in reversed(keys):
        cell, index = divmod(cell, layout.axes[key].size)
        codes = impossible.codes.get(layout.axes[key].column)
        if codes is not None and layout.axes[key].labels[index] not in codes:
            return False
    return True
