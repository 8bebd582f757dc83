"""The plan of a measurement on a terminal and as a tree: what it costs, who would answer, and how wide every figure would be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text as Line

from collegium.accounting import NANO
from collegium.errors import Invalid
from collegium.indicators.expected import Expected, expected
from collegium.indicators.leaf import Leaf
from collegium.indicators.measure import Planned
from collegium.indicators.noise import universities
from collegium.national.law import Added
from collegium.plan import NodePlan, Plan
from collegium.plan_modes import noise_of_sums
from collegium.plan_show import plan_tree as request_tree
from collegium.sql.release import Mode

__all__ = ["plan_tree", "show_plan"]

NAMED = 12  # universities told one by one
BOUNDED = (
    "A person counts once in each table of persons, with at most the catalogue's rows in others, and sums are clipped: a report's "
    "definitions say where."
)


def show_plan(planned: Planned, request: Plan, under: str, language: str) -> None:
    """Print it: one line a secondary indicator, or with `under` one line for each indicator below."""
    console = Console(highlight=False)
    expanded, batch = planned.expanded, planned.batch
    leaves = _under(planned, under)
    nodes = universities(_added(planned, request))
    national, single = _errors(planned, request)
    title = f"{expanded.title.get(language)} ({expanded.catalogue}), {expanded.year}"
    console.print(Line(title, style="bold"))
    console.print(
        f"{len(expanded.leaves):,} indicators from {batch.histograms} tables in {len(batch.questions)} questions of one request; "
        f"{sum(layout.length for layout in batch.layouts):,} noisy numbers from each university."
    )
    console.print(_details(planned, leaves, national, single, language) if under else _summary(planned, leaves, national, language))
    if not under:
        console.print("Each indicator: collegium indicators plan --under S06, or --json.", style="dim")
    console.print(f"Half-widths are for {nodes} universities that answer. {_assumed()}", style="dim")
    for line in (*_who(request), *_cost(request)):
        console.print(line)
    console.print(f"{BOUNDED} A plan costs nothing and touches no data.", style="dim")


def plan_tree(planned: Planned, request: Plan, under: str) -> dict[str, Any]:
    """A plain tree; null is a half-width without end."""
    national, single = _errors(planned, request)
    whole = request_tree(request)
    return {
        "catalogue": planned.expanded.catalogue,
        "year": planned.expanded.year,
        "tables": planned.batch.histograms,
        "questions": len(planned.batch.questions),
        "mode": _mode(planned),
        "cost": whole["cost"],
        "nodes": whole["nodes"],
        "coverage": whole["coverage"],
        "indicators": {
            leaf.id: {
                "title": leaf.title.model_dump(),
                "unit": leaf.unit.model_dump(),
                "half_width": _finite(national[leaf.id].half_width),
                "half_width_one_university": None if _mode(planned) == "national" else _finite(single[leaf.id].half_width),
                "assumed_rows": national[leaf.id].rows,
                "marked": national[leaf.id].marked,
            }
            for leaf in _under(planned, under)
        },
    }


def _answering(request: Plan) -> int:
    """Universities that are expected to answer some question; all that are asked when none is."""
    return sum(_allowed(node) > 0 for node in request.nodes) or len(request.nodes)


def _allowed(node: NodePlan) -> int:
    """How many questions the university would answer at once."""
    return sum(verdict.word == "allowed" for verdict in node.verdicts) if node.connected else 0


def _who(request: Plan) -> Iterator[str]:
    """Who is expected to answer: those that answer everything together, the others one by one."""
    questions = len(request.questions)
    whole = sum(node.answers for node in request.nodes)
    yield f"{whole} of {len(request.nodes)} universities are expected to answer all {questions} questions at once."
    others = [node for node in request.nodes if not node.answers]
    for node in others[:NAMED]:
        reasons = sorted({verdict.reason or verdict.word for verdict in node.verdicts if verdict.word != "allowed"})
        state = "" if node.connected else ", not connected now; it may join later"
        yield f"  {node.name}: {_allowed(replace(node, connected=True))} of them ({', '.join(reasons) or 'all allowed'}){state}"
    if len(others) > NAMED:
        yield f"  and {len(others) - NAMED} more; see them with --json"


def _cost(request: Plan) -> Iterator[str]:
    """What a person of each kind pays, and the largest part of a budget that this is."""
    for cost in request.cost:
        person = cost.title[:1].lower() + cost.title[1:]
        text = f"cost: rho {cost.rho / NANO:.4g} = epsilon {cost.epsilon:.4g} a {person} at each university"
        if cost.nodes > 1:
            text += f"; epsilon {cost.national_epsilon:.4g} for a person at {cost.nodes} of them"
        yield text
        budgets = [(cost.rho / max(1, node.budgets[cost.unit].rho), node) for node in request.nodes if cost.unit in node.budgets]
        if budgets:
            share, node = max(budgets, key=lambda each: each[0])
            period = node.budgets[cost.unit].period
            yield f"  at most {share * 100:.2g} % of the {period}'s budget (at {node.name}); what is spent of it, each knows alone"


def _errors(planned: Planned, request: Plan) -> tuple[Mapping[str, Expected], Mapping[str, Expected]]:
    return expected(planned.batch, _added(planned, request)), expected(planned.batch, 1)


def _mode(planned: Planned) -> Mode:
    return planned.batch.questions[0].mode


def _added(planned: Planned, request: Plan) -> Added:
    """What each figure would be of: releases, or the rounds of national sums as the first question has them."""
    if _mode(planned) == "per_node":
        return _answering(request)
    homes = max(cost.nodes for cost in request.cost)
    return noise_of_sums(request.questions[0].modes[-1].sums, homes)


def _under(planned: Planned, under: str) -> list[Leaf]:
    leaves = [leaf for leaf in planned.expanded.leaves if under in ("", leaf.primary, leaf.secondary, leaf.id)]
    if not leaves:
        raise Invalid(f"there is no indicator {under!r}", place="--under", remedy="Write such as P1, S06 or U-S06-001.")
    return leaves


def _summary(planned: Planned, leaves: list[Leaf], national: Mapping[str, Expected], language: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, side in (("", "left"), ("indicators", "right"), ("expected to be marked …", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    parent = ""
    for branch in planned.expanded.secondaries:
        if branch.primary != parent:
            parent = branch.primary
            title = next(each.title.get(language) for each in planned.expanded.primaries if each.id == parent)
            table.add_row(Line(f"{parent} {title}", style="bold"), "", "")
        below = [leaf for leaf in leaves if leaf.secondary == branch.id]
        marked = sum(national[leaf.id].marked for leaf in below)
        table.add_row(f"  {branch.id} {branch.title.get(language)}", f"{len(below):,}", f"{marked:,}" if marked else "–")
    return table


def _details(
    planned: Planned, leaves: list[Leaf], national: Mapping[str, Expected], single: Mapping[str, Expected], language: str
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    alone = _mode(planned) == "per_node"
    columns = [
        ("", "left"),
        ("", "left"),
        ("national", "right"),
        *([("one university", "right")] if alone else []),
        ("unit", "left"),
    ]
    for name, side in columns:
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for leaf in leaves:
        wide = [
            f"± {_short(each[leaf.id].half_width)}{' …' if each[leaf.id].marked else ''}"
            for each in ((national, single) if alone else (national,))
        ]
        table.add_row(leaf.id, leaf.title.get(language), *wide, leaf.unit.get(language))
    return table


def _assumed() -> str:
    from collegium.indicators.expected import ROWS

    return f"Shares and means are told for {ROWS:,} persons or rows of each population at a university, evenly spread."


def _short(value: float) -> str:
    if not math.isfinite(value):
        return "∞"
    digits = 2 - math.floor(math.log10(value)) - 1 if value > 0 else 0
    return f"{round(value, digits):,.{max(0, digits)}f}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
