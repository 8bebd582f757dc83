"""Populations that are a cell of another one's table: enrolled doctoral students are the enrolled ones of study level 1.

Where a condition names one code of a column by which the wider population is wanted anyway, its indicators are read from those
cells, and no table of its own is asked for. Persons of the narrower population may then fall in one cell only, as in every table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from collegium.indicators.leaf import Cell, Leaf
from collegium.question import In, Predicate

__all__ = ["absorb"]

_Narrow = tuple[str, Predicate, Predicate | None]
"""Dataset, population, and what is asked among its rows."""


def absorb(leaves: Sequence[Leaf]) -> list[Leaf]:
    """The same indicators, some of them as cells of a wider population. Their number and order stay."""
    cells: dict[_Narrow, set[Cell]] = {}
    for leaf in leaves:
        for narrow, cell in _uses(leaf):
            cells.setdefault(narrow, set()).add(cell)
    moved = {narrow for narrow in cells if _moves(narrow, cells)}
    return [_moved(leaf, moved) for leaf in leaves]


def _uses(leaf: Leaf) -> Iterator[tuple[_Narrow, Cell]]:
    yield (leaf.dataset, leaf.population, leaf.among), leaf.cell
    if leaf.denominator_dataset is None:
        yield (leaf.dataset, leaf.population, leaf.among), leaf.denominator_cell
    elif leaf.denominator_population is not None:
        yield (leaf.denominator_dataset, leaf.denominator_population, leaf.denominator_among), leaf.denominator_cell


def _moves(narrow: _Narrow, cells: dict[_Narrow, set[Cell]]) -> bool:
    """All its cells have at most one column yet, another one, and the wider population is wanted by this column."""
    dataset, population, among = narrow
    code = _code(among)
    if code is None:
        return False
    wider = cells.get((dataset, population, None), set())
    return all(len(cell) <= 1 and code[0] not in _columns(cell) for cell in cells[narrow]) and any(
        code[0] in _columns(cell) for cell in wider
    )


def _code(among: Predicate | None) -> tuple[str, str] | None:
    """The column and the one code that the condition asks for."""
    if not isinstance(among, In) or len(among.values) != 1 or not isinstance(among.values[0], str):
        return None
    return among.column, among.values[0]


def _columns(cell: Iterable[tuple[str, str]]) -> set[str]:
    return {column for column, _ in cell}


def _moved(leaf: Leaf, moved: set[_Narrow]) -> Leaf:
    code = _code(leaf.among)
    if code is not None and (leaf.dataset, leaf.population, leaf.among) in moved:
        leaf = replace(leaf, among=None, where=leaf.population, cell=(code, *leaf.cell))
        if leaf.denominator_dataset is None:
            leaf = replace(leaf, denominator_cell=(code, *leaf.denominator_cell))
    code = _code(leaf.denominator_among)
    if leaf.denominator_dataset is None or leaf.denominator_population is None or code is None:
        return leaf
    if (leaf.denominator_dataset, leaf.denominator_population, leaf.denominator_among) in moved:
        below = (code, *leaf.denominator_cell)
        leaf = replace(leaf, denominator_among=None, denominator_where=leaf.denominator_population, denominator_cell=below)
    return leaf
