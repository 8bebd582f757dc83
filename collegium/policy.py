"""A node's newest signed policy as a researcher reads it: what the node would say to a question, before it is asked.

The verdict here is the node's own rule applied to the policy it has published (`collegium_node.policy` decides; a test holds the
two together). What it cannot know is what has been spent: a question that fits the budget of a whole period may still be refused.
A policy that does not verify, or says what this version does not know, gives the verdict `unknown`, never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from collegium.errors import CollegiumError, public_text
from collegium.registrar import Registered
from collegium.statements import Policy, PolicySnapshot

__all__ = ["Budget", "Foreseen", "Priced", "PublishedPolicy", "Rules", "foresee", "read_policy"]

Mode = Literal["per_node", "national"]
Word = Literal["allowed", "held", "refused", "unknown"]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(_Closed):
    """Of one privacy unit, nano-rho: `rho` in each calendar period, `lifetime` ever."""

    period: Literal["year", "quarter", "month"]
    rho: int
    lifetime: int


class _Rule(_Closed):
    researcher: str
    key: str
    datasets: tuple[str, ...]
    mode: Literal["allow", "hold"] = "allow"
    purpose: str = ""
    release: tuple[Mode, ...] = ("per_node",)


class _National(_Closed):
    smallest: int = 10


class _Limits(_Closed):
    dataset: dict[str, int] = {}
    researcher: dict[str, int] = {}


class Rules(_Closed):
    budget: dict[str, Budget] = {}
    limits: _Limits = _Limits()
    largest_question: int | None = None
    allow: tuple[_Rule, ...] = ()
    national: _National = _National()


@dataclass(frozen=True, slots=True)
class PublishedPolicy:
    """Verified: signed by the node. `time` in Unix seconds; `datasets` are those of its current snapshot."""

    time: int
    rules: Rules
    snapshots: tuple[PolicySnapshot, ...]

    @property
    def budgets(self) -> dict[str, Budget]:
        """By privacy unit."""
        return self.rules.budget

    @property
    def datasets(self) -> tuple[str, ...]:
        return next((each.datasets for each in self.snapshots if each.current), ())

    @property
    def smallest(self) -> int:
        """Of so many universities at least a national sum must be that this one is in."""
        return self.rules.national.smallest

    @property
    def absent(self) -> dict[str, tuple[str, ...]]:
        """By dataset of the current snapshot, the columns that the university does not serve: `unknown` in every row."""
        return next((dict(each.absent or {}) for each in self.snapshots if each.current), {})


@dataclass(frozen=True, slots=True)
class Priced:
    """What a policy needs to know of one question. `rho` in nano-rho; the same `digest` again is not charged again.

    `mode` is the question's release mode; every national sum is a charge of its own. `least`: of a national sum, the fewest
    universities that it may come to be of, u_min; None when that is not known yet.
    """

    dataset: str
    unit: str
    rho: int
    digest: str = ""
    mode: Mode = "per_node"
    least: int | None = None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a node would say to one question; `text` is empty when it would allow it."""

    word: Word
    reason: str = ""

    @property
    def text(self) -> str:
        if self.word == "unknown":
            return "The university has published no policy that this version can read."
        return public_text(self.reason) if self.reason else ""


def read_policy(note: bytes, node: Registered) -> PublishedPolicy | None:
    """The policy in a signed statement of this node; None when there is none, it does not verify, or it cannot be read."""
    if not note or node.log is None:
        return None
    try:
        body = Policy.open(note, [node.statements])
        if body.log.origin != node.log.name:
            return None
        return PublishedPolicy(body.time, _rules(body.policy), body.snapshots)
    except (CollegiumError, ValidationError):
        return None


def foresee(
    policy: PublishedPolicy | None, questions: Sequence[Priced], *, researcher: str, key: str, purpose: str
) -> list[Foreseen]:
    """The verdict on each question of one request, in order. The charges of a request add up against the budgets."""
    if policy is None:
        return [Foreseen("unknown") for _ in questions]
    rules = policy.rules
    verdicts = []
    spent: dict[tuple[str, ...], int] = {}
    paid: set[str] = set()
    for question in questions:
        verdict = _by_rule(rules, question, researcher, key, purpose)
        if verdict.word != "refused":
            if question.dataset not in policy.datasets:
                verdict = Foreseen("refused", "no-dataset")
            else:
                reason = "" if question.digest in paid else _over(rules, question, researcher, spent)
                verdict = Foreseen("refused", reason) if reason else verdict
                if not reason and question.mode == "per_node":
                    paid |= {question.digest} - {""}
        verdicts.append(verdict)
    return verdicts


def _by_rule(rules: Rules, question: Priced, researcher: str, key: str, purpose: str) -> Foreseen:
    fitting = [
        rule
        for rule in rules.allow
        if (rule.researcher, rule.key) == (researcher, key)
        and (rule.datasets == ("*",) or question.dataset in rule.datasets)
        and rule.purpose.casefold() in purpose.casefold()
    ]
    rule = next((rule for rule in fitting if question.mode in rule.release), None)
    if rule is None:
        return Foreseen("refused", "mode" if fitting else "not-allowed")
    if question.least is not None and question.least < rules.national.smallest:
        return Foreseen("refused", "too-few")
    if rules.largest_question is not None and question.rho > rules.largest_question:
        return Foreseen("refused", "too-costly")
    return Foreseen("held", "held") if rule.mode == "hold" else Foreseen("allowed")


def _over(rules: Rules, question: Priced, researcher: str, spent: dict[tuple[str, ...], int]) -> str:
    """The first limit that not even an untouched period covers, "" if there is none; what fits is added to `spent`."""
    budget = rules.budget.get(question.unit)
    if budget is None:
        return "budget-period"
    whole = (question.unit,)
    lines: list[tuple[tuple[str, ...], int | None, str]] = [
        (whole, budget.lifetime, "budget-lifetime"),
        (whole, budget.rho, "budget-period"),
        ((question.unit, "dataset", question.dataset), rules.limits.dataset.get(question.dataset), "budget-dataset"),
        ((question.unit, "researcher"), rules.limits.researcher.get(researcher), "budget-researcher"),
    ]
    for line, limit, reason in lines:
        if limit is not None and spent.get(line, 0) + question.rho > limit:
            return reason
    for line in {line for line, _, _ in lines}:
        spent[line] = spent.get(line, 0) + question.rho
    return ""


def _rules(tree: dict[str, Any]) -> Rules:
    return Rules.model_validate(tree)
