"""The one gate: nothing passes that is not signed, stored or of the public table."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest
from nationalnode import Country, country, national
from onenode import OneNode, federation, question

import collegium.party
import collegium_node
from collegium.errors import PUBLIC_TEXTS, CollegiumError, Failed, Invalid, NotVerified, Offline, Refused, public_text
from collegium.party import replies
from collegium.party.receipts import Receipts
from collegium.v1 import log_pb2, node_pb2, witness_pb2
from collegium.v1.node_pb2 import QuestionAnswer
from collegium_node import decisions, gate, submissions
from collegium_node.gate import SignedDecision, SignedRelease, Submission

Stored = tuple[OneNode, SignedDecision, SignedRelease, dict[int, bytes]]
SECRET = "row 17: 张三, 13800138000"


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    one.answer(researcher.ask(question()))
    with one.node.store.read() as db:
        (index,) = db.execute("SELECT decision FROM charges").fetchone()
        decision = decisions.at(db, index)
        from collegium_node import ledger

        row = ledger.find(db, question().digest, "00000000000000a1")
    assert row is not None
    release = decisions.release_of(one.node.journal, row)
    assert release is not None
    return one, decision, release, Receipts(one.node.journal, one.node.quorum).confirmed([decision.index, release.index])


def test_a_stored_release_passes(stored: Stored) -> None:
    _, decision, release, receipts = stored
    answer = gate.released(decision, release, receipts)
    assert (answer.verdict, answer.payload) == (QuestionAnswer.RELEASED, release.payload)
    assert (answer.decision_receipt, answer.release_receipt) == (receipts[decision.index], receipts[release.index])


def test_what_was_not_signed_does_not_pass(stored: Stored) -> None:
    _, decision, release, receipts = stored
    swapped = {decision.index: receipts[release.index], release.index: receipts[decision.index]}
    wrong = [
        (decision, replace(release, payload=b"\0" * len(release.payload))),
        (decision, replace(release, payload=release.payload + b"\0" * 8)),
        (decision, replace(release, note=decision.note)),
        (decision, replace(release, withdrawals=(release.note,))),
        (replace(decision, note=release.note), release),
        (replace(decision, verdict="refuse"), release),
        (replace(decision, verdict="hold"), release),
    ]
    for each in wrong:
        with pytest.raises((AssertionError, CollegiumError)):
            gate.released(*each, receipts)
    for other in ({}, {decision.index: receipts[decision.index]}, {release.index: receipts[release.index]}, swapped):
        with pytest.raises((AssertionError, KeyError)):
            gate.released(decision, release, other)


@pytest.fixture
def submission(tmp_path: Path) -> tuple[SignedDecision, Submission, dict[int, bytes], Country]:
    land, asked = country(tmp_path)
    land.submit(asked, land.send(asked))
    with land.one.node.store.read() as db:
        (plan,) = db.execute("SELECT plan FROM rounds").fetchone()
        found = submissions.find(db, plan)
        assert found is not None
        decision, stored = decisions.at(db, found.decision), submissions.read(db, found)
    assert stored is not None
    return decision, stored, Receipts(land.one.node.journal, land.one.node.quorum).confirmed([decision.index, stored.index]), land


def test_a_stored_submission_passes_and_nothing_else_does(
    submission: tuple[SignedDecision, Submission, dict[int, bytes], Country],
) -> None:
    decision, stored, receipts, land = submission
    reply = gate.submitted(decision, stored, receipts)
    assert (reply.vector, tuple(reply.sealed), reply.submit) == (stored.vector, stored.sealed, stored.note)
    other = land.ask()
    land.submit(other, land.send(other))
    with land.one.node.store.read() as db:
        (index,) = db.execute("SELECT MAX(decision) FROM rounds").fetchone()
        of_another_plan = decisions.at(db, index)
    refused = land.ask(national(value=3))
    land.allow(release=("per_node",))
    land.submit(refused, land.send(refused))
    with land.one.node.store.read() as db:
        refusal = decisions.at(db, db.execute("SELECT MAX(idx) FROM decisions").fetchone()[0])
    figures = land.engine.figures.tobytes()
    wrong = [
        (decision, replace(stored, vector=figures)),
        (decision, replace(stored, vector=stored.vector + b"\0" * 8)),
        (decision, replace(stored, vector=b"\0" * len(stored.vector))),
        (decision, replace(stored, sealed=stored.sealed[::-1])),
        (decision, replace(stored, sealed=stored.sealed[:2])),
        (decision, replace(stored, note=decision.note)),
        (decision, replace(stored, index=decision.index)),
        (replace(decision, note=stored.note), stored),
        (replace(decision, index=decision.index + 1), stored),
        (replace(of_another_plan, index=decision.index), stored),
        (replace(refusal, index=decision.index), stored),
        (of_another_plan, stored),
        (refusal, stored),
    ]
    for each in wrong:
        with pytest.raises((AssertionError, CollegiumError)):
            gate.submitted(*each, receipts | {each[0].index: receipts[decision.index]})
    swapped = {decision.index: receipts[stored.index], stored.index: receipts[decision.index]}
    for these in ({}, {decision.index: receipts[decision.index]}, {stored.index: receipts[stored.index]}, swapped):
        with pytest.raises((AssertionError, KeyError)):
            gate.submitted(decision, stored, these)


def test_a_reply_to_a_plan_that_refuses_holds_nothing_else(stored: Stored) -> None:
    _, decision, release, receipts = stored
    reply = gate.not_submitted(gate.failed("failed", decision, receipts[decision.index]))
    assert {field.name for field, _ in reply.ListFields()} == {"verdict", "reason", "decision", "decision_receipt"}
    for answer in (gate.released(decision, release, receipts), gate.ready()):
        with pytest.raises(AssertionError):
            gate.not_submitted(answer)


def test_a_reason_is_a_key_of_the_public_table(stored: Stored) -> None:
    _, decision, _, receipts = stored
    with pytest.raises(AssertionError):
        gate.failed(SECRET)
    with pytest.raises(AssertionError):
        gate.refused_or_held(replace(decision, verdict="refuse", reason=SECRET), receipts[decision.index])


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(SECRET),
        Failed(SECRET, place=SECRET, remedy=SECRET, reason=SECRET),
        Failed(SECRET, place=SECRET, remedy=SECRET, reason="snapshot-gone"),
        Invalid(SECRET, place=SECRET, remedy=SECRET, reason="malformed"),
        NotVerified(SECRET, place=SECRET, reason="identity"),
        Refused(SECRET, by="policy", place=SECRET, remedy=SECRET, reason="not-allowed"),
        Offline(SECRET, place=SECRET),
    ],
)
def test_of_an_error_only_kind_and_reason_leave(error: Exception) -> None:
    public = replies.public_error(error)
    assert SECRET not in repr(vars(public)) + str(public)
    assert public.reason in PUBLIC_TEXTS
    assert public.text == public_text(public.reason)
    if isinstance(error, CollegiumError):
        assert type(public) is type(error)


MESSAGES = [
    name
    for module in (node_pb2, log_pb2, witness_pb2)
    for name in module.DESCRIPTOR.message_types_by_name
    if name.endswith(("Reply", "Status")) or name == "QuestionAnswer"
]


def test_no_other_module_makes_a_reply() -> None:
    """By text: no file of the node, or of what it shares with other parties, but the gate's two constructs a reply message."""
    node, shared = (Path(inspect.getfile(package)).parent for package in (collegium_node, collegium.party))
    files = [*node.rglob("*.py"), *shared.rglob("*.py")]
    assert {node / "gate.py", shared / "replies.py", shared / "logservice.py"} <= set(files)
    for path in files:
        if path in (node / "gate.py", shared / "replies.py"):
            continue
        text = path.read_text(encoding="utf-8")
        for message in MESSAGES:
            assert f"{message}(" not in text, f"{path.name} makes {message}"
