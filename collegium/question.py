"""The closed question model: what a node can be asked, and nothing else.

A question is a dataset, a filter, group keys, person bounds, a release mode and components, each with its rho. Components are
linear: counts, sums, bins. What a researcher calls a mean or a share is a *view* over components, applied after the noise on the
national sum; a node never sees views. The digest of a question is over its canonical form, in which order of terms, labels,
researcher and view play no part, so that the same question asked twice is found.

    Predicate   and | or | not | in | range | unknown          three-valued, as in SQL: a null is neither inside nor outside
    GroupKey    a category, boolean or whole-number column, a number with public edges, or cases
    Component   people | rows | sum | count | total | squares | product | bins
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from collegium.errors import Invalid
from collegium.log.statement import canonical_json

__all__ = [
    "MAX_DEPTH",
    "And",
    "Bounds",
    "Component",
    "GroupKey",
    "In",
    "Not",
    "Or",
    "Predicate",
    "Question",
    "Range",
    "Unknown",
    "canonical_predicate",
    "columns_of",
]

MAX_DEPTH = 16
MAX_TERMS = 512
MAX_COMPONENTS = 64
MAX_CASES = 64

ColumnName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Steps = Annotated[int, Field(ge=-(2**41), le=2**41, strict=True)]
NanoRho = Annotated[int, Field(ge=1, le=10**15, strict=True)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class In(_Closed):
    """The column has one of these values: codes of a category or boolean, or numbers in steps."""

    op: Literal["in"] = "in"
    column: ColumnName
    values: Annotated[tuple[Annotated[str, StringConstraints(max_length=64)] | Steps, ...], Field(min_length=1, max_length=1000)]


class Range(_Closed):
    """min ≤ column ≤ max, in steps, both ends included; None is open."""

    op: Literal["range"] = "range"
    column: ColumnName
    min: Steps | None = None
    max: Steps | None = None

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a range needs at least one end")
        return self


class Unknown(_Closed):
    """The value is null or outside the public list. Never itself unknown."""

    op: Literal["unknown"] = "unknown"
    column: ColumnName


class And(_Closed):
    op: Literal["and"] = "and"
    args: Annotated[tuple[Predicate, ...], Field(min_length=2, max_length=MAX_TERMS)]


class Or(_Closed):
    op: Literal["or"] = "or"
    args: Annotated[tuple[Predicate, ...], Field(min_length=2, max_length=MAX_TERMS)]


class Not(_Closed):
    op: Literal["not"] = "not"
    arg: Predicate


Predicate = Annotated[In | Range | Unknown | And | Or | Not, Field(discriminator="op")]

And.model_rebuild()
Or.model_rebuild()
Not.model_rebuild()


class GroupKey(_Closed):
    """A group key. With `edges` e0 < … < ek in steps: the bins [e0, e1), …, [ek-1, ek], the last closed; all else is unknown.

    A whole-number column without edges has one cell for each value between its bounds.

    With `cases`: a row lies in the cell of the first condition that is true for it, and in the last cell if none is. The key then
    is of no column; it is called case1, case2, ... by its place among such keys, so that titles play no part in the digest.
    """

    column: ColumnName
    edges: Annotated[tuple[Steps, ...], Field(min_length=2, max_length=1001)] | None = None
    cases: Annotated[tuple[Predicate, ...], Field(min_length=1, max_length=MAX_CASES)] | None = None

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if self.edges is not None and any(a >= b for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges must increase")
        if self.cases is not None and self.edges is not None:
            raise ValueError("a key has edges or cases, not both")
        return self


class Component(_Closed):
    """One linear statistic in every cell; `filter` narrows the rows it sees within the person's chosen cells.

    people   persons with at least one row
    rows     rows, at most max_rows of a person in a cell
    sum      the person's own sum of `column` in the cell, clipped to `clip`
    count    rows whose operand is not null, at most max_rows of a person in a cell, chosen by the keyed hash
    total    sum over the same rows of value - centre (a condition counts +1 for true, -1 for false)
    squares  sum over the same rows of (value - centre)² - offset
    product  sum over rows in which both are known of (value of `column` - its centre) × (value of `other` - its centre)
    bins     the same rows counted by public `edges`, by a `grid` of first edge, width and number of bins, or by code, with a last
             bin for unknown

    The operand of count, total, squares is `column` (a number) or, for count and total, `condition`.

    With `margin`, the names of some of the question's keys in their order, the figures of the cells are added up over all other
    keys before the noise: the margins of one table add up exactly, because a person's cells are chosen once for all of them.
    """

    kind: Literal["people", "rows", "sum", "count", "total", "squares", "product", "bins"]
    column: ColumnName | None = None
    other: ColumnName | None = None
    condition: Predicate | None = None
    filter: Predicate | None = None
    clip: tuple[Steps, Steps] | None = None
    edges: Annotated[tuple[Steps, ...], Field(min_length=2, max_length=1001)] | None = None
    grid: (
        tuple[Steps, Annotated[int, Field(ge=1, le=2**41, strict=True)], Annotated[int, Field(ge=1, le=1000, strict=True)]] | None
    ) = None
    margin: Annotated[tuple[ColumnName, ...], Field(max_length=8)] | None = None
    rho: NanoRho

    @model_validator(mode="after")
    def _shape(self) -> Self:
        needs_operand = self.kind in ("count", "total", "squares", "sum", "bins", "product")
        if needs_operand and (self.column is None) == (self.condition is None):
            raise ValueError(f"{self.kind} needs a column or a condition, and not both")
        if not needs_operand and (self.column is not None or self.condition is not None):
            raise ValueError(f"{self.kind} takes neither a column nor a condition")
        if self.condition is not None and self.kind not in ("count", "total"):
            raise ValueError(f"{self.kind} takes a column, not a condition")
        if (self.other is not None) != (self.kind == "product"):
            raise ValueError("a product is of two columns, and only a product names another")
        if self.other is not None and self.column is not None and self.other <= self.column:
            raise ValueError("the columns of a product are two, in the order of their names")
        if (self.clip is not None) != (self.kind == "sum"):
            raise ValueError("a sum needs a clip, and only a sum has one")
        if self.clip is not None and self.clip[0] >= self.clip[1]:
            raise ValueError("the clip's ends must increase")
        if self.grid is not None and (self.kind != "bins" or self.edges is not None):
            raise ValueError("only bins have a grid, and then no edges")
        if self.edges is not None:
            if self.kind != "bins":
                raise ValueError("only bins have edges")
            if any(a >= b for a, b in zip(self.edges, self.edges[1:], strict=False)):
                raise ValueError("edges must increase")
        return self


class Bounds(_Closed):
    """Person bounds: at most `max_groups` cells, and in each at most `max_rows` rows.

    With scope `person`, `max_rows` and a sum's clip hold for all the person's cells together: rows with the smallest order keys
    are kept wherever they lie, and a sum takes values in that order until their sizes add up to the clip. Then no number of cells
    or margins makes a person's part larger, and a table of things (courses, projects) costs what its total costs.
    """

    max_groups: Annotated[int, Field(ge=1, le=10_000, strict=True)]
    max_rows: Annotated[int, Field(ge=1, le=10_000, strict=True)]
    scope: Literal["person"] | None = None  # None: in each cell


class Question(_Closed):
    """One question. `group` keeps its order: it is the order of the cells.

    `mode` national: no node releases its tally, only the sum over many nodes is uncovered (docs/national-sums.md). The rho of a
    component is then what a person loses by the sum.
    """

    dataset: ColumnName
    filter: Predicate | None = None
    group: Annotated[tuple[GroupKey, ...], Field(max_length=8)] = ()
    components: Annotated[tuple[Component, ...], Field(min_length=1, max_length=MAX_COMPONENTS)]
    bounds: Bounds
    mode: Literal["per_node", "national"] = "per_node"
    schema_id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}/[1-9][0-9]{0,8}$")] = Field(alias="schema")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="after")
    def _limits(self) -> Self:
        names = [key.column for key in self.group]
        if len(set(names)) != len(names):
            raise ValueError("a column can be a group key once")
        cases = [key for key in self.group if key.cases is not None]
        if any(key.column != f"case{number}" for number, key in enumerate(cases, start=1)):
            raise ValueError("keys of cases are called case1, case2, ... in their order")
        for component in self.components:
            margin = component.margin
            if margin is not None and (len(margin) >= len(names) or list(margin) != [name for name in names if name in margin]):
                raise ValueError("a margin names some of the group keys, and not all, in their order")
            if self.bounds.scope and component.clip is not None and not component.clip[0] <= 0 <= component.clip[1]:
                raise ValueError("the clip of a sum over all cells of a person holds 0")
        predicates = [self.filter, *(c.filter for c in self.components), *(c.condition for c in self.components)]
        predicates += [case for key in cases for case in key.cases or ()]
        terms = 0
        for predicate in predicates:
            if predicate is None:
                continue
            for _, depth in _walk(predicate):
                terms += 1
                if depth > MAX_DEPTH:
                    raise ValueError(f"a filter is nested deeper than {MAX_DEPTH}")
        if terms > MAX_TERMS:
            raise ValueError(f"the filters have more than {MAX_TERMS} terms")
        return self

    @property
    def rho(self) -> int:
        """Charge of this question in nano-rho: the sum over components (sequential composition of zCDP)."""
        return sum(component.rho for component in self.components)

    def to_json(self) -> dict[str, Any]:
        """The plain tree that is signed: canonical, without absent parts."""
        canonical = self.canonical()
        tree: dict[str, Any] = canonical.model_dump(mode="json", by_alias=True, exclude_none=True)
        return tree

    def canonical(self) -> Question:
        """The same question with its predicates in canonical form."""
        return self.model_copy(
            update={
                "filter": canonical_predicate(self.filter) if self.filter is not None else None,
                "group": tuple(
                    key
                    if key.cases is None
                    else key.model_copy(update={"cases": tuple(canonical_predicate(case) for case in key.cases)})
                    for key in self.group
                ),
                "components": tuple(
                    component.model_copy(
                        update={
                            "filter": canonical_predicate(component.filter) if component.filter is not None else None,
                            "condition": canonical_predicate(component.condition) if component.condition is not None else None,
                        }
                    )
                    for component in self.components
                ),
            }
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form, hex. Two questions with one digest have the same tally."""
        return hashlib.sha256(b"collegium/v1/question\n" + canonical_json(self.to_json())).hexdigest()

    @classmethod
    def from_json(cls, tree: Any, *, place: str = "question") -> Question:
        """A question from its signed tree. Unknown parts are refused. Raises Invalid with the place."""
        try:
            question = cls.model_validate(tree)
        except (ValidationError, RecursionError) as error:
            if isinstance(error, RecursionError):
                raise Invalid("nested too deeply", place=place) from None
            detail = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in detail["loc"])
            raise Invalid(detail["msg"], place=f"{place}.{where}" if where else place) from None
        if question.to_json() != tree:
            raise Invalid("the question is not in canonical form", place=place, remedy="Build it with this library.")
        return question


def canonical_predicate(predicate: Predicate) -> Predicate:
    """The canonical form: and/or flattened, terms sorted and unique, double negation gone; the same meaning in 3-valued logic."""
    if isinstance(predicate, In):
        values = sorted(set(predicate.values), key=lambda v: (isinstance(v, str), v))
        return In(column=predicate.column, values=tuple(values))
    if isinstance(predicate, Not):
        inner = canonical_predicate(predicate.arg)
        return inner.arg if isinstance(inner, Not) else Not(arg=inner)
    if isinstance(predicate, And | Or):
        kind = type(predicate)
        terms: dict[bytes, Predicate] = {}
        for arg in predicate.args:
            inner = canonical_predicate(arg)
            for term in inner.args if isinstance(inner, kind) else (inner,):
                terms[canonical_json(term.model_dump(mode="json", exclude_none=True))] = term
        if len(terms) == 1:
            return next(iter(terms.values()))
        return kind(args=tuple(terms[key] for key in sorted(terms)))
    return predicate


def columns_of(predicate: Predicate) -> set[str]:
    """The columns a predicate mentions."""
    return {node.column for node, _ in _walk(predicate) if isinstance(node, In | Range | Unknown)}


def _walk(predicate: Predicate, depth: int = 1) -> Iterator[tuple[Predicate, int]]:
    yield predicate, depth
    if isinstance(predicate, Not):
        yield from _walk(predicate.arg, depth + 1)
    elif isinstance(predicate, And | Or):
        for arg in predicate.args:
            yield from _walk(arg, depth + 1)
