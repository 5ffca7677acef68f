"""Export the spans of finished requests to an OpenTelemetry collector.

Imported only if one is configured, because the SDK is heavy and its exporter optional.
"""

import importlib.metadata
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from serve.observe.context import RequestSpan, TraceContext

# gRPC codes that mean a fault of the server.
_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}


class Tracer:
    """Exports one span per request, with child spans for its time in the queue and its run.

    A separate thread sends them; spans that the collector does not accept in time are dropped."""

    def __init__(self) -> None:
        self._ids = _GivenIds()
        # A provider of our own, because the global one belongs to the host process.
        self._provider = TracerProvider(resource=_resource(), id_generator=self._ids)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("counterweight")

    def record(self, request: RequestSpan) -> None:
        """Export the request's spans if its trace is sampled. Must be called from one thread only."""
        self._ids.given = request.context
        span = self._tracer.start_span(
            request.method if request.route is None else f"{request.method} {request.route}",
            context=_context(request.parent),
            kind=trace.SpanKind.SERVER,
            attributes=attributes_of(request),
            start_time=_ns(request.arrived_s),
        )
        self._ids.given = None
        if not span.is_recording():
            return
        if _is_fault(request.status):
            span.set_status(trace.StatusCode.ERROR)
        below = trace.set_span_in_context(span, Context())
        self._record_part("queue", below, request.queued_s, request.started_s)
        self._record_part("run", below, request.started_s, request.ran_s)
        span.end(_ns(request.ended_s))

    def close(self) -> None:
        """Send the remaining spans. Blocks for up to OTEL_EXPORTER_OTLP_TIMEOUT (10 s) if the collector is
        gone."""
        self._provider.shutdown()

    def _record_part(self, name: str, below: Context, start_s: float | None, end_s: float | None) -> None:
        if start_s is not None and end_s is not None:
            self._tracer.start_span(name, context=below, start_time=_ns(start_s)).end(_ns(end_s))


class _GivenIds(RandomIdGenerator):
    """Random ids, except for a span whose id was given out before it ended."""

    given: TraceContext | None = None

    def generate_trace_id(self) -> int:
        return int(self.given.trace_id, 16) if self.given else super().generate_trace_id()

    def generate_span_id(self) -> int:
        return int(self.given.span_id, 16) if self.given else super().generate_span_id()


def attributes_of(request: RequestSpan) -> Mapping[str, str | int]:
    """The attributes of the request, named by OpenTelemetry's conventions, and our own."""
    wire: dict[str, str | int | None] = (
        {
            "rpc.system.name": "grpc",
            "rpc.method": request.method,
            "rpc.response.status_code": request.status,
        }
        if request.route is None
        else {
            "http.request.method": request.method,
            "http.route": request.route,
            "http.response.status_code": request.status,
        }
    )
    ours = {
        "error.type": request.error,
        "counterweight.model": request.model,
        "counterweight.variant": request.variant,
        "counterweight.rows": request.rows,
    }
    return {name: value for name, value in (wire | ours).items() if value is not None}


def _is_fault(status: int | str) -> bool:
    return status in _FAULTS if isinstance(status, str) else status >= 500


def _context(parent: TraceContext | None) -> Context:
    if parent is None:
        return Context()
    caller = trace.SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(parent.flags),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(caller), Context())


def _resource() -> Resource:
    ours = Resource({SERVICE_VERSION: importlib.metadata.version("counterweight")})
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "counterweight"}))
    return ours.merge(resource)


def _ns(time_s: float) -> int:
    # A float holds microseconds, not nanoseconds.
    return round(time_s * 1e6) * 1000
