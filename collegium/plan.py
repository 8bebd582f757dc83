"""What a question will cost and how good its figures will be, before anything is asked. Touches no data and costs nothing.

    plan = federation.plan("SELECT province, COUNT(*) AS graduates FROM graduate GROUP BY province", epsilon=0.3)
    plan = federation.plan("SELECT AVG(salary) FROM graduate", target_error="1%")      # the cost that reaches one per cent
    print(plan)

Everything follows from the statements, the registry's public facts, and what the nodes have published about themselves. How many
rows a cell will hold is not known and never looked up: it is *assumed*, and the plan says from what (`Plan.assumed`).
`collegium.plan_make` makes plans, `collegium.plan_show` shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from collegium.accounting import NANO
from collegium.estimate import ExpectedError
from collegium.plan_modes import ModePlan
from collegium.policy import Budget, Foreseen
from collegium.sql.release import Mode

__all__ = [
    "Expected",
    "GroupOfNodes",
    "NodePlan",
    "Plan",
    "QuestionPlan",
    "UnitCost",
    "rho_text",
]


@dataclass(frozen=True, slots=True)
class UnitCost:
    """What one person of a privacy unit pays, in nano-rho: at each node, and in all where a person can be at `nodes` nodes.

    `sums` of `rho` is for national sums, whose noise covers a person at all those nodes: it counts once in all.
    """

    unit: str
    title: str
    rho: int
    epsilon: float
    nodes: int
    national_rho: int
    national_epsilon: float
    sums: int = 0


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node asked. `verdicts` has one entry a question, `budgets` what it has published for the units of the request."""

    name: str
    facts: Mapping[str, str]
    enrolment: int
    connected: bool
    served: tuple[bool | None, ...]  # whether each question's dataset is in the current snapshot; None: not known
    verdicts: tuple[Foreseen, ...]
    budgets: Mapping[str, Budget]
    policy_time: int  # Unix seconds of the policy statement, 0 when there is none
    by_mode: Mapping[str, tuple[Foreseen, ...]] = field(default_factory=dict)  # the verdicts if all were asked in that mode
    smallest: int = 0  # universities that a national sum must be of at least; 0 when it has published no policy

    @property
    def verdict(self) -> Foreseen:
        """Of the whole request: the worst of its questions."""
        order = ("refused", "unknown", "held", "allowed")
        return min(self.verdicts, key=lambda each: order.index(each.word))

    @property
    def answers(self) -> bool:
        """Whether figures are expected of it at once."""
        return self.connected and self.verdict.word == "allowed"


@dataclass(frozen=True, slots=True)
class GroupOfNodes:
    """Nodes whose releases would be added: all, those of one public fact, or one typical node."""

    facts: Mapping[str, str]
    asked: int
    counted: int  # nodes whose noise is in the estimate
    rows: int  # assumed in each cell


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected 95 % half width of one measure in one cell, by group of nodes; natural units (a share: 0.01 is one point)."""

    label: str
    kind: str
    unit: str
    national: ExpectedError
    typical: ExpectedError | None  # None of a national sum: no university's own figure exists
    groups: tuple[ExpectedError, ...]  # as QuestionPlan.groups
    points: bool  # whether it is a share of one, so that its half width is told in percentage points

    @property
    def relative(self) -> float | None:
        """The national half width as a part of the assumed figure; of a share the half width itself, in parts of one.

        None where the assumed figure is 0, as of a difference: then only a half width in natural units can be aimed at.
        """
        if self.points:
            return self.national.half_width
        value = self.national.value
        return self.national.half_width / abs(value) if value else None


@dataclass(frozen=True, slots=True)
class QuestionPlan:
    """One statement. `values` is how many noisy numbers each node releases for it."""

    dataset: str
    unit: str
    rho: int
    cells: int
    values: int
    figures: tuple[Expected, ...]
    national: GroupOfNodes
    typical: GroupOfNodes
    fact: tuple[str, ...]  # the facts that `groups` are by
    grouped: bool  # whether the statement itself groups by them
    groups: tuple[GroupOfNodes, ...]
    notes: tuple[str, ...]
    first: int  # the place of the first statement with the same question: it is measured, and paid, once
    mode: Mode
    modes: tuple[ModePlan, ...]  # the same statement in both release modes


@dataclass(frozen=True)
class Plan:
    """All that is known of a request before it is sent. Print it, or take `to_json()`."""

    questions: tuple[QuestionPlan, ...]
    nodes: tuple[NodePlan, ...]
    cost: tuple[UnitCost, ...]
    delta: str
    guarantees: tuple[str, ...]
    assumed: str
    target: str = ""  # what the cost was chosen for

    @property
    def rho(self) -> int:
        """Nano-rho of the whole request at each node, over all units."""
        return sum(each.rho for each in self.cost)

    @property
    def answering(self) -> tuple[NodePlan, ...]:
        """The nodes that are expected to answer at once."""
        return tuple(node for node in self.nodes if node.answers)

    @property
    def coverage(self) -> dict[str, int]:
        """Expected, as nodes and as known enrolment."""
        return {
            "asked": len(self.nodes),
            "answering": len(self.answering),
            "held": sum(node.connected and node.verdict.word == "held" for node in self.nodes),
            "enrolment_asked": sum(node.enrolment for node in self.nodes),
            "enrolment_answering": sum(node.enrolment for node in self.answering),
        }

    def to_json(self) -> dict[str, Any]:
        """A plain tree for machines."""
        from collegium.plan_show import plan_tree

        return plan_tree(self)

    def __str__(self) -> str:
        from collegium.plan_show import plan_text

        return plan_text(self)

    def _repr_html_(self) -> str:
        from collegium.plan_show import plan_html

        return plan_html(self)


def rho_text(nano: int) -> str:
    """Nano-rho as rho, exact, without zeros that say nothing."""
    text = f"{nano // NANO}.{nano % NANO:09d}".rstrip("0")
    return text.rstrip(".")
