"""A plan on a terminal, as JSON and as HTML: figures first, then coverage, cost, and what was assumed."""

from __future__ import annotations

import io
import math
from html import escape
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from collegium.accounting import NANO
from collegium.estimate import ExpectedError
from collegium.plan import Expected, NodePlan, Plan, QuestionPlan, rho_text
from collegium.plan_modes import USUAL, ModePlan, label_of
from collegium.policy import Foreseen

__all__ = ["half_text", "nodes_and_cost", "plan_html", "plan_renderable", "plan_text", "plan_tree"]

MAX_GROUPS = 40
MAX_NODES = 12
MAX_FIGURES = 4
MODE_WORDS = {"per_node": "per node", "national": "national"}
FREE = "A plan costs nothing and touches no data."


def plan_text(plan: Plan, *, width: int = 100) -> str:
    """The plan as plain text."""
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None, legacy_windows=False, force_jupyter=False).print(plan_renderable(plan))
    return buffer.getvalue().rstrip("\n")


def plan_html(plan: Plan) -> str:
    """For a notebook."""
    return f'<pre style="line-height:1.3;font-family:monospace">{escape(plan_text(plan, width=110))}</pre>'


def plan_renderable(plan: Plan) -> RenderableType:
    """Everything a person wants to know before paying."""
    parts: list[RenderableType] = []
    for number, question in enumerate(plan.questions):
        cells = f"{question.cells:,} cell{'s' if question.cells > 1 else ''}"
        many = f"Question {number + 1}: " if len(plan.questions) > 1 else ""
        numbers = f"{question.values:,} noisy number{'s' if question.values > 1 else ''}"
        price = f", rho {rho_text(question.rho)}" if many else ""
        if question.first < number:
            price = f": the same that question {question.first + 1} measures, paid once"
        parts.append(Text(f"{many}{question.dataset}, {cells}, {numbers} from each university{price}"))
        parts.append(_figures(question))
        if question.grouped:
            parts.append(_groups(question))
        parts.append(_modes(question))
    parts.append(_nodes(plan))
    parts.append(_footer(plan))
    return Group(*parts)


def nodes_and_cost(plan: Plan) -> RenderableType:
    """Who is expected to answer, and what it costs, without any figure."""
    return Group(_nodes(plan), _footer(plan))


def half_text(error: ExpectedError, figure: Expected) -> str:
    """± in natural units, shares in percentage points."""
    if math.isinf(error.half_width):
        return "no upper limit"
    return f"± {_short(error.half_width * (100 if figure.points else 1))}"


def _relative(figure: Expected) -> str:
    if figure.points or figure.relative is None:
        return ""
    return f"{float(f'{figure.relative:.2g}') * 100:.2g} %" if figure.relative < 1 else "more than it"


def _title(figure: Expected) -> str:
    unit = "points" if figure.points else figure.unit
    return f"{figure.label} ({unit})" if unit else figure.label


def _figures(question: QuestionPlan) -> Grid:
    grid = _grid()
    grid.add_column("expected 95 % interval", no_wrap=True)
    of_one = question.mode == "per_node"
    for heading in ("national", "of the figure", *(["one university"] if of_one else [])):
        grid.add_column(heading, justify="right")
    if not question.grouped and question.groups:
        grid.add_column(f"by {', '.join(question.fact)}", justify="right")
    for figure in question.figures:
        cells = [_title(figure), half_text(figure.national, figure), _relative(figure)]
        cells += [half_text(figure.typical, figure)] if figure.typical is not None else []
        if not question.grouped and question.groups:
            best, worst = _ends(question, figure)
            same = best.half_width == worst.half_width
            cells.append(half_text(best, figure) if same else f"{half_text(best, figure)} to {half_text(worst, figure)}")
        grid.add_row(*cells)
    return grid


def _groups(question: QuestionPlan) -> Grid:
    grid = _grid()
    for fact in question.fact:
        grid.add_column(fact)
    grid.add_column("universities", justify="right")
    for figure in question.figures:
        grid.add_column(_title(figure), justify="right")
    for place, group in list(enumerate(question.groups))[:MAX_GROUPS]:
        halves = (half_text(figure.groups[place], figure) for figure in question.figures)
        grid.add_row(
            *group.facts.values(),
            f"{group.counted} of {group.asked}",
            *(halves if group.counted else ["—"] * len(question.figures)),
        )
    if len(question.groups) > MAX_GROUPS:
        grid.caption = f"{len(question.groups) - MAX_GROUPS} more; see them with --json"
    return grid


def _modes(question: QuestionPlan) -> RenderableType:
    """The question in both release modes: the same charge at each university, another noise in the national figure."""
    grid = _grid("release mode", "universities")
    figures = question.figures[:MAX_FIGURES]
    for figure in figures:
        grid.add_column(_title(figure), justify="right")
    for each in question.modes:
        told = each.errors[:MAX_FIGURES]
        halves = [half_text(error, figure) for error, figure in zip(told, figures, strict=True)] if told else ["—"] * len(figures)
        grid.add_row(
            MODE_WORDS[each.mode], f"{each.counted} of {each.asked}", *halves, style="bold" if each.mode == question.mode else "dim"
        )
    if len(question.figures) > MAX_FIGURES:
        grid.caption = f"{len(question.figures) - MAX_FIGURES} more figures; see them with --json"
    return Group(grid, Text("\n".join(_of_sums(question.modes[-1])), style="dim"))


def _of_sums(plan: ModePlan) -> list[str]:
    """What a national sum would be of, what it tolerates and on what it rests."""
    if plan.problem:
        return [f"In a national sum it is not possible: {plan.problem}."]
    sums, lines = plan.sums, []
    rounds = f"{len(sums)} sums, one a group" if sums[0].codes is not None else "one sum"
    smallest = min(sums, key=lambda each: each.least)
    who = f"{'the smallest ' if len(sums) > 1 else ''}over {smallest.planned} universities"
    tolerated = (
        f"{USUAL.dropout / 10**4:g}\N{NO-BREAK SPACE}% may be missing, {USUAL.colluding / 10**4:g}\N{NO-BREAK SPACE}% collude"
    )
    lines.append(f"national: {rounds}; {who}, at least {smallest.least} of them, {smallest.honest} honest ({tolerated}).")
    problems = {each.problem for each in sums if each.problem}
    for problem in sorted(problems):
        groups = [label_of(each) for each in sums if each.problem == problem and each.codes is not None]
        lines.append(f"national: {problem}{': ' + ', '.join(groups[:MAX_NODES]) if groups else '; errors are as if all did'}.")
    return lines


def _nodes(plan: Plan) -> Grid:
    """The nodes that will not simply answer, then one line for the others."""
    grid = _grid("university", "connected", "its policy would", "budget of the period")
    others = [node for node in plan.nodes if not node.answers]
    for node in others[:MAX_NODES]:
        grid.add_row(node.name, "yes" if node.connected else "no", _verdict(node), _budget(node, plan))
    if len(others) > MAX_NODES:
        grid.add_row(f"{len(others) - MAX_NODES} more", "", "see them with --json", "")
    good = plan.answering
    if good:
        names = good[0].name if len(good) == 1 else f"{len(good)} universities"
        budgets = {_budget(node, plan) for node in good}
        grid.add_row(names, "yes", "allow it", budgets.pop() if len(budgets) == 1 else "differ; see them with --json")
    return grid


def _verdict(node: NodePlan) -> str:
    verdict = node.verdict
    if verdict.word == "allowed":
        return "allow it"
    if verdict.word == "held":
        return "hold it: a person decides"
    return "not be known" if verdict.word == "unknown" else f"refuse it: {verdict.reason}"


def _budget(node: NodePlan, plan: Plan) -> str:
    return ", ".join(
        f"{_short(budget.rho / NANO)} a {budget.period} for one {unit} (this: {_share(_rho_of(plan, unit), budget.rho)})"
        for unit, budget in node.budgets.items()
    )


def _rho_of(plan: Plan, unit: str) -> int:
    return next(each.rho for each in plan.cost if each.unit == unit)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "more than it"


def _footer(plan: Plan) -> Text:
    text = Text()
    coverage = plan.coverage
    known = coverage["enrolment_asked"]
    share = f", {coverage['enrolment_answering'] / known:.0%} of known enrolment" if known else ""
    text.append(f"expected coverage: {coverage['answering']} of {coverage['asked']} universities{share}")
    text.append(f"; {coverage['held']} would hold it for a person\n" if coverage["held"] else "\n")
    if not coverage["answering"]:
        text.append("No university is expected to answer at once; the errors are as if all those asked did.\n", style="yellow")
    if plan.target:
        text.append(f"chosen for: {plan.target}\n")
    for cost in plan.cost:
        text.append(f"cost: rho {rho_text(cost.rho)} = epsilon {cost.epsilon:.4g} a {cost.unit} at each university")
        if cost.nodes > 1:
            text.append(f"; in all at most rho {rho_text(cost.national_rho)} = epsilon {cost.national_epsilon:.4g}")
            text.append(f" for a person at {cost.nodes}")
        if cost.nodes > 1 and cost.sums:
            text.append(
                f"; the noise of a national sum covers all {cost.nodes}: {cost.nodes}² = {cost.nodes**2} times the rho of one"
            )
        text.append("\n")
    for note in dict.fromkeys(note for question in plan.questions for note in question.notes):
        text.append(f"bias: {note}\n", style="yellow")
    text.append(f"assumed: {plan.assumed}\n", style="dim")
    if any(node.budgets for node in plan.nodes):
        text.append("What has been spent of a budget is known to the university alone. ", style="dim")
    text.append(FREE, style="dim")
    return text


def plan_tree(plan: Plan) -> dict[str, Any]:
    """A plain tree: nano-rho as whole numbers, half widths in natural units, null where there is no upper limit."""
    return {
        "cost": {
            each.unit: {
                "nano_rho": each.rho,
                "rho": each.rho / NANO,
                "epsilon": each.epsilon,
                "delta": plan.delta,
                "nodes_per_person": each.nodes,
                "of_national_sums_nano_rho": each.sums,
                "national_nano_rho": each.national_rho,
                "national_epsilon": each.national_epsilon,
            }
            for each in plan.cost
        },
        "coverage": plan.coverage,
        "assumed": plan.assumed,
        "target": plan.target or None,
        "guarantee": " ".join(plan.guarantees),
        "note": FREE,
        "questions": [
            {
                "dataset": question.dataset,
                "unit": question.unit,
                "nano_rho": question.rho,
                "paid_with_question": question.first,
                "cells": question.cells,
                "values": question.values,
                "bias": list(question.notes),
                "mode": question.mode,
                "modes": {each.mode: _mode(each, question) for each in question.modes},
                "figures": [
                    {
                        "label": figure.label,
                        "kind": figure.kind,
                        "unit": figure.unit or None,
                        "national": _error(figure.national) | {"relative": figure.relative, "nodes": question.national.counted},
                        "typical_node": None if figure.typical is None else _error(figure.typical),
                        "groups": [
                            {"facts": dict(group.facts), "nodes": group.counted, "asked": group.asked} | _error(error)
                            for group, error in zip(question.groups, figure.groups, strict=True)
                        ],
                    }
                    for figure in question.figures
                ],
            }
            for question in plan.questions
        ],
        "nodes": [
            {
                "name": node.name,
                "facts": dict(node.facts),
                "enrolment": node.enrolment,
                "connected": node.connected,
                "served": list(node.served),
                "verdict": node.verdict.word,
                "verdicts": [_verdict_tree(each) for each in node.verdicts],
                "by_mode": {mode: [_verdict_tree(each) for each in verdicts] for mode, verdicts in node.by_mode.items()},
                "smallest_sum": node.smallest or None,
                "policy_time": node.policy_time or None,
                "budget_of_the_period": {
                    unit: {"period": each.period, "nano_rho": each.rho, "lifetime_nano_rho": each.lifetime}
                    for unit, each in node.budgets.items()
                },
            }
            for node in plan.nodes
        ],
    }


def _verdict_tree(verdict: Foreseen) -> dict[str, Any]:
    return {"verdict": verdict.word, "reason": verdict.reason or None, "text": verdict.text}


def _mode(plan: ModePlan, question: QuestionPlan) -> dict[str, Any]:
    labels = [figure.label for figure in question.figures]
    return {
        "asked": plan.asked,
        "taking_part": plan.counted,
        "figures": [{"label": label} | _error(error) for label, error in zip(labels, plan.errors, strict=False)],
        "sums": [
            {
                "group": list(each.codes) if each.codes is not None else None,
                "asked": each.asked,
                "planned": each.planned,
                "counted": each.counted,
                "least": each.least,
                "honest": each.honest,
                "problem": each.problem or None,
            }
            for each in plan.sums
        ],
        "tolerance": None if plan.mode == "per_node" else {"dropout": USUAL.dropout / 10**6, "colluding": USUAL.colluding / 10**6},
        "problem": plan.problem or None,
    }


def _error(error: ExpectedError) -> dict[str, Any]:
    half = None if math.isinf(error.half_width) else error.half_width
    return {"half_width": half, "assumed_rows": error.rows, "assumed_figure": error.value}


def _ends(question: QuestionPlan, figure: Expected) -> tuple[ExpectedError, ExpectedError]:
    """The best and the worst group that is expected to have a figure."""
    present = [error for group, error in zip(question.groups, figure.groups, strict=True) if group.counted]
    ordered = sorted(present, key=lambda each: each.half_width)
    return ordered[0], ordered[-1]


def _short(number: float) -> str:
    if number >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def _grid(*columns: str) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        grid.add_column(column)
    return grid
