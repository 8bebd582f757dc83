"""One node's log, entry by entry: A4 (one release or share for each charge), A13 (charges without one), and the ledger."""

from __future__ import annotations

from typing import Any

from collegium.audit.asked import Asked
from collegium.audit.case import Case, Log
from collegium.audit.facts import DecisionFact, ReleaseFact, SubmitFact, WithdrawalFact
from collegium.audit.frame import Frame
from collegium.audit.heads import Heads
from collegium.audit.ledger import Ledger

__all__ = ["NodeReplay"]


class NodeReplay:
    """What a node's log says, replayed."""

    def __init__(self, case: Case, log: Log, heads: Heads) -> None:
        self.frame = Frame(case, log, heads)
        self.asked = Asked(self.frame)
        self.ledger = Ledger(self.frame)
        self._case = case
        self._name = log.name
        self._meter = case.findings.meter("A4", log.name)
        self._charges: dict[int, tuple[str, int, str, str]] = {}  # by entry: request, number, question, snapshot
        self._paid: dict[tuple[str, str], int] = {}  # by question and snapshot: the entry of the charge
        self._released: dict[int, tuple[int, str]] = {}  # by entry of the charge: entry of the release, its id
        self._releases: dict[int, tuple[str, str, str]] = {}  # by entry: id, question, snapshot
        self.withdrawn: dict[str, int] = {}  # by id of the release: entry of the withdrawal
        self.received: list[tuple[int, Any]] = []  # plans and lists of the coordinator: entry, fact
        self._plans: dict[int, str] = {}  # by entry of a charge: the plan that it pays for
        self._planned: dict[str, int] = {}  # by plan: the entry of the charge
        self._shares: dict[tuple[str, str | int], tuple[int, str]] = {}  # by plan, and by charge: entry of the share, its id

    def see(self, index: int, raw: tuple[Any, ...]) -> None:
        fact = self.frame.see(index, raw)
        if fact is None:
            return
        kind = fact.kind
        if kind == "decision":
            self._decision(index, fact)
        elif kind == "release":
            self._release(index, fact)
        elif kind == "request":
            self._request(index, fact)
        elif kind == "policy":
            self.ledger.policy(index, fact)
        elif kind == "withdrawal":
            self._withdrawal(index, fact)
        elif kind == "national-submit":
            self._submit(index, fact)
        elif kind in ("national-plan", "national-close"):
            self.received.append((index, fact))

    def _request(self, index: int, fact: Any) -> None:
        self.asked.request(index, fact)
        coordinator = self._case.logs.get("coordinator")
        if coordinator is not None and not self.frame.embedded(coordinator.origin):
            self.frame.warn(
                "A9", "order", "requests stand before any checkpoint of the coordinator's log: their order is not proven"
            )

    def _decision(self, index: int, fact: DecisionFact) -> None:
        question = self.asked.question(index, fact, self._name)
        if question is None:
            return
        if fact.verdict in ("charge", "reuse"):
            self.asked.charged(index, fact)
        if fact.verdict == "charge":
            self._charge(index, fact, self.asked.price(index, fact, question, self._name))
        elif fact.verdict == "reuse":
            self._reuse(index, fact)

    def _charge(self, index: int, fact: DecisionFact, priced: bool) -> None:
        if fact.plan is None:
            self._bought(index, fact)
        else:
            self._pay(index, fact.plan)
        request = self._case.requests[fact.request]
        if request.key < 0:
            text = f"the charge at entry {index} is of a researcher whose key is not here: it is in no sum of the budget"
            self.frame.warn("A6", "researcher", text, missing=True)
        elif priced:
            self.ledger.charge(index, fact, request.researcher, self._vkey(request.key))

    def _pay(self, index: int, plan: str) -> None:
        """A charge for one plan of a national sum. The next plan is another charge; the same one is charged once."""
        before = self._planned.setdefault(plan, index)
        self._meter[0] += 1
        if before != index:
            text = f"{self._name} charged one plan of a national sum twice (entries {before} and {index})"
            self.frame.fail("A4", "plan-twice", text, before, index)
        self._plans[index] = plan

    def _submit(self, index: int, fact: SubmitFact) -> None:
        """A share belongs to one plan and to the charge that paid for this plan; shown under two totals it is their difference."""
        self._meter[0] += 1
        for what, key in (("plan", fact.plan), ("charge", fact.decision)):
            before = self._shares.setdefault((what, key), (index, fact.id))
            if before[1] != fact.id:
                text = f"{self._name} gave two different submissions for one {what} (entries {before[0]} and {index})"
                self.frame.fail("A4", f"two-shares-{what}", text, before[0], index)
                return
        if self._plans.get(fact.decision) != fact.plan:
            text = (
                f"{self._name} submitted (entry {index}) to a plan that its entry {fact.decision}, named as the charge, did not pay"
            )
            self.frame.fail("A4", "unpaid-share", text, fact.decision, index)

    def _bought(self, index: int, fact: DecisionFact) -> None:
        bought = str(fact.question), str(fact.snapshot)
        before = self._paid.setdefault(bought, index)
        self._meter[0] += 1
        if before != index:
            text = (
                f"{self._name} charged one question on one snapshot twice (entries {before} and {index}): two noises of one figure"
            )
            self.frame.fail("A4", "paid-twice", text, before, index)
        self._charges[index] = fact.request, fact.number, *bought

    def _vkey(self, key: int) -> str:
        return self._case.vkeys[key]

    def _reuse(self, index: int, fact: DecisionFact) -> None:
        self._meter[0] += 1
        original = self._releases.get(-1 if fact.original is None else fact.original)
        if original != (fact.original_id, fact.question, fact.snapshot):
            text = (
                f"{self._name} names at entry {index} as reused a release of that question and snapshot that its log does not hold"
            )
            shown = [] if fact.original is None or fact.original >= index else [fact.original]
            self.frame.fail("A4", "reuse", text, *shown, index)

    def _release(self, index: int, fact: ReleaseFact) -> None:
        self._meter[0] += 1
        question = self.asked.question(index, fact, self._name)
        paid = self._charges.get(fact.decision)
        if paid != (fact.request, fact.number, fact.question, fact.snapshot):
            text = f"{self._name} released (entry {index}) what its entry {fact.decision}, named as the charge, has not paid for"
            self.frame.fail("A4", "unpaid", text, *([fact.decision] if fact.decision < index else []), index)
            return
        before = self._released.get(fact.decision)
        if before is not None:
            text = f"{self._name} signed two releases for one charge, at entries {before[0]} and {index}"
            self.frame.fail("A4", "released-twice", text, before[0], fact.decision, index)
            return
        self._released[fact.decision] = index, fact.id
        self._releases[index] = fact.id, fact.question, fact.snapshot
        if question is not None:
            self.asked.shape(index, fact, question, self._name)

    def _withdrawal(self, index: int, fact: WithdrawalFact) -> None:
        self._meter[0] += 1
        found = self._releases.get(fact.release)
        if found is None or found[0] != fact.release_id:
            text = f"{self._name} withdraws at entry {index} a release that its log does not hold at entry {fact.release}"
            self.frame.fail("A4", "withdrawal", text, *([fact.release] if fact.release < index else []), index)
            return
        self.withdrawn.setdefault(fact.release_id, index)

    def close(self, heads: Heads) -> None:
        """A13 and A9, which need the whole log. A charge for a national sum has no release, and no submission after a crash."""
        self.frame.times.close(heads, self.frame.own)
        charges, released = len(self._charges), len(self._released)
        self._case.findings.ran("A13", self._name, charges)
        if released < charges:
            missing = charges - released
            text = f"{missing} of {charges} charges ({100 * missing / charges:.1f} %) have no release: a crash looks the same"
            self.frame.warn("A13", "rate", text)
