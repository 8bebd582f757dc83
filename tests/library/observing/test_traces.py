"""One question is one trace by its own id, with nothing sent for it; the SDK gets the ids that were decided, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id, format_trace_id

from collegium.errors import Invalid
from collegium.observing.otlp import Otlp, from_environment
from collegium.observing.spans import Span, Tracing, named, root, trace_of

REQUEST = hashlib.sha256(b"a request").hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def test_the_ids_follow_from_the_request(memory: InMemorySpanExporter) -> None:
    assert trace_of(REQUEST).hex() == REQUEST[:32]
    assert root(REQUEST).hex() == REQUEST[32:48]
    assert named(REQUEST, "fan-out") == named(REQUEST, "fan-out") != named(OTHER, "fan-out")
    assert named(REQUEST, "fan-out").hex() == hashlib.sha256(f"collegium/v1/span\n{REQUEST}\nfan-out\n".encode()).hexdigest()[:16]


def test_spans_nest_and_leave_with_these_ids(memory: InMemorySpanExporter) -> None:
    clock = iter(range(100, 200))
    tracing = Tracing(Otlp(memory, "a-service", batch=False), clock=lambda: next(clock))
    with (
        tracing.span(REQUEST, "fan-out", id=named(REQUEST, "fan-out"), parent=root(REQUEST), nodes=2),
        tracing.span(REQUEST, "ask", node="univ-a") as about,
    ):
        about["state"] = "released"
    with tracing.span(OTHER, "sign"):
        pass
    tracing.over(Span(REQUEST, "question", root(REQUEST), None, 100, 199))
    ask, fan_out, sign, whole = memory.get_finished_spans()
    assert [format_trace_id(span.context.trace_id) for span in (ask, fan_out, whole)] == [REQUEST[:32]] * 3
    assert format_trace_id(sign.context.trace_id) == OTHER[:32]
    assert (whole.parent, format_span_id(whole.context.span_id)) == (None, REQUEST[32:48])
    assert fan_out.parent.span_id == whole.context.span_id
    assert ask.parent.span_id == fan_out.context.span_id
    assert sign.parent.span_id == int(OTHER[32:48], 16)  # a request of its own is never below another's span
    assert dict(ask.attributes) == {"collegium.request": REQUEST, "collegium.node": "univ-a", "collegium.state": "released"}
    assert (fan_out.start_time, fan_out.end_time) == (100 * 10**9, 103 * 10**9)
    assert whole.resource.attributes["service.name"] == "a-service"
    assert not any(span.events or span.links for span in memory.get_finished_spans())


def test_tasks_and_threads_begun_inside_a_span_are_below_it(memory: InMemorySpanExporter) -> None:
    tracing = Tracing(Otlp(memory, "a-service", batch=False))

    def work() -> None:
        with tracing.span(REQUEST, "combine"):
            pass

    async def run() -> None:
        with tracing.span(REQUEST, "sign"):
            await asyncio.gather(asyncio.to_thread(work), asyncio.create_task(asyncio.to_thread(work)))

    asyncio.run(run())
    first, second, sign = memory.get_finished_spans()
    assert first.parent.span_id == second.parent.span_id == sign.context.span_id


def test_a_span_is_there_also_when_its_work_failed_and_says_nothing_of_the_error(memory: InMemorySpanExporter) -> None:
    tracing = Tracing(Otlp(memory, "a-service", batch=False))
    with pytest.raises(ValueError, match="13800138000"), tracing.span(REQUEST, "sign"):
        raise ValueError("row 17: 13800138000")
    (span,) = memory.get_finished_spans()
    assert "13800138000" not in span.to_json()


def test_ids_stay_with_their_spans_from_many_threads(memory: InMemorySpanExporter) -> None:
    sink = Otlp(memory, "a-service", batch=False)
    requests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda request: sink(Span(request, request, root(request), None, 1, 2)), requests))
    for span in memory.get_finished_spans():
        assert format_trace_id(span.context.trace_id) == span.name[:32]
        assert format_span_id(span.context.span_id) == span.name[32:48]


def test_the_sampler_says_the_same_of_every_span_of_a_trace(memory: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    sinks = [Otlp(memory, name, batch=False) for name in ("coordinator", "node")]
    for n in range(64):
        request = hashlib.sha256(bytes([n])).hexdigest()
        sinks[0](Span(request, "question", root(request), None, 1, 2))
        sinks[1](Span(request, "answer", bytes(7) + b"\x01", named(request, "fan-out"), 1, 2))
    names = {}
    for span in memory.get_finished_spans():
        names.setdefault(span.context.trace_id, set()).add(span.name)
    assert 10 < len(names) < 54
    assert all(each == {"question", "answer"} for each in names.values())


def test_without_a_sink_nothing_is_made() -> None:
    with Tracing().span("no request at all", "sign") as about:
        about["state"] = "released"
    assert not Tracing().on


HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    "environ", [{}, {"OTEL_TRACES_EXPORTER": "none", **HERE}, {"OTEL_SDK_DISABLED": "true", **HERE}, {"OTEL_SERVICE_NAME": "x"}]
)
def test_nothing_is_exported_unless_asked_for(environ: dict[str, str]) -> None:
    assert from_environment("collegium-coordinator", environ) is None


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", **HERE}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ],
)
def test_what_cannot_be_done_is_said(environ: dict[str, str], place: str) -> None:
    with pytest.raises(Invalid) as raised:
        from_environment("collegium-coordinator", environ)
    assert raised.value.place == place


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A collector on loopback that keeps what is posted to it."""
    posted: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", posted
    server.shutdown()
    thread.join()
    server.server_close()


def test_closing_sends_what_is_left(collector: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    address, posted = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    sink = from_environment("collegium-coordinator", {"OTEL_EXPORTER_OTLP_ENDPOINT": address})
    assert sink is not None
    sink(Span(REQUEST, "question", root(REQUEST), None, 1, 2))
    sink.close()
    assert bytes.fromhex(REQUEST[:32]) in b"".join(posted)
