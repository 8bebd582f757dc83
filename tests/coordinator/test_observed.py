"""What a coordinator shows of itself while a question lives: one trace, few series, lines that name the request.

Failure: a purpose, SQL, a researcher's name, or any figure of an answer in the figures, the spans or the log; a span outside the
question's trace; more series because of another request, node or researcher.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from national_parties import Country

from collegium.log.statement import statement_id
from collegium.observing.loglines import log_to
from collegium.observing.settings import MetricsConfig
from collegium.observing.spans import Span, Tracing, named, root
from collegium.v1.federation_pb2 import NodesRequest
from collegium_coordinator.config import read_config
from collegium_coordinator.indicator import national_table
from collegium_coordinator.metrics import ROUND_STATES
from collegium_coordinator.observed import Observed
from collegium_coordinator.roundstore import SETTLED
from collegium_coordinator.serve import Coordinator, serving

PURPOSE, LABEL, VALUE = "PURPOSE8812", "LABEL4471", 718_293_645
SECRETS = (PURPOSE, LABEL, str(VALUE), "alice")
DOCS = Path(__file__).parent.parent.parent / "docs" / "watching.md"


def documented(role: str) -> set[str]:
    """Full names of this part's figures in the operators' page, its alerts included."""
    return {name for name in re.findall(rf"collegium_{role}_[a-z_]+", DOCS.read_text(encoding="utf-8")) if not name.endswith("_")}


class Stage:
    """A coordinator that is watched, with two nodes and a researcher; `spans` and `lines` are what it has shown."""

    def __init__(self, federation: Any, coordinator: Any, spans: list[Span], stream: io.StringIO) -> None:
        self.federation, self.coordinator, self.spans, self._stream = federation, coordinator, spans, stream
        self.stub: Any = None
        self.alice: Any = None
        self.nodes: list[Any] = []

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    async def ask(self, **changes: Any) -> str:
        view = {"measures": [{"label": LABEL, "kind": "value", "parts": [0]}], "columns": [{"measure": 0}], "facts": []}
        names = [node.name for node in self.nodes]
        registry = await self.alice.registry(self.stub)
        request = self.alice.request(registry, names, purpose=PURPOSE, views=(view,), **changes)
        await self.federation.ask(self.stub, request)
        return statement_id(request.request)

    def metrics(self) -> str:
        self.coordinator.metrics.write()
        return self.federation.home.metrics.read_text()


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    here = logging.getLogger()
    handlers, level = here.handlers[:], here.level
    yield
    here.handlers[:], here.level = handlers, level


def stage(federation: Any, play: Callable[[Stage], Any], **config: Any) -> Stage:
    spans: list[Span] = []
    stream = io.StringIO()
    log_to(stream, form="json")
    shown = []

    async def run() -> None:
        settings = read_config(federation.home).model_copy(update=config)
        with serving(federation.home):
            coordinator = Coordinator(
                federation.home, settings, combine=lambda *_, **__: b"table", observed=Observed(Tracing(spans.append))
            )
            federation.ports = await coordinator.start(settings.listen)
            federation.coordinator = coordinator
            here = Stage(federation, coordinator, spans, stream)
            shown.append(here)
            try:
                async with AsyncExitStack() as stack:
                    here.nodes = [await federation.node(f"u{n}", value=VALUE) for n in (1, 2)]
                    here.alice = await federation.researcher()
                    for node in here.nodes:
                        await stack.enter_async_context(federation.link(node))
                    await federation.all_connected(*here.nodes)
                    here.stub = await stack.enter_async_context(here.alice.line(federation.ports.main))
                    await play(here)
            finally:
                await coordinator.stop(grace=0.2)

    asyncio.run(run())
    return shown[0]


def test_the_life_of_a_question_is_one_trace(federation: Any) -> None:
    asked = []

    async def play(s: Stage) -> None:
        asked.append(await s.ask())
        await s.federation.result(s.stub, asked[0])
        await s.federation.until(lambda: any(span.name == "sign" for span in s.spans))

    spans = stage(federation, play).spans
    by_name = {name: [span for span in spans if span.name == name] for name in {span.name for span in spans}}
    (identity,) = asked
    assert {span.request for span in spans} == {identity}
    (whole,), (accept,), (fan_out,) = by_name["question"], by_name["accept"], by_name["fan-out"]
    assert (whole.id, whole.parent) == (root(identity), None)
    assert accept.parent == fan_out.parent == whole.id
    assert fan_out.id == named(identity, "fan-out")  # the nodes' spans hang below it
    assert {span.attributes["node"]: (span.parent, span.attributes["state"]) for span in by_name["ask"]} == {
        "u1": (fan_out.id, "released"), "u2": (fan_out.id, "released"),
    }  # fmt: skip
    signs = {span.id for span in by_name["sign"]}
    assert {span.parent for span in by_name["combine"]} <= signs
    assert {span.parent for span in by_name["sign"]} == {whole.id}
    assert all(whole.start <= span.start <= span.end for span in spans if span.name in ("ask", "fan-out"))
    assert not any(secret in repr(span) for span in spans for secret in SECRETS)


def series(text: str) -> set[str]:
    return {line.rpartition(" ")[0] for line in text.splitlines()}


def test_figures_count_what_happened_and_name_nobody(federation: Any) -> None:
    texts = []

    async def play(s: Stage) -> None:
        for count in (1, 2):
            await s.ask(nonce=str(count) * 32)
            await s.federation.until(lambda: f"question_seconds_count {count}.0\n" in s.metrics())  # noqa: B023 - run here
            texts.append(s.metrics())
            s.nodes[1].hold = True
        with urllib.request.urlopen(f"http://127.0.0.1:{s.port}/metrics", timeout=10) as reply:  # type: ignore[attr-defined]
            texts.append(reply.read().decode())

    def with_port(s: Stage) -> Any:
        s.port = s.coordinator.metrics._server.server_port  # type: ignore[attr-defined]
        return play(s)

    stage(federation, with_port, metrics=MetricsConfig(listen="127.0.0.1:0"))
    before, after, fetched = texts
    for line in (
        'collegium_coordinator_answers_total{verdict="released"} 2.0',
        'collegium_coordinator_nodes{state="connected"} 2.0',
        'collegium_coordinator_nodes{state="offline"} 0.0',
        "collegium_coordinator_nodes_behind 0.0",
        "collegium_coordinator_requests_total 1.0",
        "collegium_coordinator_question_seconds_count 1.0",
        "collegium_coordinator_ask_seconds_count 2.0",
        "collegium_coordinator_asks_running 0.0",
        'collegium_coordinator_rounds{state="failed"} 0.0',
    ):
        assert f"{line}\n" in before, line
    assert 'collegium_coordinator_answers_total{verdict="held"} 1.0\n' in after
    assert "process_resident_memory_bytes" in after
    assert series(before) == series(after) == series(fetched)
    names = {line.split()[2] for line in after.splitlines() if line.startswith("# TYPE")}
    assert {name.removesuffix("_total") for name in documented("coordinator")} <= {name.removesuffix("_total") for name in names}
    assert not any(secret in after for secret in (*SECRETS, "u1", "u2"))


def test_durations_are_told_in_buckets_alone() -> None:
    def told(seconds: float) -> list[Any]:
        moments = iter([0.0, seconds])
        observed = Observed(monotonic=lambda: next(moments))
        job: Any = SimpleNamespace(id="ab" * 32, state_of=lambda _: "released")

        async def nothing() -> None:
            pass

        asyncio.run(observed.asking(job, "u1", nothing))
        families = [family for collector in observed.collectors for family in collector.collect()]
        return [sample for family in families for sample in family.samples if not sample.name.endswith("_created")]

    assert told(1.01) == told(2.99) != told(3.01)


def test_every_line_for_a_request_names_it_and_none_says_what_for(federation: Any) -> None:
    asked = []

    async def play(s: Stage) -> None:
        s.nodes[1].broken = ValueError("row 17: 13800138000")
        asked.append(await s.ask())

    lines = stage(federation, play).lines
    about = [line for line in lines if line.get("request") == asked[0]]
    assert {line["node"] for line in about if line["event"] == "fanout"} == {"u2"}
    assert {"time", "event", "logger", "level", "text"} <= set.intersection(*(set(line) for line in lines))
    text = json.dumps(lines)
    assert not any(secret in text for secret in (PURPOSE, LABEL, str(VALUE), "13800138000"))


def test_nodes_tell_their_standing_briefly_too(federation: Any) -> None:
    async def play(s: Stage) -> None:
        await s.federation.until(lambda: all(node.registry.size == s.coordinator.registry.size for node in s.nodes))
        for brief in (False, True):
            reply = await s.stub.Nodes(NodesRequest(brief=brief))
            assert [line.name for line in reply.nodes] == ["u1", "u2"]
            assert all(line.status.registry_size == s.coordinator.registry.size for line in reply.nodes)
            assert not any(line.status.policy for line in reply.nodes)
            assert list(reply.trustees) == []

    stage(federation, play)


def test_a_national_round_is_in_its_questions_trace_and_in_the_figures(federation: Any, make_question: Any) -> None:
    spans: list[Span] = []
    shown: list[str] = []
    asked: list[str] = []

    async def run() -> None:
        country = Country(federation)
        async with country.serving(combine=national_table):
            country.coordinator.observed.tracing = Tracing(spans.append)
            await country.settle(4, 3, None)
            await country.connect()
            asked.append((await country.ask(await country.request(make_question))).request_id)
            await asyncio.to_thread(country.coordinator.metrics.write)
            shown.append(federation.home.metrics.read_text())
            reply = await country.stub.Nodes(NodesRequest())
            assert [(line.connected, line.key_until > 0) for line in reply.trustees] == [(True, True)] * 3

    asyncio.run(run())
    steps = [span for span in spans if span.name.startswith("round: ")]
    assert list(dict.fromkeys(span.name.removeprefix("round: ") for span in steps)) == [
        state for state in ROUND_STATES if state not in SETTLED
    ]
    assert {(span.request, span.attributes["question"], span.attributes["round"]) for span in steps} == {(asked[0], 0, 0)}
    for line in (
        'rounds{state="done"} 1.0',
        'rounds{state="open"} 0.0',
        'trustees{state="connected"} 3.0',
        "round_oldest_seconds 0.0",
    ):
        assert f"collegium_coordinator_{line}\n" in shown[0], line


def test_states_of_rounds_are_those_of_the_table() -> None:
    assert set(SETTLED) < set(ROUND_STATES)
