"""Scenes of national sums: a country that is served, connected and asked, and what its books hold afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from national_parties import Country

from collegium.bundle import Bundle, verify
from collegium.national.verify import verify_round
from collegium.question import Question
from collegium.statements import Accounts
from collegium_coordinator.indicator import national_table

VIEW = {"measures": [{"label": "n", "kind": "value", "parts": [0]}], "columns": [{"measure": 0}], "facts": []}
BY_PROVINCE = {
    "measures": VIEW["measures"],
    "columns": [{"fact": "province"}, {"measure": 0}],
    "facts": ["province"],
}


def play(
    federation: Any, scene: Callable[[Country], Any], *, nodes: int = 6, trustees: int = 3, provinces: Any = None, **settings: Any
) -> None:
    async def run() -> None:
        country = Country(federation)
        async with country.serving(**({"combine": national_table} | settings)):
            await country.settle(nodes, trustees, provinces)
            await country.connect()
            await scene(country)

    asyncio.run(run())


def nationally(question: Question) -> Question:
    return question.model_copy(update={"mode": "national"})


def bundle_of(parts: dict[str, list[Any]]) -> Bundle:
    bundle = Bundle()
    for kind, values in parts.items():
        for value in values:
            if kind == "receipt":
                bundle.receipts[value.statement] = value.proof
            elif kind != "progress":
                bundle.add(kind, value)  # type: ignore[arg-type]
    return bundle


async def figures(c: Country, request: str) -> Any:
    """The verified figures of the first question."""
    return verify(bundle_of(await c.federation.result(c.stub, request)), c.registry).figures[0]


def reasons(accounts: Accounts) -> dict[str, str]:
    return {each.node: each.reason for each in accounts.missing}


def total_of(c: Country, row: Any, make_question: Any) -> list[int]:
    """The verified total in steps, from log and files."""
    question = nationally(make_question())
    verified = verify_round(c.evidence(row), c.known(row, question))
    (part,) = c.coordinator.rounds.rounds.plan(c.coordinator.rounds.rounds.source(row)).parts
    assert all(cell % (1 << part.fine) == 0 for cell in verified.total.tolist())
    return [cell >> part.fine for cell in verified.total.tolist()]
