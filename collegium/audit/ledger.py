"""A6: the ledger replayed in integers, charge by charge in the order of the log, under the policy in force at each.

The rules are those of the node's own ledger: a period is found from the time of the charge; all charges of a privacy unit add over
datasets, years and snapshots; limits of datasets and researchers are sums within one unit and period. What this replay allows and
the node refused is the node's own affair; what the node charged beyond its own signed limits is a contradiction.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from collegium.audit.case import SKEW
from collegium.audit.facts import DecisionFact, PolicyFact
from collegium.audit.frame import Frame
from collegium.errors import Invalid

__all__ = ["Charge", "Ledger", "Limits", "labels"]

SMALLEST = 10  # universities in a national sum, where a policy says nothing of it
PERIODS = ("year", "quarter", "month")


@dataclass(frozen=True, slots=True)
class Limits:
    """A signed policy, as far as it limits: nano-rho. `allowed` are (researcher, key, datasets, release modes) of its
    rules; ("*",) is all datasets. `smallest`: of so many universities a national sum must be at least.
    """

    index: int
    budgets: dict[str, tuple[str, int, int]]  # by unit: period, rho, lifetime
    datasets: dict[str, int]
    researchers: dict[str, int]
    largest: int | None
    allowed: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...]
    smallest: int
    lost: dict[str, tuple[int, int]]  # by unit: what an earlier, lost log may have charged, and when it was lost

    def lost_in(self, unit: str, label: str = "") -> int:
        """What counts as spent without a charge, ever or in the period of this label."""
        rho, time = self.lost.get(unit, (0, 0))
        return rho if not label or label in labels(time) else 0

    def allows(self, researcher: str, key: str, dataset: str, mode: str) -> bool:
        """Whether some rule could have let this researcher's key ask about this dataset in this release mode, for some purpose."""
        return any(
            (who, vkey) == (researcher, key) and (dataset in which or which == ("*",)) and mode in modes
            for who, vkey, which, modes in self.allowed
        )  # fmt: skip


@dataclass(slots=True)  # not frozen: that takes three times as long, and there is one for every charge
class Charge:
    index: int
    time: int
    unit: str
    dataset: str
    researcher: str
    rho: int
    request: str
    number: int
    plan: str | None  # of a national sum


@dataclass(slots=True)
class Ledger:
    """One node's charges. `charges` in the order of the log; `limits` every policy that came, newest last."""

    frame: Frame
    charges: list[Charge] = field(default_factory=list)
    limits: list[Limits] = field(default_factory=list)
    spent: dict[tuple[str, ...], int] = field(default_factory=dict)
    _periods: list[int] = field(default_factory=list)  # of PERIODS, those that some policy here has used
    _unread: bool = False

    @property
    def lost(self) -> dict[str, int]:
        """What the newest policy counts as lost with an earlier log, nano-rho by unit."""
        return {unit: rho for unit, (rho, _) in self.limits[-1].lost.items()} if self.limits else {}

    def policy(self, index: int, fact: PolicyFact) -> None:
        try:
            limits = _limits(index, fact.policy)
            self._unread = False
        except Invalid as error:
            self._unread = True
            text = f"the policy at entry {index} cannot be read by this version: {error.text}"
            self.frame.warn("A6", "policy", text, missing=True)
            return
        for before in self.limits[-1:]:
            if any(limits.lost.get(unit, (0, 0))[0] < rho for unit, (rho, _) in before.lost.items()):
                text = f"{self.frame.log.name} drops, in the policy at entry {index}, what an earlier log of its had lost"
                self.frame.fail("A6", "lost", text, before.index, index)
        self.limits.append(limits)
        for period in {PERIODS.index(each[0]) for each in limits.budgets.values()} - set(self._periods):
            self._periods.append(period)
            for charge in self.charges:
                self._add(charge, period)

    def _add(self, charge: Charge, period: int) -> None:
        """Count a charge in the scopes of one kind of period."""
        spent, unit, label = self.spent, charge.unit, labels(charge.time)[period]
        for scope in ((unit, label), (unit, label, "dataset", charge.dataset), (unit, label, "researcher", charge.researcher)):
            spent[scope] = spent.get(scope, 0) + charge.rho

    def charge(self, index: int, fact: DecisionFact, researcher: str, key: str) -> None:
        """One charge: its period, the limits it must fit, and a rule that could have allowed it."""
        frame = self.frame
        unit, dataset, rho = str(fact.unit), str(fact.dataset), int(fact.rho or 0)
        self._backwards(index, fact.time)
        charge = Charge(index, fact.time, unit, dataset, researcher, rho, fact.request, fact.number, fact.plan)
        self.charges.append(charge)
        names = labels(fact.time)
        spent = self.spent
        spent[(unit,)] = spent.get((unit,), 0) + rho
        for period in self._periods:  # a later policy may change from one kind to another
            self._add(charge, period)
        if self._unread:
            return
        frame.case.findings.ran("A6", frame.log.name)
        name, limits = frame.log.name, self.limits[-1] if self.limits else None
        budget = limits.budgets.get(unit) if limits is not None else None
        if limits is None or budget is None:
            frame.fail(
                "A6", "no-budget", f"{name} charged {unit} (entry {index}), for which no policy in its log gives a budget", index
            )
            return
        label = names[PERIODS.index(budget[0])]
        if fact.period != label:
            text = f"{name} charged entry {index} to the period {fact.period}; its time lies in {label}"
            frame.fail("A6", "period", text, limits.index, index)
        ever, now = limits.lost_in(unit), limits.lost_in(unit, label)
        self._fits(index, limits, "lifetime", (unit,), budget[2] - ever)
        self._fits(index, limits, f"{unit} in {label}", (unit, label), budget[1] - now)
        for kind, which, figures in (("dataset", dataset, limits.datasets), ("researcher", researcher, limits.researchers)):
            if which in figures:
                self._fits(index, limits, f"{kind} {which} in {label}", (unit, label, kind, which), figures[which] - now)
        self._allowed(index, fact, researcher, key)

    def _fits(self, index: int, limits: Limits, what: str, scope: tuple[str, ...], limit: int) -> None:
        spent = self.spent[scope]
        if spent <= limit:
            return
        frame = self.frame
        told = not frame.case.findings.enough("A6", frame.log.name, "overdrawn", frame.log.name)
        counted = [each.index for each in self.charges if _within(each, scope)] if told else []
        text = (
            f"{frame.log.name} overdrew its own budget with entry {index}: {spent} nano-rho charged, {limit} allowed "
            f"({what}, policy at entry {limits.index}, {len(counted)} charges)"
        )
        frame.fail("A6", "overdrawn", text, limits.index, *counted)

    def _allowed(self, index: int, fact: DecisionFact, researcher: str, key: str) -> None:
        """Rules are looked up before the charge is written: a policy signed in between convicts nobody: any before it counts."""
        frame, name = self.frame, self.frame.log.name
        newest = self.limits[-1]
        dataset, rho, mode = str(fact.dataset), int(fact.rho or 0), "per_node" if fact.plan is None else "national"
        if newest.allows(researcher, key, dataset, mode) and (newest.largest is None or rho <= newest.largest):
            return
        if not any(limits.allows(researcher, key, dataset, mode) for limits in self.limits):
            what = "national sums" if fact.plan else "the university's own figures"
            text = f"{name} charged a question of {researcher} on {dataset} (entry {index}); no policy of its log allowed it {what}"
            frame.fail("A6", "not-allowed", text, newest.index, index)
        elif all(limits.largest is not None and rho > limits.largest for limits in self.limits):
            text = f"{name} charged {rho} nano-rho for one question (entry {index}), more than any of its policies ever allowed"
            frame.fail("A6", "too-costly", text, newest.index, index)
        elif not newest.allows(researcher, key, dataset, mode):
            frame.warn("A6", "rule", f"entry {index} is a charge that the policy at entry {newest.index} no longer allows")

    def _backwards(self, index: int, time: int) -> None:
        """A9: a charge may not fall into an earlier period than something the node had signed before it."""
        before = self.frame.times
        if before.now - SKEW > time and labels(time)[2] < labels(before.now - SKEW)[2]:
            name = self.frame.log.name
            text = f"{name} states for its charge at entry {index} a time in {labels(time)[2]}, after it had signed a later one"
            self.frame.fail("A9", "period", text, before.at, index)


def labels(time: int) -> tuple[str, str, str]:
    """The UTC year, quarter and month around a Unix time, as charges name them."""
    day = time // 86_400
    found = _days.get(day)
    if found is None:
        try:
            moment = datetime.fromtimestamp(day * 86_400, UTC)
            year = f"{moment.year}"
            found = year, f"{year}-Q{(moment.month - 1) // 3 + 1}", f"{year}-{moment.month:02}"
        except (ValueError, OverflowError, OSError):
            found = "9999", "9999-Q4", "9999-12"  # a time beyond all calendars
        _days[day] = found
    return found


_days: dict[int, tuple[str, str, str]] = {}


def _within(charge: Charge, scope: tuple[str, ...]) -> bool:
    if charge.unit != scope[0] or (len(scope) > 1 and scope[1] not in labels(charge.time)):
        return False
    return len(scope) < 4 or scope[3] == (charge.dataset if scope[2] == "dataset" else charge.researcher)


def _limits(index: int, text: str) -> Limits:
    """The policy's figures, strictly: a field that this version does not know may be a limit. Raises Invalid."""
    tree = json.loads(text)
    _only(tree, {"budget", "limits", "largest_question", "allow", "lost", "national"}, "policy")
    _only(tree.get("national", {}), {"smallest"}, "national")
    budgets = {}
    for unit, line in _table(tree, "budget").items():
        _only(line, {"period", "rho", "lifetime"}, f"budget.{unit}")
        if line.get("period") not in PERIODS:
            raise Invalid("an unknown period", place=f"budget.{unit}")
        budgets[unit] = (line["period"], _whole(line.get("rho")), _whole(line.get("lifetime")))
    limits = _table(tree, "limits")
    _only(limits, {"dataset", "researcher"}, "limits")
    rules = tree.get("allow", [])
    if not isinstance(rules, list):
        raise Invalid("not a list", place="allow")
    allowed = []
    for rule in rules:
        _only(rule, {"researcher", "key", "datasets", "mode", "purpose", "release"}, "allow")
        modes = tuple(map(str, rule.get("release") or ("per_node",)))
        allowed.append((str(rule.get("researcher")), str(rule.get("key")), tuple(map(str, rule.get("datasets") or ())), modes))
    lost = {}
    for unit, line in _table(tree, "lost").items():
        _only(line, {"rho", "time"}, f"lost.{unit}")
        lost[unit] = (_whole(line.get("rho")), _whole(line.get("time")))
    largest = tree.get("largest_question")
    return Limits(
        index, budgets,
        {name: _whole(value) for name, value in _table(limits, "dataset").items()},
        {name: _whole(value) for name, value in _table(limits, "researcher").items()},
        None if largest is None else _whole(largest), tuple(allowed),
        _whole(tree.get("national", {}).get("smallest", SMALLEST)), lost,
    )  # fmt: skip


def _only(tree: Any, known: set[str], place: str) -> None:
    if not isinstance(tree, dict) or set(tree) - known:
        raise Invalid("a part that this version does not know", place=place)


def _table(tree: dict[str, Any], name: str) -> dict[str, Any]:
    found = tree.get(name, {})
    if not isinstance(found, dict):
        raise Invalid("not a table", place=name)
    return found


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise Invalid("not a whole number of nano-rho", place="policy")
    return value
