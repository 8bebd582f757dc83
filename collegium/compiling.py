"""The statements of one request, compiled together and sharing its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from collegium.errors import Invalid
from collegium.schema import Schema
from collegium.sql import Compiled, Mode, compile_statements

__all__ = ["Statements", "compile_request"]


class Statements(Protocol):
    """What is compiled, as in `collegium.asking.Ask`."""

    @property
    def statements(self) -> Sequence[str]: ...
    @property
    def max_rows(self) -> int | None: ...
    @property
    def max_groups(self) -> int | None: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def clips(self) -> Mapping[str, tuple[int | str | Decimal, int | str | Decimal]] | None: ...


def compile_request(ask: Statements, schema: Schema, total: int) -> list[Compiled]:
    """A question for each statement, sharing `total` nano-rho. Statements with one question have it in common, at one cost.

    Raises:
        Invalid: there is no statement, one is outside the grammar or the schema, or they select different universities.
    """
    if not ask.statements:
        raise Invalid("there is no statement", place="sql", remedy="Write one SELECT.")
    compiled = compile_statements(
        ask.statements, schema, rho=total, max_rows=ask.max_rows, max_groups=ask.max_groups, clips=ask.clips, mode=ask.mode
    )
    if any(each.fact_filter != compiled[0].fact_filter for each in compiled):
        remedy = "Give all the same condition on facts, or ask them one by one."
        raise Invalid("the statements of one request ask the same universities", place="sql", remedy=remedy)
    return compiled
