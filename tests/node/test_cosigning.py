"""A node and its witnesses: nothing is signed before they confirm, nothing leaves before they have seen it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from onenode import OneNode, Researcher, federation, question, statements
from witnessed import NAMES, ORIGIN, Watchers, assign, until, watched

from collegium.errors import Failed
from collegium.log.checkpoint import open_checkpoint, read_checkpoint, sign_checkpoint
from collegium.log.cosign import CosignerSigner
from collegium.log.merkle import root
from collegium.log.note import Signer
from collegium.log.receipt import Receipt, verify_receipt
from collegium.party.published import Published
from collegium.statements import Withdrawal
from collegium.v1.node_pb2 import QuestionAnswer
from collegium.v1.witness_pb2 import CosignReply
from collegium_node.metrics import Metrics
from collegium_node.withdraw import withdraw

World = tuple[OneNode, Researcher, Watchers]


@pytest.fixture
def world(tmp_path: Path) -> World:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    return one, researcher, assign(one)


def test_no_charge_and_no_signature_before_the_quorum_has_confirmed(world: World) -> None:
    one, researcher, watchers = world
    size, asked = len(one.entries()), researcher.ask(question(), question(dataset="staff"))
    for answer in one.answer(asked).answers:
        assert (answer.verdict, answer.reason, answer.decision) == (QuestionAnswer.FAILED, "not-confirmed", b"")
    with pytest.raises(Failed) as raised:
        one.policy()
    assert raised.value.reason == "not-confirmed"
    assert (len(one.entries()), one.charged(), one.engine.drawn) == (size, 0, [])
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        assert [a.verdict for a in one.answer(asked).answers] == [QuestionAnswer.RELEASED] * 2


def test_one_witness_short_of_the_quorum_confirms_nothing(world: World) -> None:
    one, _, watchers = world
    watchers.down = {"univ-c"}
    with watched(one, watchers):
        until(lambda: watchers.asked > 8)
        assert not one.node.permit.confirmed
        watchers.down.clear()
        until(lambda: one.node.permit.confirmed)


def test_a_release_leaves_with_cosigned_receipts_or_waits_and_then_it_is_the_same_release(world: World) -> None:
    one, researcher, watchers = world
    first, second = researcher.ask(question()), researcher.ask(question(value=1))
    registry = one.node.members.registry
    keys, need = registry.witnesses_of(ORIGIN)
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        answer = one.answer(first).answers[0]
        for note, receipt in ((answer.decision, answer.decision_receipt), (answer.release, answer.release_receipt)):
            proven = verify_receipt(receipt, note, one.node.journal.verifier, witnesses=keys, quorum=need)
            assert sorted(proven.cosigned) == list(NAMES)
        watchers.down = set(NAMES)
        pending = one.answer(second).answers[0]
        assert (pending.verdict, pending.reason) == (QuestionAnswer.FAILED, "pending")
        assert (pending.release, pending.payload) == (b"", b"")
        assert pending.decision  # the charge is no secret
        assert len(one.engine.drawn) == 2
        # Nobody reads it from the log meanwhile.
        published = Published(one.node)
        assert published.size < len(one.entries())
        assert all(published.blob(sha256) is not None for sha256 in published.blobs())
        assert len(list(published.blobs())) == 1
        watchers.down.clear()
        until(lambda: one.node.quorum.confirmed_size() == len(one.entries()))
        late = one.answer(second).answers[0]
        assert (late.verdict, late.payload) == (QuestionAnswer.RELEASED, one.engine.drawn[1])
        assert len(one.engine.drawn) == 2
        assert statements(one.answer(first).answers[0]) == statements(answer)


def test_a_withdrawal_leaves_under_a_checkpoint_that_holds_it(world: World) -> None:
    one, researcher, watchers = world
    asked = researcher.ask(question())
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        assert one.answer(asked).answers[0].verdict == QuestionAnswer.RELEASED
        until(lambda: one.node.quorum.confirmed_size() == len(one.entries()))
        watchers.down = set(NAMES)
        withdraw(one.node.journal, asked.id, "wrong upload")
        pending = one.answer(asked).answers[0]
        assert (pending.reason, list(pending.withdrawals), pending.release) == ("pending", [], b"")
        watchers.down.clear()
        until(lambda: one.node.quorum.confirmed_size() == len(one.entries()))
        marked = one.answer(asked).answers[0]
    (note,) = marked.withdrawals
    shown = read_checkpoint(Receipt.parse(marked.release_receipt).checkpoint)
    assert shown.size > Withdrawal.read(note).log.index


def test_refusals_leave_while_the_witnesses_are_silent(world: World) -> None:
    """They tell nothing of data; their receipt lies under the log's own checkpoint."""
    one, researcher, watchers = world
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        one.policy()
        watchers.down = set(NAMES)
        refused = one.answer(researcher.ask(question())).answers[0]
        assert (refused.verdict, refused.reason) == (QuestionAnswer.REFUSED, "not-allowed")
        verify_receipt(refused.decision_receipt, refused.decision, one.node.journal.verifier)


def test_a_claim_without_our_own_signature_is_a_missing_cosignature(world: World) -> None:
    one, _, watchers = world
    forged = sign_checkpoint(ORIGIN, 10_000, root([b"x" * 32]), Signer.generate(ORIGIN))
    stranger = CosignerSigner.generate("unis/univ-b/witness")
    lies = [
        lambda _: CosignReply(known_size=10_000),
        lambda _: CosignReply(known_size=10_000, known_checkpoint=forged),
        lambda _: CosignReply(known_size=10_000, known_checkpoint=b"nonsense"),
        lambda request: CosignReply(cosignature=stranger.cosign(request.checkpoint, 1)),
        lambda _: CosignReply(cosignature=b"nonsense"),
        lambda _: CosignReply(known_size=3),
    ]
    for lie in lies:
        watchers.lies = {"univ-b": lie}
        before = watchers.asked
        with watched(one, watchers):
            until(lambda before=before: watchers.asked > before + 8)
            assert not one.node.permit.confirmed
            assert one.node.permit.stopped is None
    watchers.lies.clear()
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)


def test_a_quorum_of_two_in_four_is_not_needed_from_all(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    one.ministry.register("node", "univ-e")
    for name in NAMES:
        one.ministry.register("node", name)
    one.ministry.assign(ORIGIN, *NAMES, "univ-e", quorum=3)
    one.learn()
    watchers = Watchers(one.ministry)
    watchers.down = {"univ-c"}
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        assert one.answer(researcher.ask(question())).answers[0].verdict == QuestionAnswer.RELEASED


def test_witnesses_assigned_while_it_serves(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    first = researcher.ask(question())
    unwitnessed = one.answer(first).answers[0]
    assert unwitnessed.verdict == QuestionAnswer.RELEASED
    watchers = assign(one)
    assert one.answer(first).answers[0].reason == "pending"  # what is told from now on has the quorum
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        until(lambda: one.node.quorum.confirmed_size() == len(one.entries()))
        assert statements(one.answer(first).answers[0]) == statements(unwitnessed)


def test_figures_for_monitoring(world: World) -> None:
    one, researcher, watchers = world
    one.now[0] += 100
    metrics = Metrics(one.node, lambda: one.now[0])
    metrics.write()
    text = one.home.metrics_file.read_text()
    assert f"collegium_node_log_backlog_entries {len(one.entries())}.0\n" in text
    assert "collegium_node_log_quorum_age_seconds -1.0\n" in text
    assert "collegium_node_log_may_sign 0.0\n" in text
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed and one.node.quorum.confirmed_size() == len(one.entries()))
        until(lambda: one.node.quorum.figures().reachable == len(NAMES))
        one.now[0] += 7
        metrics.write()
        watchers.down = set(NAMES)
        one.answer(researcher.ask(question()))
        until(lambda: one.node.quorum.figures().reachable == 0)
    text = one.home.metrics_file.read_text()
    assert "collegium_node_log_backlog_entries 0.0\n" in text
    assert "collegium_node_log_may_sign 1.0\n" in text
    assert f"collegium_node_log_witnesses_reachable {len(NAMES)}.0\n" in text
    figures = one.node.quorum.figures()
    assert (figures.backlog, figures.age) == (len(one.entries()) - figures.confirmed, 7)
    assert figures.backlog > 0


def test_the_quorum_survives_a_restart_and_signing_does_not(world: World) -> None:
    one, researcher, watchers = world
    asked = researcher.ask(question())
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
        answer = one.answer(asked).answers[0]
    one.node.quorum.save(now=True)
    again = OneNode(one.home.root, one.ministry, join=False)
    assert statements(again.answer(asked).answers[0]) == statements(answer)  # confirmed before, and nothing new is signed
    assert again.answer(researcher.ask(question(value=1))).answers[0].reason == "not-confirmed"


def test_the_lines_name_the_silent_witness_and_no_more(world: World) -> None:
    one, _, watchers = world
    watchers.down = {"univ-d"}
    with watched(one, watchers):
        until(lambda: "witness-silent" in one.stream.getvalue())
    line = json.loads(one.stream.getvalue().splitlines()[0])
    assert (line["event"], line["witness"], line["type"]) == ("witness-silent", "univ-d", "Offline")


def test_our_checkpoint_at_the_witness_is_what_we_signed(world: World) -> None:
    one, _, watchers = world
    with watched(one, watchers):
        until(lambda: one.node.permit.confirmed)
    head = one.node.journal.head()
    for known in watchers.known.values():
        assert open_checkpoint(known.checkpoint, one.node.journal.verifier).size == head.size
