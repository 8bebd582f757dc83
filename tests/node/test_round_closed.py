"""What a node keeps of a round's end: proofs that bind the coordinator, whether or not the node was counted."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nationalnode import RELEASED, Country, country
from onenode import Asked

from collegium.errors import NotVerified
from collegium.log.folder import LogFolder
from collegium.log.statement import statement_id
from collegium.national.closing import CloseEvidence, Logs, check_left_out
from collegium.national.statements import Close
from collegium.party.lines import Lines
from collegium.party.publish import export
from collegium.v1.node_pb2 import ClosedRequest, SubmitReply, SubmitRequest
from collegium_node.planned import Sent
from collegium_node.service import NodeService

Submitted = tuple[Country, Sent, SubmitReply]


@pytest.fixture
def submitted(tmp_path: Path) -> Submitted:
    land, asked = country(tmp_path / "home", stream=io.StringIO())
    sent = land.send(asked)
    reply = land.submit(asked, sent)
    assert reply.verdict == RELEASED
    return land, sent, reply


def receipts(land: Country) -> dict[str, bytes]:
    with land.one.node.store.read() as db:
        return dict(db.execute("SELECT statement, proof FROM receipts").fetchall())


@pytest.mark.parametrize(("counted", "word"), [(True, "counted"), (False, "left-out")])
def test_both_proofs_and_the_close_are_kept(submitted: Submitted, counted: bool, word: str) -> None:
    land, sent, reply = submitted
    ended = land.closed(sent, reply, counted=counted)
    assert land.take(ended) == word
    kept, plan = receipts(land), statement_id(sent.note)
    assert (kept[statement_id(reply.submit)], kept[statement_id(ended.close)]) == (ended.submit_receipt, ended.close_receipt)
    assert kept[plan] == sent.receipt
    with land.one.node.store.read() as db:
        assert db.execute("SELECT plan, note FROM closes").fetchall() == [(plan, ended.close)]
    size = len(land.one.entries())
    assert (land.take(ended), len(land.one.entries())) == (word, size), "said again it changes nothing"
    assert word in land.one.stream.getvalue()


def test_who_was_left_out_can_show_it(submitted: Submitted, tmp_path: Path) -> None:
    """With what the node keeps, and exports, anybody convicts the coordinator that left it out."""
    land, sent, reply = submitted
    ended = land.closed(sent, reply, counted=False)
    land.take(ended)
    export(land.one.node, tmp_path / "audit")
    proof = LogFolder(tmp_path / "audit" / "univ-a").receipt(statement_id(reply.submit)).to_bytes()
    closed = CloseEvidence(ended.close, ended.close_receipt, ended.participants, (), ())
    logs = Logs(land.ministry.coordinator.verifier, land.ministry.coordinator_log.verifier, {}, 0)
    with pytest.raises(NotVerified, match="left out a submission"):
        check_left_out(reply.submit, proof, land.one.node.journal.statements.verifier, closed, logs)


def test_two_closes_of_one_plan_are_both_kept(submitted: Submitted) -> None:
    land, sent, reply = submitted
    for counted in (True, False):
        land.take(land.closed(sent, reply, counted=counted))
    with land.one.node.store.read() as db:
        assert db.execute("SELECT COUNT(*) FROM closes").fetchone() == (2,)


def test_a_round_that_ended_without_a_close(submitted: Submitted) -> None:
    land, sent, reply = submitted
    ended = replace(land.closed(sent, reply), close=b"", close_receipt=b"", participants=b"")
    assert land.take(ended) == "no-close"
    assert receipts(land)[statement_id(reply.submit)] == ended.submit_receipt


def test_what_does_not_verify_is_not_kept(submitted: Submitted) -> None:
    land, sent, reply = submitted
    good = land.closed(sent, reply)
    stranger = land.ministry.statements["univ-b"]
    foreign = Close.read(good.close).sign(stranger)
    other_plan = land.closed(sent, reply, plan="a" * 64)
    elsewhere = land.closed(sent, reply, log=Close.read(good.close).log.model_copy(update={"index": 0}))
    wrong = {
        "another plan": (replace(good, plan="b" * 64), "round-over"),
        "no proof of the submission": (replace(good, submit_receipt=b""), "no-receipt"),
        "the proof of something else": (replace(good, submit_receipt=good.close_receipt), "no-receipt"),
        "no proof of the close": (replace(good, close_receipt=b""), "no-receipt"),
        "signed by somebody else": (replace(good, close=foreign, close_receipt=land.ministry.receipt(foreign)), "bad-plan"),
        "a close of another plan": (other_plan, "bad-plan"),
        "logged elsewhere": (elsewhere, "bad-plan"),
        "another list": (replace(good, participants=land.closed(sent, reply, counted=False).participants), "bad-plan"),
        "no list": (replace(good, participants=b""), "bad-plan"),
    }
    before, size = receipts(land), len(land.one.entries())
    for name, (ended, reason) in wrong.items():
        with pytest.raises(NotVerified) as raised:
            land.take(ended)
        assert raised.value.reason == reason, name
    assert (receipts(land), len(land.one.entries())) == (before, size)


class Cut(BaseException):
    """Power goes out."""


@pytest.mark.parametrize("at", ["begin", "commit", "committed"])
def test_a_power_cut_while_it_is_kept(submitted: Submitted, at: str) -> None:
    land, sent, reply = submitted
    ended = land.closed(sent, reply)

    def fault(step: str) -> None:
        if step == f"{at} closed":
            raise Cut

    land.again(fault)
    with pytest.raises(Cut):
        land.take(ended)
    land.again()
    there = {statement_id(reply.submit), statement_id(ended.close)} & set(receipts(land))
    assert len(there) == (2 if at == "committed" else 0), "all of it or nothing"
    assert land.take(ended) == "counted"
    assert {statement_id(reply.submit), statement_id(ended.close)} <= set(receipts(land))


def as_request(asked: Asked, sent: Sent) -> SubmitRequest:
    return SubmitRequest(
        request=asked.note, details=asked.details, receipt=asked.receipt, plan=sent.note, plan_receipt=sent.receipt,
        chosen=sent.chosen, registry_checkpoint=sent.registry_checkpoint, keys=sent.keys,
    )  # fmt: skip


def test_both_calls_through_the_service(tmp_path: Path) -> None:
    """And a plan leaves on the same grid as an answer, also when it is refused."""
    land, asked = country(tmp_path)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    clock = iter([float(at) for at in range(1000)])
    service = NodeService(
        land.one.node, land.one.answering, Lines(land.one.stream), max_parallel=2, grid_ms=3000, on_broken=lambda: None,
        monotonic=lambda: next(clock), sleep=sleep,
    )  # fmt: skip

    async def run() -> tuple[SubmitReply, Any]:
        sent = land.send(asked)
        reply = await service.Submit(as_request(asked, sent), None)
        with pytest.raises(NotVerified):
            await service.Submit(as_request(asked, replace(sent, note=asked.note)), None)
        ended = land.closed(sent, reply)
        taken = await service.Closed(
            ClosedRequest(
                plan=ended.plan, submit_receipt=ended.submit_receipt, close=ended.close, close_receipt=ended.close_receipt,
                participants=ended.participants,
            ),
            None,
        )  # fmt: skip
        return reply, taken

    reply, taken = asyncio.run(run())
    assert reply.verdict == RELEASED
    assert taken.SerializeToString() == b""
    assert len(slept) == 2
    assert all(0 < each <= 3 for each in slept)
