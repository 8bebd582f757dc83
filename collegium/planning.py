"""From statements to their plan: prepared as they would be asked, shown, and thrown away. Nothing is sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from collegium.accounting import NANO
from collegium.asking import Ask, prepare
from collegium.errors import Invalid
from collegium.plan import Plan, rho_text
from collegium.plan_make import make_plan, published
from collegium.target import cost_for, read_target

if TYPE_CHECKING:
    from collegium.log.note import Signer
    from collegium.registry import Registry
    from collegium.v1.federation_pb2 import NodeLine

__all__ = ["plan_of", "without_explain"]

EXPLAIN = re.compile(r"\s*explain\b", re.IGNORECASE)


def without_explain(statements: Sequence[str]) -> tuple[list[str], bool]:
    """The statements without a leading EXPLAIN, and whether they had one. Raises Invalid when only some have."""
    explained = [bool(EXPLAIN.match(statement)) for statement in statements]
    if any(explained) and not all(explained):
        raise Invalid("some statements begin with EXPLAIN and some do not", place="sql", remedy="Explain all of them, or none.")
    return [
        EXPLAIN.sub("", statement, count=1) if each else statement for statement, each in zip(statements, explained, strict=True)
    ], (any(explained))


def plan_of(
    ask: Ask,
    registry: Registry,
    lines: Sequence[NodeLine],
    signer: Signer,
    name: str,
    *,
    now: float,
    target_error: str = "",
    expect: int | None = None,
) -> Plan:
    """The plan of what would be asked; with `target_error`, at the cost that reaches it.

    Args:
        lines: what the coordinator says of the nodes.
        target_error: `1%` or a half width; see `collegium.target`.
        expect: rows that the statements will find nationally, instead of the registry's enrolment.

    Raises:
        Invalid: as `prepare`; or cost and target are both given; or the target cannot be reached.
    """
    if expect is not None and expect < 1:
        raise Invalid(f"{expect} is no number of rows", place="--expect", remedy="Write a whole number above 0.")
    said = published(registry, lines)
    statements, _ = without_explain(ask.statements)
    plain = replace(ask, statements=statements)

    def at(each: Ask, target: str = "") -> Plan:
        prepared = prepare(each, registry, signer, name, now=now)
        return make_plan(prepared, registry, said, purpose=each.purpose, expect=expect, target=target)

    if not target_error:
        return at(plain)
    if ask.epsilon is not None or ask.rho is not None:
        raise Invalid("a wished precision and a cost are both given", place="--target-error", remedy="Leave one of them out.")
    target = read_target(target_error)
    delta = registry.founding.delta
    cost, _ = cost_for(target, lambda nano: at(_priced(plain, nano)), delta)
    words = f"{target.text}{'' if target.relative else ' half width'}: ask with --rho {rho_text(cost)}"
    return at(_priced(plain, cost), words)


def _priced(ask: Ask, nano: int) -> Ask:
    return replace(ask, epsilon=None, rho=f"{nano // NANO}.{nano % NANO:09d}")
