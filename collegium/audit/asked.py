"""A11, A12: requests are genuine, addressed and unexpired, and whatever names a request is about the question that stands there."""

from __future__ import annotations

from typing import Any, cast

from collegium.accounting import scale_buys
from collegium.audit.case import SKEW
from collegium.audit.facts import AskedQuestion, DecisionFact, RequestFact
from collegium.audit.frame import Frame

__all__ = ["Asked"]


class Asked:
    """The requests of one log. The author's signature is `Frame`'s business."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._case = frame.case
        self._meters = {check: frame.case.findings.meter(check, frame.log.name) for check in ("A6", "A11", "A12")}
        self.at: dict[str, int] = {}  # entry of each request id
        self._bound: set[str] = set()  # requests charged or reused here: finishing them late is allowed
        self._shapes: set[tuple[Any, ...]] = set()  # schema, parts, question of releases that were right

    def request(self, index: int, fact: RequestFact) -> None:
        frame, name = self._frame, self._frame.log.name
        self._meters["A11"][0] += 1
        if fact.id in self.at:
            frame.warn("A11", "twice", f"the same request stands at entries {self.at[fact.id]} and {index}")
            return
        self.at[fact.id] = index
        known = self._case.requests.get(fact.id)
        if known is None or known.key < 0:
            questions = tuple(map(AskedQuestion._make, fact.questions))
            self._case.requests[fact.id] = fact._replace(questions=questions)
        if not self._case.knows_audience(fact):
            text = f"whom the request at entry {index} asks stands in the part of the registry that is not here"
            frame.warn("A11", "audience", text, missing=True)
        elif frame.role == "node" and name not in self._case.audience(fact):
            frame.fail("A11", "audience", f"{name} took the request at entry {index}, which does not ask it", index)
        if fact.size < len(self._case.roots) and self._case.roots[fact.size] != fact.root:
            frame.warn(
                "A11", "root", f"the request at entry {index} names a registry root that this registry never had", missing=True
            )

    def question(self, index: int, fact: Any, party: str) -> AskedQuestion | None:
        """The question that a decision, release or indicator is about, after the checks; None when it cannot be told.

        Without parts where its schema may stand in the part of the registry that is not here: who paid for what is told without.

        1. The request stands in this log before it. 2. It has a question of that number. 3. It is the question that the statement
        names by digest, and asked in the release mode in which the statement answers it.
        """
        frame, name = self._frame, self._frame.log.name
        self._meters["A12"][0] += 1
        # (1)
        at = self.at.get(fact.request)
        if at is None:
            text = f"{name} logged a {fact.kind} (entry {index}) on a request that stands nowhere before it in its log"
            frame.fail("A11", "no-request", text, index)
            return None
        request = self._case.requests[fact.request]
        # (2)
        if fact.number >= len(request.questions):
            frame.fail(
                "A12", "number", f"entry {index} is about question {fact.number}; the request has none", at, index, party=party
            )
            return None
        question = cast(AskedQuestion, request.questions[fact.number])
        # (3)
        if fact.question is not None and fact.question != question.digest:
            text = f"{party} signed a {fact.kind} (entry {index} of {name}) on another question than the request of that id holds"
            frame.fail("A12", "digest", text, at, index, party=party)
            return None
        if question.national != self._national(fact, question.national):
            modes = ("one sum over many universities", "each university's own figure")
            text = (
                f"{party} signed a {fact.kind} (entry {index} of {name}) that belongs to {modes[question.national]}; the request "
                f"asks for {modes[not question.national]}"
            )
            frame.fail("A12", "mode", text, at, index, party=party)
            return None
        if not question.parts:
            text = f"entry {index} is about a question that fits no schema of this registry: its cost and layout cannot be computed"
            frame.warn("A6", "schema", text, missing=True)
            return question if self._unjudged(question) else None
        return question

    def _unjudged(self, question: AskedQuestion) -> bool:
        registry = self._case.registry
        return registry is not None and question.schema not in registry.schemas and self._case.short

    @staticmethod
    def _national(fact: Any, asked: bool) -> bool:
        """In which mode a statement answers; `asked` where it says nothing of it."""
        if fact.kind == "decision":
            return fact.plan is not None or (asked and fact.verdict not in ("charge", "reuse"))
        if fact.kind == "indicator":
            return fact.results is not None or (asked and not fact.answered)
        return bool(fact.kind == "national-plan")

    def charged(self, index: int, fact: DecisionFact) -> None:
        """A node's charge or reuse: not after the request's expiry or its author's revocation, unless it was bound before."""
        frame = self._frame
        self._meters["A11"][0] += 1
        request = self._case.requests[fact.request]
        if fact.verdict == "charge" and fact.request not in self._bound and fact.time > request.expiry + SKEW:
            text = f"{frame.log.name} charged (entry {index}) {fact.time - request.expiry} seconds after the request had expired"
            frame.fail("A11", "expired", text, self.at[fact.request], index)
        if fact.verdict == "charge" and fact.request not in self._bound and request.key >= 0:
            frame.late(self.at[fact.request], index, request.key, fact.time)
        self._bound.add(fact.request)

    def price(self, index: int, fact: DecisionFact, question: AskedQuestion, party: str) -> bool:
        """A6: a charge is exactly the rho of the signed request, for its unit and dataset."""
        frame = self._frame
        self._meters["A6"][0] += 1
        if fact.verdict != "charge":
            return True
        unit = question.unit if question.parts else fact.unit
        expected = (question.rho, unit, question.dataset)
        if (fact.rho, fact.unit, fact.dataset) == expected:
            return True
        text = (
            f"{party} charged {fact.rho} nano-rho to {fact.unit}/{fact.dataset} (entry {index} of {frame.log.name}); the signed "
            f"request costs {question.rho} of {unit}/{question.dataset}"
        )
        frame.fail("A6", "charge", text, self.at[fact.request], index, party=party)
        return False

    def shape(self, index: int, fact: Any, question: AskedQuestion, party: str) -> None:
        """A4 and A6: a release has the cells of the question's layout, and each scale is what the charge buys."""
        frame, at = self._frame, self.at[fact.request]
        self._meters["A6"][0] += 1
        shape = fact.schema, fact.parts, question.digest
        if shape in self._shapes:
            return
        cells = [each for each, _ in fact.parts]
        if fact.schema != question.schema or (question.parts and cells != [part[0] for part in question.parts]):
            text = f"{party} released (entry {index} of {frame.log.name}) another tally than the question's layout"
            frame.fail("A4", "layout", text, at, index, party=party)
            return
        if not question.parts:
            return
        for (_, scale), (_, sensitivity_squared, rho) in zip(fact.parts, question.parts, strict=True):
            if not scale_buys(scale, sensitivity_squared, rho):
                text = f"{party} released (entry {index} of {frame.log.name}) with noise of scale {scale}, not what the charge buys"
                frame.fail("A6", "scale", text, at, index, party=party)
                return
        self._shapes.add(shape)
