"""What a bundle's notes are about, and the verification of each: the middle of `collegium.bundle.verify`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from collegium.errors import NotVerified, Refused
from collegium.log.statement import statement_id
from collegium.national.bundled import BundledRound, check_statement
from collegium.proof import LogRule, Prover, rules_since
from collegium.registrar import Registered
from collegium.registry import Registry
from collegium.released import Asking, verify_decision, verify_release, verify_withdrawal
from collegium.statements import Decision, LogPlace, Release, UsedRelease, Withdrawal

if TYPE_CHECKING:
    from collegium.bundle import Bundle

__all__ = ["Sources"]

S = TypeVar("S")


class Sources:
    """The bundle's notes by what they are about, and a count of the signatures verified."""

    def __init__(self, bundle: Bundle, registry: Registry) -> None:
        self.bundle = bundle
        self.registry = registry
        self.releases = {statement_id(note): note for note in bundle.releases}
        self.statements = {statement_id(note): note for note in bundle.statements}
        self.decisions: dict[tuple[str, int], list[bytes]] = {}  # by origin of the log and number of the question
        for note in bundle.decisions:
            body = Decision.read(note)
            self.decisions.setdefault((body.log.origin, body.number), []).append(note)
        self.signatures = 0
        self.checked: set[bytes] = set()  # notes whose signature has been verified
        self.prover = Prover()
        self._coordinator = LogRule.of(registry, registry.coordinator_log)

    def logged(self, note: bytes, what: str, *, index: int | None = None) -> None:
        """The receipt of the coordinator's log for its own statement, or for the request: it has to be there, and to hold today."""
        receipt = self.bundle.receipts.get(statement_id(note))
        if receipt is None:
            raise NotVerified(f"there is no receipt for {what}", place="bundle", remedy="Fetch the result again.")
        self.prover.prove(receipt, note, self._coordinator, index=index, place=f"receipt for {what}")

    @property
    def blobs(self) -> Mapping[str, bytes]:
        """The bundle's, by SHA-256."""
        return self.bundle.blobs

    def payload(self, sha256: str, what: str) -> bytes:
        """A blob of the bundle."""
        return self.bundle.blob(sha256, what)

    def held(self, note: bytes, by: Registered, node: Registered, place: LogPlace, since: int) -> None:
        """The receipt of a node's log for its statement: by the log key it had then or has now, by a rule in force since then.

        Needed when `node`, the registration of today, is another than the one that signed: a stolen older key is in no log.
        """
        what = f"a statement of {node.name}"
        receipt = self.bundle.receipts.get(statement_id(note))
        if receipt is None:
            if by != node:
                raise NotVerified(f"there is no receipt for {what}", place="bundle", remedy="Fetch the result again.")
            return
        failure: NotVerified | None = None
        for log in dict.fromkeys(each.log for each in (node, by) if each.log is not None):
            for rule in rules_since(self.registry, log, since):
                try:
                    self.prover.prove(receipt, note, rule, index=place.index, place=f"receipt for {what}")
                except NotVerified as error:
                    failure = failure or error
                else:
                    return
        assert failure is not None, "a node has a log"
        raise failure

    def root(self, size: int) -> str | None:
        """The root of our own registry at a size, None beyond its end."""
        return self.registry.view_at(size).root if 0 <= size <= self.registry.size else None

    def released(self, used: UsedRelease, asking: Asking, size: int) -> tuple[Decision, Release, bytes]:
        """A used release, with the decision that let it out and its payload, all verified. `size`: the indicator's registry."""
        node = self.registry.as_of(used.node, size)
        note = self.releases.get(used.sha256)
        if note is None:
            raise NotVerified(f"the release of {used.node} is missing", place="bundle", remedy="Fetch the result again.")
        payload = self.bundle.blob(Release.read(note).payload.sha256, f"the payload of {used.node}")
        origin = node.log.name if node.log is not None else ""
        reason = f"the decision of {used.node} is missing"
        for candidate in self.decisions.get((origin, asking.number), ()):
            try:
                decision, release = self._let_out(candidate, note, payload, asking, node, size)
            except NotVerified as error:
                reason = f"{used.node}: {error.text}"
                continue
            self.signatures += 2
            self.checked |= {candidate, note}
            return decision, release, payload
        raise NotVerified(reason, place="bundle", remedy="Keep the bundle: it is evidence.")

    def charged(self, name: str, round_: BundledRound, asking: Asking, size: int) -> Decision | None:
        """A participant's charge for the plan of a round, verified; None where the round was paid for by an earlier request."""
        node = self.registry.as_of(name, size)
        origin = node.log.name if node.log is not None else ""
        reason = f"the charge of {name} is missing"
        for candidate in self.decisions.get((origin, round_.plan.number), ()):
            said = Decision.read(candidate)
            if said.plan != round_.plan_id or said.verdict != "charge":
                continue
            of = replace(asking, request=round_.plan.request, number=round_.plan.number)
            try:
                decision, by = self._signed(
                    lambda who, note=candidate, of=of: verify_decision(note, of, who, self.root, round_.plan_id),  # type: ignore[misc]
                    said,
                    node,
                    size,
                )
                self.held(candidate, by, node, decision.log, said.registry.size)
            except NotVerified as error:
                reason = f"{name}: {error.text}"
                continue
            self.signatures += 1
            self.checked.add(candidate)
            return decision
        if round_.plan.request != asking.request:
            return None
        raise NotVerified(reason, place="bundle", remedy="Keep the bundle: it is evidence.")

    def _let_out(
        self, candidate: bytes, note: bytes, payload: bytes, asking: Asking, node: Registered, size: int
    ) -> tuple[Decision, Release]:
        """Decision and release, each by the key of its own time, and what receipts there are of them."""
        said, given = Decision.read(candidate), Release.read(note)
        decision, by = self._signed(lambda who: verify_decision(candidate, asking, who, self.root), said, node, size)
        release, of = self._signed(lambda who: verify_release(note, payload, decision, asking, who, self.root), given, node, size)
        self.held(candidate, by, node, decision.log, said.registry.size)
        self.held(note, of, node, release.log, given.registry.size)
        return decision, release

    def _signed(
        self, check: Callable[[Registered], S], read: Decision | Release | Withdrawal, node: Registered, size: int
    ) -> tuple[S, Registered]:
        """What `check` finds with the node's registration in force at the registry size that the statement names."""
        claimed = read.registry.size
        if claimed > size or claimed > node.index:
            return check(node), node
        try:
            older = self.registry.as_of(node.name, claimed)
        except Refused as error:
            raise NotVerified(error.text, place="bundle") from None
        return check(older), older

    def withdrawn(self, used: UsedRelease, size: int) -> bool:
        """Whether the node has withdrawn a release. Raises NotVerified when a withdrawal of it is not the node's own."""
        found = False
        for note in self.bundle.withdrawals:
            body = Withdrawal.read(note)
            if body.release.sha256 == used.sha256:
                # It may be younger than the indicator: then it is signed by the key of its own time.
                newest = max(size, min(body.registry.size, self.registry.size))
                node = self.registry.as_of(used.node, newest)
                self._check_withdrawal(note, body, node, newest)
                found = True
        return found

    def check_rest(self, askings: Sequence[Asking]) -> None:
        """Every decision, release and withdrawal that no figure has needed: signed by a node, for its own log."""
        for note in self.bundle.decisions:
            if note not in self.checked:
                self._check_decision(note, askings)
        for note in self.bundle.releases:
            if note not in self.checked:
                self._check_release(note)
        for note in self.bundle.statements:
            if note not in self.checked:
                check_statement(note, self.registry)
                self.signatures += 1
        for note in self.bundle.withdrawals:
            if note not in self.checked:
                body = Withdrawal.read(note)
                self._check_withdrawal(note, body, self._node(body.log), self.registry.size)

    def _check_decision(self, note: bytes, askings: Sequence[Asking]) -> None:
        decision = Decision.read(note)
        if decision.number >= len(askings):
            raise NotVerified("a decision is of another question", place="bundle")
        asking, node = askings[decision.number], self._node(decision.log)
        self._signed(lambda who: verify_decision(note, asking, who, self.root, decision.plan), decision, node, self.registry.size)
        self.signatures += 1

    def _check_release(self, note: bytes) -> None:
        release = Release.read(note)
        self._signed(lambda who: Release.open(note, [who.statements]), release, self._node(release.log), self.registry.size)
        self.signatures += 1

    def _check_withdrawal(self, note: bytes, body: Withdrawal, node: Registered, size: int) -> None:
        self._signed(lambda who: verify_withdrawal(note, who), body, node, size)
        self.signatures += 1
        self.checked.add(note)

    def _node(self, place: LogPlace) -> Registered:
        """The node whose log a statement says it is in."""
        federation, _, name = place.origin.partition("/")
        try:
            node = self.registry.as_of(name, self.registry.size)
        except Refused:
            raise NotVerified("a statement is of nobody's log", place="bundle") from None
        if node.log is None or federation != self.registry.federation:
            raise NotVerified("a statement is of nobody's log", place="bundle")
        return node
