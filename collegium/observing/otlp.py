"""Spans to a collector, by OpenTelemetry's own SDK and its standard environment variables.

    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT     where to; one of them turns it on
    OTEL_TRACES_EXPORTER        otlp (turns it on too: http://localhost:4318) or none
    OTEL_EXPORTER_OTLP_HEADERS, _CERTIFICATE, _TIMEOUT, OTEL_BSP_*, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES,
    OTEL_SERVICE_NAME, OTEL_SDK_DISABLED                                as the SDK's own pages say

Only OTLP over HTTP with protobuf is spoken. The packages are the extra `trace` of each service; without them nothing is exported.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from collegium.errors import Invalid
from collegium.observing.spans import Span, trace_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["Otlp", "from_environment"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
LAST_WORDS = 3.0  # seconds for what has not been sent when the process ends


def from_environment(service: str, environ: Mapping[str, str]) -> Otlp | None:
    """The exporter that the environment asks for; None when it asks for none.

    Raises Invalid when it asks for what this program cannot do; a service logs that and works without traces.
    """
    wanted = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or wanted == "none":
        return None
    if not wanted and not any(environ.get(name) for name in ENDPOINTS):
        return None
    if wanted not in ("", "otlp"):
        raise Invalid("traces are exported by otlp only", place="OTEL_TRACES_EXPORTER", remedy="Set it to otlp or none.")
    for name in PROTOCOLS:
        if environ.get(name, "http/protobuf") != "http/protobuf":
            raise Invalid(
                "traces are sent as http/protobuf only", place=name, remedy="Unset it, and name the collector's HTTP port."
            )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise Invalid(
            "OpenTelemetry is not installed, so no trace is exported", place=service, remedy=f"pip install '{service}[trace]'"
        ) from None
    return Otlp(OTLPSpanExporter(), service, named=bool(environ.get("OTEL_SERVICE_NAME")))


class Otlp:
    """A sink (see `spans.Sink`): finished spans become the SDK's and leave in its own thread, whole batches at a time.

    Args:
        batch: False hands each span over at once; for tests.
        named: the environment names the service.
    """

    def __init__(self, exporter: SpanExporter, service: str, *, batch: bool = True, named: bool = False) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self._lock = threading.Lock()
        self._ids = _given_ids()
        resource = Resource.create({} if named else {"service.name": service})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter) if batch else SimpleSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("collegium")

    def __call__(self, span: Span) -> None:
        from opentelemetry.context import Context
        from opentelemetry.sdk.trace.sampling import Decision
        from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

        trace = int.from_bytes(trace_of(span.request))
        context = Context()
        if span.parent is not None:
            # What the parent's process decided does not travel; the sampler decides by the trace's id and says the same here.
            decision = self._provider.sampler.should_sample(None, trace, span.name).decision
            flags = TraceFlags(TraceFlags.SAMPLED if decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT)
            above = SpanContext(trace, int.from_bytes(span.parent), is_remote=True, trace_flags=flags)
            context = set_span_in_context(NonRecordingSpan(above), context)
        attributes = {f"collegium.{name}": value for name, value in {"request": span.request, **span.attributes}.items()}
        with self._lock:
            self._ids.next = (trace, int.from_bytes(span.id))
            made = self._tracer.start_span(span.name, context, start_time=_nanoseconds(span.start), attributes=attributes)
        made.end(_nanoseconds(span.end))

    def close(self) -> None:
        """Send what is left, for a moment; a collector that does not answer holds nobody up for longer."""
        ending = threading.Thread(target=self._end, name="traces", daemon=True)
        ending.start()
        ending.join(LAST_WORDS)

    def _end(self) -> None:
        self._provider.force_flush()  # its own time limit is not kept while the exporter waits to try again
        self._provider.shutdown()


def _given_ids() -> Any:
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Given(IdGenerator):
        """Ids that were decided before; `next` is set under the lock that makes the span."""

        next = (0, 0)

        def generate_trace_id(self) -> int:
            return self.next[0]

        def generate_span_id(self) -> int:
            return self.next[1]

    return Given()


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
