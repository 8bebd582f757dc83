"""The long way from a statement to its facts: through the typed bodies of `collegium.statements`, which decide what is one."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from collegium.audit.facts import AskedQuestion
from collegium.audit.reading import Questions, cosignatures
from collegium.errors import CollegiumError, Invalid
from collegium.layout import compile_layout
from collegium.log.statement import canonical_json
from collegium.national.statements import Check, Close, Plan, Prepare, Result, Submit, TrusteeKey, Unmask
from collegium.question import Question
from collegium.schema import Schema, parse_schema
from collegium.statements import Decision, Indicator, Peer, Policy, Release, Request, Withdrawal

__all__ = ["Compiler", "facts_of"]

_ANY_SIGNATURE = "\n— x AAAAAAA=\n".encode()  # the bodies read notes; the real signatures are checked elsewhere


def facts_of(kind: str, text: bytes, questions: Questions) -> tuple[Any, ...]:
    """The facts from field `origin` on. Raises Invalid when the text is no statement of that kind."""
    model = _MODELS.get(kind)
    if model is None:
        raise Invalid("this kind is not read here", place=kind)
    read, tell = model
    body = read(text + _ANY_SIGNATURE)
    return tell(body, questions)


def _place(body: Any) -> tuple[Any, ...]:
    return body.log.origin, body.log.index, body.registry.size, body.registry.root, body.time


def _request(body: Request, questions: Questions) -> tuple[Any, ...]:
    facts = None if body.facts is None else {name: tuple(codes) for name, codes in body.facts.items()}
    frame = "", -1, body.registry.size, body.registry.root, body.time
    return *frame, body.researcher, body.audience, facts, body.expiry, questions(body.questions)


def _decision(body: Decision, _: Questions) -> tuple[Any, ...]:
    original = body.original
    return (
        *_place(body), body.request, body.number, body.verdict, body.question, body.reason, body.snapshot, body.unit, body.period,
        body.dataset, body.rho, None if original is None else original.index, None if original is None else original.sha256,
        body.plan,
    )  # fmt: skip


def _release(body: Release, _: Questions) -> tuple[Any, ...]:
    parts = tuple((part.cells, part.scale) for part in body.parts)
    return (
        *_place(body), body.request, body.number, body.question, body.snapshot, body.schema_id, body.decision, parts,
        body.payload.sha256, body.payload.size,
    )  # fmt: skip


def _indicator(body: Indicator, _: Questions) -> tuple[Any, ...]:
    coverage = body.coverage
    return (
        *_place(body), body.request, body.number, body.question, body.revision, body.accounts.sha256, body.accounts.size,
        coverage.asked, coverage.answered, coverage.enrolment, coverage.enrolment_asked, body.table.sha256, body.table.size,
        body.results,
    )  # fmt: skip


def _withdrawal(body: Withdrawal, _: Questions) -> tuple[Any, ...]:
    return *_place(body), body.request, body.number, body.release.index, body.release.sha256, body.reason


def _policy(body: Policy, _: Questions) -> tuple[Any, ...]:
    return *_place(body), canonical_json(body.policy, place="policy").decode()


def _peer(body: Peer, _: Questions) -> tuple[Any, ...]:
    from collegium.log.checkpoint import read_checkpoint

    note = body.note
    return *_place(body), body.origin, body.size, read_checkpoint(note).root, cosignatures(note), sha256(note).digest()


def _key(body: TrusteeKey, _: Questions) -> tuple[Any, ...]:
    return *_place(body), body.sealing, body.until


def _plan(body: Plan, _: Questions) -> tuple[Any, ...]:
    trustees = tuple((each.trustee, each.key, each.sealing) for each in body.trustees)
    return (
        *_place(body), body.request, body.number, body.question, body.nodes, body.least, body.honest, body.length, body.group,
        body.roster.sha256, trustees, body.deadline,
    )  # fmt: skip


def _submit(body: Submit, _: Questions) -> tuple[Any, ...]:
    return *_place(body), body.plan, body.member, body.decision, body.vector.sha256, body.vector.size


def _prepare(body: Prepare, _: Questions) -> tuple[Any, ...]:
    return *_place(body), body.plan, body.trustee, body.prepared.sha256, body.prepared.size


def _close(body: Close, _: Questions) -> tuple[Any, ...]:
    return *_place(body), body.plan, body.prepares, body.participants.sha256, body.participants.size, body.count


def _unmask(body: Unmask, _: Questions) -> tuple[Any, ...]:
    return *_place(body), body.plan, body.close, body.trustee, body.masks.sha256, body.masks.size


def _check(body: Check, _: Questions) -> tuple[Any, ...]:
    return *_place(body), body.plan, body.close, body.unmasks, body.trustee, body.total.sha256, body.total.size


def _result(body: Result, _: Questions) -> tuple[Any, ...]:
    return (
        *_place(body), body.plan, body.close, body.unmasks, body.check, body.count, body.honest, body.total.sha256, body.total.size,
    )  # fmt: skip


_MODELS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any, Questions], tuple[Any, ...]]]] = {
    "request": (Request.read, _request),
    "decision": (Decision.read, _decision),
    "release": (Release.read, _release),
    "indicator": (Indicator.read, _indicator),
    "withdrawal": (Withdrawal.read, _withdrawal),
    "policy": (Policy.read, _policy),
    "peer": (Peer.read, _peer),
    "national-key": (TrusteeKey.read, _key),
    "national-plan": (Plan.read, _plan),
    "national-submit": (Submit.read, _submit),
    "national-prepare": (Prepare.read, _prepare),
    "national-close": (Close.read, _close),
    "national-unmask": (Unmask.read, _unmask),
    "national-check": (Check.read, _check),
    "national-result": (Result.read, _result),
}


class Compiler:
    """A request's questions against the registry's schemas: digest, cost, unit, and the layout's parts. The same text once."""

    def __init__(self, schemas: dict[str, str]) -> None:
        """`schemas`: the TOML of each, by id. They are the registry's, verified."""
        self._texts = schemas
        self._schemas: dict[str, Schema] = {}
        self._kept: dict[Question, tuple[Any, ...]] = {}

    def schema(self, name: str) -> Schema:
        """Raises Invalid when the registry has none of this id."""
        if name not in self._schemas:
            if name not in self._texts:
                raise Invalid(f"the registry has no schema {name}", place="schema")
            self._schemas[name] = parse_schema(self._texts[name])
        return self._schemas[name]

    def __call__(self, questions: tuple[Question, ...]) -> tuple[tuple[Any, ...], ...]:
        return tuple(self._kept.get(question) or self._compile(question) for question in questions)

    def _compile(self, question: Question) -> tuple[Any, ...]:
        unit, length = "", 0
        parts: tuple[tuple[int, int, int], ...] = ()
        try:
            layout = compile_layout(question, self.schema(question.schema_id))
            unit, length = layout.unit, layout.length
            parts = tuple((part.width, part.sensitivity_squared, part.component.rho) for part in layout.parts)
        except CollegiumError:
            pass  # nobody may answer it: whoever does is found by `asked`
        asked = AskedQuestion(
            question.digest, question.rho, question.dataset, unit, question.schema_id, length, parts, question.mode == "national"
        )
        if len(self._kept) < 10_000:
            self._kept[question] = tuple(asked)
        return tuple(asked)
