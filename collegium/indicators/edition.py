"""What one year's measurement says: every indicator with its national figure and one for each province.

    Edition      catalogue · period · request · costs · tree · leaves
    LeafFigures  title, definition and unit of one indicator; its national figure and one for each province; its coverage
    Estimate     value · low · high · error · mark

As a file (`figures.json`) it is canonical JSON, with the places of numbers that a double has: whoever has the bundle makes the same
bytes again. A figure that is not there is None and says why; it is never a zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from collegium.errors import Invalid
from collegium.schema import Text

__all__ = ["Branch", "Cost", "Coverage", "Edition", "Estimate", "LeafFigures", "Mark", "Missing"]

Mark = Literal["", "…", "—"]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Closed):
    """One figure in the indicator's unit, with its 95 % interval. `high` None beside a `low`: there is no upper limit.

    `mark`: "…" the half-width exceeds the catalogue's share of the value, "—" not released. Decided from noisy values alone.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    error: float | None = None
    mark: Mark = ""


class Missing(_Closed):
    """A university that is not in a figure. `reason` is a key of the public table of reasons."""

    node: str
    reason: str


class Coverage(_Closed):
    """Who is in a figure: universities, and the enrolment that the registry knows of them."""

    asked: int
    answered: int
    enrolment_asked: int = 0
    enrolment_answered: int = 0
    missing: tuple[Missing, ...] = ()


class Branch(_Closed):
    """A primary or secondary indicator; `parent` is the primary one of a secondary."""

    id: str
    title: Text
    parent: str = ""


class Cost(_Closed):
    """What the whole measurement costs a person of one privacy unit at one university."""

    unit: str
    title: Text
    nano_rho: int
    epsilon: float
    sentence: Text


class LeafFigures(_Closed):
    """One indicator with its figures, and what a reader is told of it."""

    id: str
    level: Literal["university", "discipline"]
    secondary: str
    title: Text
    unit: Text
    measure: str
    dimension: str = ""
    value: str = ""
    discipline: str = ""
    dataset: str
    privacy_unit: str
    period: Text
    numerator: Text
    denominator: Text | None = None
    population: Text
    clip: tuple[float, float] | None = None  # of one person's own sum, in the column's unit
    national: Estimate
    provinces: dict[str, Estimate] = {}
    coverage: Coverage

    @property
    def same(self) -> tuple[str, str, str]:
        """What a discipline's indicator has in common with the university's: measure, dimension, value."""
        return self.measure, self.dimension, self.value


class Edition(_Closed):
    """A whole measurement. `bundle` is the name of the file, beside this one, that proves every figure."""

    federation: str
    catalogue: str
    title: Text
    note: Text
    year: int
    mode: str
    requests: tuple[str, ...]
    bundles: tuple[str, ...]
    delta: str
    costs: tuple[Cost, ...]
    coverage: Coverage
    primaries: tuple[Branch, ...]
    secondaries: tuple[Branch, ...]
    provinces: dict[str, Text]
    disciplines: dict[str, Text]
    leaves: tuple[LeafFigures, ...]

    @cached_property
    def by_id(self) -> dict[str, LeafFigures]:
        """The indicators by their ids."""
        return {leaf.id: leaf for leaf in self.leaves}

    @cached_property
    def _alike(self) -> dict[tuple[str, str, str], tuple[LeafFigures, ...]]:
        """Those of disciplines, by what they have in common with the university's."""
        found: dict[tuple[str, str, str], list[LeafFigures]] = {}
        for leaf in self.leaves:
            if leaf.level == "discipline":
                found.setdefault(leaf.same, []).append(leaf)
        return {same: tuple(leaves) for same, leaves in found.items()}

    def leaf(self, id: str) -> LeafFigures:
        """Raises Invalid when there is none of that id."""
        if id in self.by_id:
            return self.by_id[id]
        near = [leaf.id for leaf in self.leaves if id.upper() in leaf.id][:5]
        remedy = f"Did you mean {', '.join(near)}?" if near else "List them with `collegium indicators list`."
        raise Invalid(f"there is no indicator {id!r}", place="indicator", remedy=remedy)

    def by_discipline(self, leaf: LeafFigures) -> tuple[LeafFigures, ...]:
        """The same indicator of each discipline, in the catalogue's order; none where it is not given by discipline."""
        if leaf.level != "university":
            return ()
        return self._alike.get(leaf.same, ())

    def of_secondary(self, secondary: str) -> tuple[LeafFigures, ...]:
        """The indicators for universities that hang on one branch."""
        return tuple(leaf for leaf in self.leaves if leaf.secondary == secondary and leaf.level == "university")

    def to_bytes(self) -> bytes:
        """Canonical JSON, UTF-8, one line."""
        tree = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(tree, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"

    @classmethod
    def read(cls, path: Path) -> Edition:
        """Raises Invalid with the place of what is wrong."""
        try:
            tree: Mapping[str, Any] = json.loads(path.read_bytes())
            return cls.model_validate(tree)
        except OSError as error:
            remedy = "Measure first: collegium indicators measure --period YEAR"
            raise Invalid(f"cannot be read: {error.strerror}", place=str(path), remedy=remedy) from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = f"{path}, {'.'.join(map(str, first['loc']))}"
            raise Invalid(first["msg"], place=place, remedy="Make it again from its bundle.") from None
        except ValueError as error:
            raise Invalid(f"this is no JSON: {error}", place=str(path), remedy="Make it again from its bundle.") from None
