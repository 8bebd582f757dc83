"""Several statements of one request: what two of them have in common is measured, and paid, once.

Statements about the same rows in the same cells become one question with the components of all of them. It is asked once for each
statement, each time with that statement's view: a node answers the second time with the release of the first, at no charge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collegium.accounting import split
from collegium.errors import Invalid
from collegium.schema import Schema
from collegium.sql.compile import Compiled, Draft, Number, draft, finish
from collegium.sql.release import Mode

__all__ = ["MAX_STATEMENTS", "compile_statements"]

MAX_STATEMENTS = 64


def compile_statements(
    statements: Sequence[str],
    schema: Schema,
    *,
    rho: int,
    max_rows: int | None = None,
    max_groups: int | None = None,
    clips: Mapping[str, tuple[Number, Number]] | None = None,
    mode: Mode = "per_node",
) -> list[Compiled]:
    """The questions of statements, in their order; `rho` is what all may cost in nano-rho, shared equally among statements.

    Statements that become one question put their shares together. The cost of a request is that of its different questions.
    Other arguments and refusals as `compile_sql`.
    """
    if not 1 <= len(statements) <= MAX_STATEMENTS:
        raise Invalid(f"a request has 1 to {MAX_STATEMENTS} statements", place="sql", remedy="Ask several requests.")
    drafts = [draft(each, schema, max_rows=max_rows, max_groups=max_groups, clips=clips, mode=mode) for each in statements]
    shares = split(rho, [1] * len(drafts))
    alike: list[list[int]] = []
    for number, each in enumerate(drafts):
        same = next((found for found in alike if _one_question(drafts[found[0]], each)), None)
        if same is None:
            alike.append([number])
        else:
            same.append(number)
    result: dict[int, Compiled] = {}
    for numbers in alike:
        compiled = finish([drafts[number] for number in numbers], sum(shares[number] for number in numbers), schema)
        result |= dict(zip(numbers, compiled, strict=True))
    return [result[number] for number in range(len(drafts))]


def _one_question(one: Draft, other: Draft) -> bool:
    return one.cells == other.cells
