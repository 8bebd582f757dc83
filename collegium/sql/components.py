"""The components of one question, collected while its measures are compiled.

A component that two measures share is asked, and paid, once: AVG(x) and COUNT(x) have their count in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlglot import exp

from collegium.log.statement import canonical_json
from collegium.question import MAX_COMPONENTS, Component, Predicate
from collegium.schema import Column
from collegium.sql.keys import Key
from collegium.sql.scope import Scope

__all__ = ["Components", "default_clip"]

CLIP_LIMIT = 2**41  # steps; the question model's own limit


def default_clip(column: Column, max_rows: int) -> tuple[int, int]:
    """The clip of one person's sum in a cell, in steps: the schema's `person_max`, else max_rows times the bound; 0 is within."""
    if column.person_max is None:
        return min(0, max_rows * column.min_steps), max(0, max_rows * column.max_steps)
    top = int(column.person_max / column.step)
    return (-top if column.min_steps < 0 else 0), (top if column.max_steps > 0 else 0)


@dataclass
class Components:
    """Components in order of first use, each with rho 1 until the whole is known. `clips` are the asker's own, in steps."""

    scope: Scope
    max_rows: int
    clips: Mapping[str, tuple[int, int]]
    keys: Sequence[Key] = ()
    found: list[Component] = field(default_factory=list)
    asked_by: list[exp.Expr] = field(default_factory=list)
    closed: bool = False  # HAVING and ORDER BY look figures up; they never ask, and pay, for another
    _index: dict[bytes, int] = field(default_factory=dict)

    def add(
        self,
        node: exp.Expr,
        kind: str,
        *,
        column: str | None = None,
        other: str | None = None,
        condition: Predicate | None = None,
        filter: Predicate | None = None,
        edges: tuple[int, ...] | None = None,
        grid: tuple[int, int, int] | None = None,
    ) -> int:
        """The index of a component, new or asked already. Raises Invalid at `node` when there are too many."""
        parts: dict[str, Any] = {"kind": kind, "column": column, "other": other, "rho": 1}
        parts |= {"condition": condition, "filter": filter, "edges": edges, "grid": grid}
        if kind == "sum":
            assert column is not None
            parts["clip"] = self.clips.get(column) or default_clip(self.scope.dataset.columns[column], self.max_rows)
        try:
            component = Component.model_validate(parts)
        except ValidationError:  # the only part that can be out of range is the clip
            raise self.scope.source.refuse(
                node,
                f"one person's sum is clipped beyond {CLIP_LIMIT} steps",
                "Give a smaller clip, or ask with fewer rows of a person.",
            ) from None
        key = canonical_json(component.model_dump(mode="json", exclude_none=True))
        if key not in self._index and self.closed:
            words = self.scope.source.words(node)
            raise self.scope.source.refuse(node, f"SELECT does not show {words}", "Add it to SELECT.")
        if key not in self._index:
            if len(self.found) >= MAX_COMPONENTS:
                raise self.scope.source.refuse(
                    node, f"the measures need more than {MAX_COMPONENTS} components", "Ask several questions."
                )
            self._index[key] = len(self.found)
            self.found.append(component)
            self.asked_by.append(node)
        return self._index[key]
