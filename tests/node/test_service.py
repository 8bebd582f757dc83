"""The servicer: bounded, patient with those who hang up, silent about what went wrong, tolerant of newer transports."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from onenode import Asked, OneNode, Researcher, federation, question

from collegium.errors import CollegiumError, Failed, Invalid
from collegium.party import working
from collegium.party.lines import Lines
from collegium.party.store import StorageBroken
from collegium.transport.dispatch import handlers_of
from collegium.transport.status import from_status, to_public_status
from collegium.v1 import node_pb2
from collegium.v1.node_pb2 import AnswerReply, AnswerRequest, LearnRequest, NodeStatus, NodeStatusRequest, QuestionAnswer
from collegium_node.service import NodeService

NODE = node_pb2.DESCRIPTOR.services_by_name["Node"]
SECRET = "row 17: 13800138000"


def serving(one: OneNode, **more: Any) -> tuple[NodeService, list[str], io.StringIO]:
    broken: list[str] = []
    stream = io.StringIO()
    options = {"max_parallel": 4, **more}
    return NodeService(one.node, one.answering, Lines(stream), on_broken=lambda: broken.append("yes"), **options), broken, stream


def request(asked: Asked) -> AnswerRequest:
    return AnswerRequest(request=asked.note, details=asked.details, receipt=asked.receipt)


def test_status_says_only_what_is_public(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)

    async def run() -> NodeStatus:
        return await serving(one)[0].Status(NodeStatusRequest(), None)

    status = asyncio.run(run())
    assert (status.name, status.schema, status.snapshot) == ("univ-a", "small/1", "00000000000000a1")
    assert list(status.datasets) == ["graduate", "staff", "term"]
    assert status.policy == one.entries("policy")[-1]
    assert status.registry_size == len(one.ministry.entries)
    assert {field.name for field, _ in status.ListFields()} == {
        "name", "version", "registry_size", "schema", "datasets", "snapshot", "policy",
    }  # fmt: skip


def test_learning_twice_changes_nothing(tmp_path: Path) -> None:
    one, _ = federation(tmp_path)
    Researcher(one.ministry, "later")
    learn = LearnRequest(first=0, entries=one.ministry.entries, checkpoint=one.ministry.checkpoint())

    async def run() -> list[int]:
        service, _, _ = serving(one)
        return [(await service.Learn(learn, None)).registry_size for _ in range(2)]

    assert asyncio.run(run()) == [len(one.ministry.entries)] * 2


def test_who_hangs_up_stops_no_answer_and_frees_no_place_early(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    counting, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        counting.set()
        go_on.wait(30)

    one.engine.on_tally = wait
    asked = researcher.ask(question())

    async def run() -> None:
        service, _, _ = serving(one)
        call = asyncio.create_task(service.Answer(request(asked), None))
        await asyncio.to_thread(counting.wait, 30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        draining = asyncio.create_task(service.drain())
        await asyncio.sleep(0.05)
        assert not draining.done()
        go_on.set()
        await draining

    asyncio.run(run())
    assert len(one.entries("release")) == 1
    one.engine.on_tally = lambda: None
    assert one.answer(asked).answers[0].verdict == QuestionAnswer.RELEASED
    assert len(one.engine.drawn) == 1


def test_more_than_may_wait_are_told_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "MAX_WAITING", 3)
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    go_on = threading.Event()
    one.engine.on_tally = lambda: go_on.wait(30) and None

    async def run() -> list[Any]:
        service, _, _ = serving(one)
        calls = [asyncio.create_task(service.Answer(request(researcher.ask(question(value=n))), None)) for n in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        go_on.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    results = asyncio.run(run())
    busy = [result for result in results if isinstance(result, Failed)]
    assert len(busy) == 2
    assert {result.reason for result in busy} == {"busy"}


def test_a_broken_disk_ends_the_process_and_says_nothing(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)

    def answer(note: bytes, details: bytes, receipt: bytes) -> AnswerReply:
        raise StorageBroken(SECRET)

    one.answering.answer = answer  # type: ignore[method-assign]

    async def run() -> tuple[list[str], io.StringIO, CollegiumError]:
        service, broken, stream = serving(one)
        with pytest.raises(Failed) as raised:
            await service.Answer(request(researcher.ask(question())), None)
        return broken, stream, raised.value

    broken, stream, error = asyncio.run(run())
    assert broken == ["yes"]
    assert "StorageBroken" in stream.getvalue()
    assert SECRET not in stream.getvalue() + str(error)


def test_an_exception_leaves_as_a_constant(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)

    def answer(note: bytes, details: bytes, receipt: bytes) -> AnswerReply:
        raise ValueError(SECRET)

    one.answering.answer = answer  # type: ignore[method-assign]

    async def run() -> tuple[int, str, io.StringIO]:
        service, _, stream = serving(one)
        handler = handlers_of(service, NODE, status=to_public_status)["/collegium.v1.Node/Answer"]
        from collegium.transport.status import TunnelError

        with pytest.raises(TunnelError) as raised:
            await handler(request(researcher.ask(question())).SerializeToString(), None)
        return raised.value.status, raised.value.message, stream

    code, details, stream = asyncio.run(run())
    assert SECRET not in details + stream.getvalue()
    assert from_status(code, details).reason == "failed"
    assert "ValueError" in stream.getvalue()


@pytest.mark.parametrize(("took", "slept"), [(0.0, 0.25), (0.1, 0.15), (0.26, 0.24), (0.75, 0.25)])
@pytest.mark.parametrize("good", [True, False])
def test_answers_and_refusals_leave_on_the_grid(tmp_path: Path, took: float, slept: float, good: bool) -> None:
    one, researcher = federation(tmp_path)
    times = iter([100.0, 100.0 + took])
    sleeps: list[float] = []

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)

    async def run() -> None:
        service, _, _ = serving(one, grid_ms=250, monotonic=lambda: next(times), sleep=sleep)
        asked = researcher.ask(question()) if good else Asked(b"x", b"")
        try:
            await service.Answer(request(asked), None)
        except Invalid:
            assert not good

    asyncio.run(run())
    assert sleeps == [pytest.approx(slept)]


def test_unknown_fields_of_the_transport_are_ignored(tmp_path: Path) -> None:
    """A newer coordinator may send more than this node knows around what was signed; never in it."""
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    asked = researcher.ask(question())
    newer = request(asked).SerializeToString() + b"\x7a\x03new"  # field 15, length-delimited

    async def run(call: Callable[[dict[str, Any]], Awaitable[bytes]]) -> bytes:
        service, _, _ = serving(one)
        return await call(handlers_of(service, NODE, status=to_public_status))

    reply = AnswerReply.FromString(asyncio.run(run(lambda handlers: handlers["/collegium.v1.Node/Answer"](newer, None))))
    assert reply.answers[0].verdict == QuestionAnswer.RELEASED
