"""The rounds of national sums as the coordinator's log tells them: each plan, every step that names it, and the result's grounds.

What a step rests on stands before it in this log: the coordinator keeps what nodes and trustees send before it says the next thing.
The numbers of a plan are judged in `plans`; lists and sums, which need files, in `readd`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from collegium.audit.exhibits import entry_files
from collegium.audit.facts import CheckFact, CloseFact, PlanFact, ResultFact, SubmitFact, TrusteeKeyFact, UnmaskFact
from collegium.audit.frame import Frame
from collegium.audit.once import Once

__all__ = ["Round", "Rounds", "Share"]


@dataclass(slots=True)  # not frozen: one is made for every submission
class Share:
    """A SUBMIT that the coordinator's log holds, at entry `index`."""

    index: int
    node: str
    member: int
    vector: str


@dataclass(slots=True)
class Round:
    """One plan, at entry `index`, and what followed; steps by their statement id, with their entry."""

    index: int
    plan: PlanFact
    shares: dict[str, Share] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)  # by node: the id of its first SUBMIT
    prepares: dict[str, tuple[int, Any]] = field(default_factory=dict)
    closes: dict[str, tuple[int, CloseFact]] = field(default_factory=dict)
    unmasks: dict[str, tuple[int, UnmaskFact]] = field(default_factory=dict)
    checks: dict[str, tuple[int, CheckFact]] = field(default_factory=dict)
    results: dict[str, tuple[int, ResultFact]] = field(default_factory=dict)
    proper: set[str] = field(default_factory=set)  # results that rest on what they name
    charges: int = 0
    participants: tuple[tuple[str, str], ...] | None = None  # node and id of its SUBMIT; None until the list was read and holds
    again: str = ""  # how the sum was looked at: `added` again from the vectors, or `kept` no longer; empty: not at all

    @property
    def result(self) -> tuple[int, ResultFact] | None:
        return next(iter(self.results.values()), None)


class Rounds:
    """All rounds of one coordinator's log, by the plan's id."""

    def __init__(self, frame: Frame, once: Once) -> None:
        self._frame = frame
        self._case = frame.case
        self._once = once
        self._a7 = frame.case.findings.meter("A7", frame.log.name)
        self.by_plan: dict[str, Round] = {}
        self.by_result: dict[str, Round] = {}
        self._planned: dict[tuple[str, int, tuple[str, ...] | None], int] = {}  # entry of the first plan of a request's group
        self.keys: dict[tuple[str, str], tuple[int, TrusteeKeyFact]] = {}  # by trustee and sealing key
        self._charged: dict[tuple[str, bytes, int], tuple[int, str]] = {}  # of nodes whose log is not here: by charge

    def see(self, index: int, fact: Any, *, judged_there: bool = False) -> None:
        """A step of a round. `judged_there`: its author's own log is here and holds it."""
        kind = fact.kind
        if kind == "national-plan":
            self._plan(index, fact)
            return
        if kind == "national-key":
            self.keys.setdefault((self._case.name(fact.origin), fact.sealing), (index, fact))
            return
        round_ = self.by_plan.get(fact.plan)
        if kind != "national-submit":
            self._once.see(self._frame.log, index, fact)
        if round_ is None:
            self._no_plan(index, fact)
        elif kind == "national-submit":
            self._submit(index, fact, round_, judged_there)
        elif kind == "national-result":
            self._result(index, fact, round_)
        else:
            steps: dict[str, Any] = {
                "national-prepare": round_.prepares, "national-close": round_.closes, "national-unmask": round_.unmasks,
                "national-check": round_.checks,
            }  # fmt: skip
            steps[kind].setdefault(fact.id, (index, fact))

    def _plan(self, index: int, fact: Any) -> None:
        """A group of a question of a request is planned once: two totals, one without a university, would show it."""
        self.by_plan[fact.id] = Round(index, fact)
        before = self._planned.setdefault((fact.request, fact.number, fact.group), index)
        if before != index:
            text = (
                f"the coordinator planned one national sum of one request twice, at entries {before} and {index}: the difference "
                "of two totals may be one university"
            )
            self._frame.fail("A4", "two-national-plans", text, before, index)

    def charge(self, index: int, fact: Any, node: str) -> None:
        """A node's charge for a plan: it is about the question that the plan is about."""
        round_ = self.by_plan.get(fact.plan)
        if round_ is None:
            self._no_plan(index, fact)
            return
        round_.charges += 1
        planned = round_.plan
        if (fact.request, fact.number) != (planned.request, planned.number):
            text = (
                f"{node} charged (entry {index} of {self._frame.log.name}) a question for the plan of another one, at entry "
                f"{round_.index}"
            )
            self._frame.fail("A4", "another-plan", text, round_.index, index, party=node)

    def _no_plan(self, index: int, fact: Any) -> None:
        name = self._case.name(fact.origin)
        text = f"entry {index} is a {fact.kind} about a plan that stands nowhere before it in the coordinator's log"
        if name == "coordinator":
            self._frame.fail("A7", "no-plan", text, index)
        else:
            self._frame.warn("A7", "no-plan", text, missing=True)

    def _submit(self, index: int, fact: SubmitFact, round_: Round, judged_there: bool) -> None:
        if fact.id in round_.shares:
            return
        node = self._case.name(fact.origin)
        round_.shares[fact.id] = Share(index, node, fact.member, fact.vector)
        first = round_.first.setdefault(node, fact.id)
        if first != fact.id:
            self._two(index, round_.shares[first].index, node, "plan")
        if not judged_there:
            charge = node, self._case.keys[fact.key].log, fact.decision
            at, other = self._charged.setdefault(charge, (index, fact.id))
            if other != fact.id:
                self._two(index, at, node, "charge")

    def _two(self, index: int, before: int, node: str, what: str) -> None:
        text = f"{node} gave two different submissions for one {what} (entries {before} and {index} of {self._frame.log.name})"
        log = self._frame.log
        self._case.findings.fail(
            "A4", node, f"two-shares-{what}", text, party=node, exhibits=lambda: entry_files(log, before, index)
        )

    def _result(self, index: int, fact: ResultFact, round_: Round) -> None:
        """A7: a result rests on one list, the masks of all three trustees for it, and the check of the trustee drawn by lot.

        1. The list stands before it. 2. So do the three sums of masks, each of its trustee, of this list. 3. So does the check: of
        the trustee drawn, about these masks and this list. 4. The result says the check's total, the list's count, the plan's m.
        """
        self._a7[0] += 1
        round_.results.setdefault(fact.id, (index, fact))
        self.by_result.setdefault(fact.id, round_)
        wrong = self._grounds(fact, round_)
        if wrong is None:
            round_.proper.add(fact.id)
            return
        rule, text, shown = wrong
        self._frame.fail("A7", rule, f"the result of a national sum at entry {index} {text}", round_.index, *shown, index)

    def _grounds(self, fact: ResultFact, round_: Round) -> tuple[str, str, list[int]] | None:
        # Imported here: whoever audits a federation without national sums loads none of this.
        from collegium.national.statements import lot

        # (1)
        close = round_.closes.get(fact.close)
        if close is None:
            return "result-close", "rests on a list of participants that stands nowhere before it", []
        # (2)
        shown = [close[0]]
        for place, identity in enumerate(fact.unmasks):
            unmask = round_.unmasks.get(identity)
            name = round_.plan.trustees[place][0]
            if unmask is None:
                return "result-masks", f"rests on masks of {name} that stand nowhere before it", shown
            shown.append(unmask[0])
            if not self._says(unmask[1], name, place) or unmask[1].close != fact.close:
                return "result-masks", f"names as the masks of {name} what is not its, or of another list", shown
            if unmask[1].masks_size != 8 * round_.plan.length:
                return "result-masks", f"takes masks of {name} that have another length than the plan", shown
        # (3)
        drawn = lot(fact.unmasks)
        check = round_.checks.get(fact.check)
        if check is None:
            return "no-check", "names a trustee's check that stands nowhere before it", shown
        shown.append(check[0])
        name = round_.plan.trustees[drawn][0]
        said = check[1]
        if not self._says(said, name, drawn) or (said.close, said.unmasks) != (fact.close, fact.unmasks):
            return (
                "no-check",
                f"names as the check of {name}, on whom the lot fell, what is not, or is about other statements",
                shown,
            )
        # (4)
        if (said.total, said.total_size) != (fact.total, fact.total_size):
            return "check-total", f"says another total than {name}, who has added up again", shown
        if (fact.listed, fact.honest) != (close[1].listed, round_.plan.honest):
            return "result-count", "counts other participants than its list, or other honest ones than its plan", shown
        return None

    def _says(self, fact: Any, name: str, place: int) -> bool:
        """Whether a trustee's step is signed by this trustee, for its place in the plan."""
        return self._case.name(fact.origin) == name and fact.trustee == place
