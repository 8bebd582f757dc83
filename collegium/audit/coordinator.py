"""The coordinator's log, entry by entry: A4 and A7 (what its indicators add), A8 (what nodes answered, against their logs).

What a node signed is judged in the node's own log where that is here; where it is not, the copy in this log is judged, and names
the node that signed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from collegium.audit.asked import Asked
from collegium.audit.case import Case, Log
from collegium.audit.exhibits import entry_files
from collegium.audit.facts import IndicatorFact, ReleaseFact, WithdrawalFact
from collegium.audit.frame import Frame
from collegium.audit.heads import Heads
from collegium.audit.once import Once
from collegium.audit.rounds import Rounds
from collegium.audit.sums import Sum, Used, UsedRound, open_accounts
from collegium.audit.verdict import Exhibit
from collegium.errors import CollegiumError
from collegium.log.folder import MISSING

if TYPE_CHECKING:
    from collegium.statements import Accounts

__all__ = ["CoordinatorReplay", "Held", "Pending"]


@dataclass(slots=True)  # not frozen: one is made for every release
class Held:
    """A release that the coordinator's log holds, at entry `index`."""

    index: int
    node: str
    request: str
    number: int
    question: str
    scales: tuple[str, ...]
    payload: str


@dataclass(frozen=True, slots=True)
class Pending:
    """An indicator of a national question, read as far as its accounts: what it adds is judged when the rounds are."""

    index: int
    fact: IndicatorFact
    accounts: Accounts
    audience: tuple[str, ...]
    exhibits: tuple[Exhibit, ...]


@dataclass
class CoordinatorReplay:
    """What the coordinator's log says, replayed. `sums` are indicators whose tables are to be computed again."""

    case: Case
    log: Log
    heads: Heads
    once: Once
    sums: list[Sum] = field(default_factory=list)
    releases: dict[str, Held] = field(default_factory=dict)  # by statement id
    withdrawn: dict[str, int] = field(default_factory=dict)  # by id of the release: entry of the withdrawal
    unheard: set[str] = field(default_factory=set)  # ids of releases that their node's log alone withdraws
    former: dict[tuple[str, str], int] = field(default_factory=dict)  # by node and unit: charges of a log that it had before
    indicators: dict[tuple[str, int], list[tuple[int, IndicatorFact]]] = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.frame = Frame(self.case, self.log, self.heads)
        self.asked = Asked(self.frame)
        self.rounds = Rounds(self.frame, self.once)
        self._first: dict[tuple[str, str, int], tuple[int, str]] = {}  # release of a node for a question of a request
        self._reuses: dict[tuple[str, str, int, str], int] = {}  # node, request, number, release: entry of the reuse
        self._unjudged: set[str] = set()  # plans, lists and results that rest on what the copy of the registry cannot tell

    def see(self, index: int, raw: tuple[Any, ...]) -> None:
        fact = self.frame.see(index, raw)
        if fact is None:
            return
        kind = fact.kind
        if kind == "request":
            self.asked.request(index, fact)
        elif kind == "indicator":
            self._indicator(index, fact)
        elif kind == "national-plan":
            self._plan(index, fact)
        elif kind in ("national-close", "national-result"):
            self._step(index, fact)
        elif kind != "peer":
            self._answer(index, fact)

    def close(self, heads: Heads) -> None:
        self.frame.times.close(heads, self.frame.own)
        # Its steps have found it. Its numbers cannot be computed, though it names a registry that is here.
        size = self.case.registry.size if self.case.registry is not None else 0
        for plan in self._unjudged & self.rounds.by_plan.keys():
            if self.rounds.by_plan[plan].plan.size <= size:
                del self.rounds.by_plan[plan]

    def _plan(self, index: int, fact: Any) -> None:
        question = self.asked.question(index, fact, self.log.name)
        if question is None:
            return
        if not question.parts:
            self._unjudged.add(fact.id)
        self.rounds.see(index, fact)

    def _step(self, index: int, fact: Any) -> None:
        """A list or result. One that rests on statements whose signer is not in the registry here is kept, and not judged."""
        named = fact.prepares if fact.kind == "national-close" else (fact.close, *fact.unmasks, fact.check)
        if any(each in self.log.unread or each in self._unjudged for each in named):
            text = f"the {fact.kind} at entry {index} rests on what is signed by nobody in the registry here: it is not judged"
            self.frame.warn("A7", "unread", text, missing=True)
            self._unjudged.add(fact.id)
            self.once.see(self.log, index, fact)
            return
        self.rounds.see(index, fact)

    def _answer(self, index: int, fact: Any) -> None:
        """What a node signed: a decision, release, withdrawal or submission; or a trustee: its step of a round."""
        node = self.case.name(fact.origin)
        judged_there = self._logged(index, fact, node)
        if fact.at >= self.frame.embedded(fact.origin):
            text = "answers of nodes stand before a checkpoint that holds them: the order of the two logs is not proven there"
            self.frame.warn("A9", "order", text, missing=True)
        if fact.kind == "withdrawal":
            self._withdrawal(index, fact, node)
            return
        if fact.kind.startswith("national-"):
            self.rounds.see(index, fact, judged_there=judged_there)
            return
        question = self.asked.question(index, fact, node)
        if question is None:
            return
        if fact.kind == "decision":
            if not judged_there:
                self.asked.price(index, fact, question, node)
            if fact.verdict == "reuse":
                self._reuses.setdefault((node, fact.request, fact.number, str(fact.original_id)), index)
            elif fact.verdict == "charge" and fact.plan is not None:
                self.rounds.charge(index, fact, node)
            return
        if not judged_there:
            self.asked.shape(index, fact, question, node)
        self._release(index, fact, node)

    def _logged(self, index: int, fact: Any, node: str) -> bool:
        """A8: the node's log holds, where the statement says, this very statement. Whether the node's own log was judged for it."""
        mine = self.case.logs.get(node)
        self.case.findings.meter("A8", node)[0] += 1
        if mine is None:
            return False
        if fact.at >= mine.size and self.case.keys[fact.key].log == mine.key.raw:
            text = f"the coordinator holds a {fact.kind} of {node} for index {fact.at}; the copy of that log ends at {mine.size}"
            self.case.findings.warn("A8", node, "short", text, missing=True)
            return False
        if mine.ids[32 * fact.at : 32 * fact.at + 32] == bytes.fromhex(fact.id):
            return fact.id not in mine.unread
        if self.case.keys[fact.key].log != mine.key.raw:
            text = f"the coordinator holds answers of a log that {node} had before this one and that is not here"
            self.case.findings.warn("A8", node, "former", text, missing=True)
            if fact.kind == "decision" and fact.verdict == "charge":
                self.former[node, str(fact.unit)] = self.former.get((node, str(fact.unit)), 0) + int(fact.rho or 0)
            return False
        text = (
            f"{node} signed a {fact.kind} as entry {fact.at} of its log (entry {index} of the coordinator's log holds it), and "
            f"its log holds another entry there"
        )
        at = fact.at
        self.case.findings.fail(
            "A8", node, "not-logged", text, party=node,
            exhibits=lambda: [*entry_files(self.log, index), *entry_files(mine, at)],
        )  # fmt: skip
        return False

    def _release(self, index: int, fact: ReleaseFact, node: str) -> None:
        """A4: a node has one release for a question of a request."""
        self.case.findings.meter("A4", node)[0] += 1
        before = self._first.setdefault((node, fact.request, fact.number), (index, fact.id))
        if before[1] != fact.id:
            text = f"{node} signed two releases for one question of a request (entries {before[0]} and {index} here)"
            self.case.findings.fail(
                "A4", node, "two-releases", text, party=node, exhibits=lambda: entry_files(self.log, before[0], index)
            )
        scales = tuple(scale for _, scale in fact.parts)
        self.releases[fact.id] = Held(index, node, fact.request, fact.number, fact.question, scales, fact.payload)

    def _withdrawal(self, index: int, fact: WithdrawalFact, node: str) -> None:
        held = self.releases.get(fact.release_id)
        if held is not None and held.node == node:
            self.withdrawn.setdefault(fact.release_id, index)

    def _indicator(self, index: int, fact: IndicatorFact) -> None:
        """A7 and A4: one indicator, up to what must be computed from payloads.

        1. It is on a question of a request that stands before it, and the next revision of it. 2. Its accounts, read from beside
        the log, name every node asked once. 3. Every release used stands before it, is of this question, and of this request or
        reused for it (of a national question: see `national`). 4. Its coverage is what accounts and registry say. 5. The table is
        left to `sums`.
        """
        name = self.log.name
        self.case.findings.ran("A7", name)
        # (1)
        question = self.asked.question(index, fact, name)
        if question is None:
            return
        revisions = self.indicators.setdefault((fact.request, fact.number), [])
        if fact.revision != len(revisions):
            before = [at for at, other in revisions if other.revision == fact.revision]
            text = (
                f"the coordinator signed revision {fact.revision} of an indicator (entry {index}) where {len(revisions)} came next"
            )
            self.frame.fail("A7", "revision", text, *before, index)
        revisions.append((index, fact))
        # (2)
        try:
            blob = self.log.folder.blob(fact.accounts)
        except CollegiumError as error:
            why = "is missing" if error.reason == MISSING else "is not the one signed"
            self.frame.warn(
                "A7", "accounts", f"the accounts of the indicator at entry {index} {why}: its sum is not checked", missing=True
            )
            return
        request = self.case.requests[fact.request]
        if not self.case.knows_audience(request):
            text = f"the indicator at entry {index} accounts for nodes that stand in the part of the registry that is not here"
            self.frame.warn("A7", "registry", text, missing=True)
            return
        audience = self.case.audience(request)
        accounts = open_accounts(blob, fact)
        exhibits = [Exhibit(f"{fact.accounts}.blob", blob, "the accounts that the indicator names by SHA-256")]
        if accounts is None:
            self.wrong(
                index,
                "accounts",
                f"the accounts of the indicator at entry {index} are not of the form signed, or not its coverage",
                exhibits,
            )
            return
        listed = sorted([each.node for each in accounts.releases] + [each.node for each in accounts.missing])
        if listed != sorted(audience):
            lost = sorted(set(audience) - set(listed)) + sorted(set(listed) - set(audience))
            text = f"the indicator at entry {index} does not account once for every node asked: {', '.join(lost[:5])}"
            self.wrong(index, "audience", text, exhibits, self.asked.at[fact.request])
            return
        # (3)
        if question.national:
            if question.parts and self._unjudged.isdisjoint(fact.results or ()):
                self.pending.append(Pending(index, fact, accounts, audience, tuple(exhibits)))
            self.coverage(index, fact, audience, {each.node for each in accounts.releases}, exhibits)
            return
        used = [self._used(index, fact, each.node, each.sha256, exhibits) for each in accounts.releases]
        for each in accounts.missing:
            self._left_out(index, fact, each.node, each.reason)
        # (4)
        if not self.coverage(index, fact, audience, {each.node for each in accounts.releases}, exhibits) or None in used:
            return
        if not question.parts:
            return  # told where its schema was missed
        # (5)
        self.add(index, fact, audience, accounts, used=tuple(each for each in used if each is not None))

    def add(
        self, index: int, fact: IndicatorFact, audience: Sequence[str], accounts: Accounts, *,
        used: tuple[Used, ...] = (), rounds: tuple[UsedRound, ...] = (), groups: tuple[tuple[str, ...], ...] = (),
    ) -> None:  # fmt: skip
        """Leave an indicator's table to be computed again."""
        reasons = {each.node: each.reason for each in accounts.missing}
        self.sums.append(
            Sum(
                index=index, request=self.asked.at[fact.request], number=fact.number, table=fact.table, size=fact.size,
                asked=tuple((node, reasons.get(node, "no-answer")) for node in audience), used=used, rounds=rounds,
                groups=groups,
            )
        )  # fmt: skip

    def coverage(
        self, index: int, fact: IndicatorFact, audience: Sequence[str], used: set[str], exhibits: Sequence[Exhibit]
    ) -> bool:
        """Whether the registry could say who was asked; a coverage that is not the registry's is a finding."""
        enrolment = self._enrolments(index, fact, audience, exhibits)
        if enrolment is None:
            return False
        known = [pair for pair in enrolment if pair[0]]
        total = sum(count for count, _ in known) if known else None
        reached = sum(count for count, node in known if node in used) if known else None
        if (fact.enrolment_asked, fact.enrolment) != (total, reached):
            self.wrong(index, "coverage", f"the indicator at entry {index} states another enrolment than the registry", exhibits)
        return True

    def _enrolments(
        self, index: int, fact: IndicatorFact, audience: Sequence[str], exhibits: Sequence[Exhibit]
    ) -> list[tuple[int, str]] | None:
        """(persons, node) of every node asked, as the registry that the indicator names has it; None when it cannot be told."""
        registry = self.case.registry
        if registry is None or fact.size > registry.size:
            text = (
                f"the indicator at entry {index} rests on a registry of {fact.size} entries, which is not here: it is not checked"
            )
            self.frame.warn("A7", "registry", text, missing=True)
            return None
        try:
            return [(registry.as_of(node, fact.size).enrolment, node) for node in audience]
        except CollegiumError as error:
            text = f"the indicator at entry {index} accounts for a node that the registry it names does not hold: {error.text}"
            self.wrong(index, "stranger", text, exhibits, self.asked.at[fact.request])
            return None

    def _used(self, index: int, fact: IndicatorFact, node: str, release: str, exhibits: Sequence[Exhibit]) -> Used | None:
        """A release that the accounts name, as the log holds it."""
        self.case.findings.ran("A4", self.log.name)
        held = self.releases.get(release)
        if held is None and release in self.log.unread:
            text = f"the indicator at entry {index} adds a release of {node} whose signer is not in the registry here"
            self.frame.warn("A7", "unread", text, missing=True)
            return None
        if held is None or held.node != node:
            text = f"the indicator at entry {index} adds a release of {node} that stands nowhere before it in the coordinator's log"
            self.wrong(index, "unheld", text, exhibits)
            return None
        if held.question != fact.question:
            self.wrong(
                index,
                "question",
                f"the indicator at entry {index} adds a release of {node} on another question",
                exhibits,
                held.index,
            )
            return None
        own = (held.request, held.number) == (fact.request, fact.number)
        if not own and (node, fact.request, fact.number, release) not in self._reuses:
            if self.case.origin(node) in self.log.unread.values():
                text = f"the indicator at entry {index} adds a release of {node} for another request: its reuse may be unread"
                self.frame.warn("A4", "replayed", text, missing=True)
                return None
            text = (
                f"the indicator at entry {index} adds the release of {node} (entry {held.index}) given for another request; "
                f"no reuse signed by {node} stands before it"
            )
            self.frame.fail("A4", "replayed", text, held.index, index, more=lambda: exhibits)
            return None
        if release in self.withdrawn:
            text = f"the indicator at entry {index} adds a release of {node} that was withdrawn at entry {self.withdrawn[release]}"
            self.frame.warn("A7", "withdrawn", text)
        return Used(node, held.index, held.scales, held.payload)

    def _left_out(self, index: int, fact: IndicatorFact, node: str, reason: str) -> None:
        """A release that came while the sum was made may be left out; a newer revision takes it in."""
        held = self._first.get((node, fact.request, fact.number))
        if held is not None and held[1] not in self.withdrawn:
            text = f"the indicator at entry {index} leaves out {node} ({reason}), whose release stands before it at entry {held[0]}"
            self.frame.warn("A7", "left-out", text)

    def wrong(self, index: int, rule: str, text: str, exhibits: Sequence[Exhibit], *others: int) -> None:
        self.frame.fail("A7", rule, text, *others, index, more=lambda: exhibits)
