"""Spans of a node tell time no finer than its answers do, come only when the answer has left, and only when the operator says so.

Two nodes differ in how long their tallies take, as nodes of few and of many rows would. Failure: any span that differs although
both answers leave on the same line of the grid; a span while the call is still running; an attribute that is neither a name nor a
number of ours.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from onenode import NODE, OneNode, Researcher, federation, question

from collegium.errors import Invalid
from collegium.observing.spans import Span, named
from collegium.party.lines import Lines
from collegium.v1.node_pb2 import AnswerRequest, QuestionAnswer
from collegium_node.config import parse_config
from collegium_node.observed import exported
from collegium_node.service import NodeService
from collegium_node.steps import GRID_AT_LEAST, Steps

GRID = 2.0
HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
TRACING = f"[limits]\nanswer_grid_ms = {GRID_AT_LEAST}\n[traces]\nexport = true\n"


class Time:
    """Moves only when somebody works or sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.spans_when_sleeping: list[int] = []

    def __call__(self) -> float:
        return self.now

    def sleeper(self, spans: list[Span]) -> Callable[[float], Awaitable[None]]:
        async def sleep(seconds: float) -> None:
            self.spans_when_sleeping.append(len(spans))
            self.now += seconds + 0.004  # nobody wakes at the very moment

        return sleep


def told(one: OneNode, researcher: Researcher, *, tally: float, questions: int = 1) -> tuple[list[Span], Time, Any]:
    """The spans of one request whose tallies take so long, on a clock of its own."""
    spans: list[Span] = []
    time = Time()

    def work() -> None:
        time.now += tally

    one.engine.on_tally = work
    steps = Steps(spans.append, grid=GRID, node=NODE, clock=lambda: 5000.0, monotonic=time)
    asked = researcher.ask(*(question(value=n) for n in range(questions)))
    asked.receipt = one.ministry.receipt(asked.note)

    async def run() -> Any:
        service = NodeService(
            one.node, one.answering, Lines(io.StringIO()), max_parallel=1, grid_ms=round(GRID * 1000), on_broken=lambda: None,
            monotonic=time, sleep=time.sleeper(spans), steps=steps,
        )  # fmt: skip
        reply = await service.Answer(AnswerRequest(request=asked.note, details=asked.details, receipt=asked.receipt), None)
        await service.drain()
        return reply

    reply = asyncio.run(run())
    assert [answer.verdict for answer in reply.answers] == [QuestionAnswer.RELEASED] * questions
    return spans, time, asked


def shape(spans: list[Span]) -> list[tuple[Any, ...]]:
    return [(span.name, span.start, span.end, dict(span.attributes)) for span in spans]


@pytest.fixture(params=[1, 3])
def questions(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_the_spans_of_two_nodes_that_differ_in_their_rows_are_the_same(tmp_path: Path, questions: int) -> None:
    seen = []
    for name, tally in (("few", 0.01), ("many", 0.6)):
        one, researcher = federation(tmp_path / name)
        one.allow(researcher)
        spans, _, _ = told(one, researcher, tally=tally, questions=questions)
        seen.append(shape(spans))
    assert seen[0] == seen[1]
    assert all((moment - 5000.0) % GRID == 0 for _, *moments, _ in seen[0] for moment in moments)


def test_they_say_which_steps_were_taken_and_belong_to_the_questions_trace(tmp_path: Path) -> None:
    one, researcher = federation(tmp_path)
    one.allow(researcher)
    spans, time, asked = told(one, researcher, tally=3.0)
    whole, *steps = spans
    assert [span.attributes["step"] for span in steps] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (whole.request, whole.parent) == (asked.id, named(asked.id, "fan-out"))
    assert {(span.request, span.parent) for span in steps} == {(asked.id, whole.id)}
    assert {key for span in spans for key in span.attributes} == {"node", "step", "question"}
    assert (whole.start, whole.end) == (5000.0, 5000.0 + 2 * GRID)  # three seconds of work leave on the second line
    assert time.spans_when_sleeping == [0]  # nothing was made before the answer left
    again, _, _ = told(one, researcher, tally=3.0)  # the same question: its release is found, and no step touches rows
    assert [span.attributes["step"] for span in again[1:]] == [1, 2, 3, 4, 8]


def test_a_request_that_does_not_verify_leaves_no_span(tmp_path: Path) -> None:
    one, _ = federation(tmp_path)
    spans: list[Span] = []
    service = NodeService(
        one.node, one.answering, Lines(io.StringIO()), max_parallel=1, on_broken=lambda: None, steps=Steps(spans.append)
    )

    async def run() -> None:
        with pytest.raises(Invalid):
            await service.Answer(AnswerRequest(request=b"x"), None)
        await service.drain()

    asyncio.run(run())
    assert spans == []


def test_the_environment_alone_turns_nothing_on(tmp_path: Path) -> None:
    one, _ = federation(tmp_path)
    stream = io.StringIO()
    found = exported(one.node, parse_config("", tmp_path / "node.toml"), Lines(stream), HERE)
    assert found.sink is None
    assert stream.getvalue() == ""


def test_the_operator_turns_it_on_and_is_told_the_grid(tmp_path: Path) -> None:
    one, _ = federation(tmp_path)
    config = parse_config(TRACING, tmp_path / "node.toml")
    events = []
    for environ in (HERE, {}, {"OTEL_TRACES_EXPORTER": "console"}):
        stream = io.StringIO()
        found = exported(one.node, config, Lines(stream), environ)
        found.close()
        events.append((found.sink is not None, json.loads(stream.getvalue())))
    assert [(on, line["event"]) for on, line in events] == [
        (True, "traces-exported"), (False, "traces-not-exported"), (False, "traces-not-exported"),
    ]  # fmt: skip
    assert events[0][1]["grid_ms"] == GRID_AT_LEAST


@pytest.mark.parametrize("grid", [0, GRID_AT_LEAST - 1])
def test_no_traces_without_a_grid(tmp_path: Path, grid: int) -> None:
    with pytest.raises(Invalid, match="answer_grid_ms"):
        parse_config(TRACING.replace(str(GRID_AT_LEAST), str(grid)), tmp_path / "node.toml")
