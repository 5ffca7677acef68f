"""Spans as a real collector on the loopback interface decodes them."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from serve.observe.context import RequestSpan, TraceContext
from serve.observe.tracing import make_tracer

CALLER = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)
REQUEST = RequestSpan(
    context=TraceContext(CALLER.trace_id, "b7ad6b7169203331", 1),
    parent=CALLER,
    method="POST",
    route="/v2/models/{model}/infer",
    status=200,
    model="linear",
    variant="light",
    rows=2,
    error=None,
    arrived_s=1_900_000_000.0,
    queued_s=1_900_000_000.125,
    started_s=1_900_000_000.25,
    ran_s=1_900_000_000.5,
    ended_s=1_900_000_001.0,
)


class Collector:
    """What the exporter sent, by the names of spans, and the attributes of the server."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.resource: dict[str, str] = {}

    def take(self, body: bytes) -> None:
        for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = {entry.key: entry.value.string_value for entry in sent.resource.attributes}
            for scope in sent.scope_spans:
                self.spans |= {span.name: span for span in scope.spans}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def send(*requests: RequestSpan) -> None:
    """Record the requests with a tracer of the environment, and close it."""
    tracer = make_tracer()
    assert tracer is not None
    for request in requests:
        tracer.record(request)
    tracer.close()


def attributes(span: Span) -> dict[str, str | int]:
    return {entry.key: entry.value.string_value or entry.value.int_value for entry in span.attributes}


def test_a_request_is_a_span_below_its_caller(collector: Collector) -> None:
    """A request's span is a child of its caller's span and has the id that was passed on."""
    send(REQUEST)
    span = collector.spans["POST /v2/models/{model}/infer"]
    assert span.kind == Span.SPAN_KIND_SERVER
    assert (span.trace_id.hex(), span.span_id.hex()) == (CALLER.trace_id, "b7ad6b7169203331")
    assert span.parent_span_id.hex() == CALLER.span_id
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (
        1_900_000_000 * 10**9,
        1_900_000_001 * 10**9,
    )


def test_the_wait_and_the_run_are_spans_below_it(collector: Collector) -> None:
    """The wait and the run are child spans of the request's span."""
    send(REQUEST)
    start_ns = collector.spans["POST /v2/models/{model}/infer"].start_time_unix_nano
    parts = {
        name: (span.start_time_unix_nano - start_ns, span.end_time_unix_nano - start_ns)
        for name, span in collector.spans.items()
        if span.parent_span_id.hex() == "b7ad6b7169203331" and span.trace_id.hex() == CALLER.trace_id
    }
    assert parts == {"queue": (125_000_000, 250_000_000), "run": (250_000_000, 500_000_000)}


def test_a_request_says_what_it_was(collector: Collector) -> None:
    """A request's span has the HTTP attributes, the variant and the number of rows."""
    send(REQUEST)
    assert attributes(collector.spans["POST /v2/models/{model}/infer"]) == {
        "http.request.method": "POST",
        "http.route": "/v2/models/{model}/infer",
        "http.response.status_code": 200,
        "counterweight.model": "linear",
        "counterweight.variant": "light",
        "counterweight.rows": 2,
    }


def test_a_grpc_call_is_named_by_its_method(collector: Collector) -> None:
    """The span of a gRPC call is named after its method and has the RPC attributes and the error."""
    method = "inference.GRPCInferenceService/ModelInfer"
    send(replace(REQUEST, method=method, route=None, status="UNAVAILABLE", error="VariantUnavailable"))
    span = collector.spans[method]
    found = attributes(span)
    assert (found["rpc.system.name"], found["rpc.method"]) == ("grpc", method)
    assert found["rpc.response.status_code"] == "UNAVAILABLE"
    assert found["error.type"] == "VariantUnavailable"
    assert span.status.code == Status.STATUS_CODE_ERROR


@pytest.mark.parametrize(
    ("status", "code"), [(404, Status.STATUS_CODE_UNSET), (503, Status.STATUS_CODE_ERROR)]
)
def test_only_a_fault_of_the_server_is_an_error(
    collector: Collector, status: int, code: "Status.StatusCode.ValueType"
) -> None:
    """Only a status of 500 or above marks a span as an error."""
    send(replace(REQUEST, status=status))
    assert collector.spans["POST /v2/models/{model}/infer"].status.code == code


def test_a_request_that_never_reached_a_queue_has_one_span(collector: Collector) -> None:
    """A request that was never queued has only its own span."""
    send(replace(REQUEST, queued_s=None, started_s=None, ran_s=None))
    assert list(collector.spans) == ["POST /v2/models/{model}/infer"]


def test_without_a_caller_the_trace_is_the_requests_own(collector: Collector) -> None:
    """Without a caller the span has the request's own trace and no parent."""
    send(replace(REQUEST, parent=None))
    span = collector.spans["POST /v2/models/{model}/infer"]
    assert (span.trace_id.hex(), span.parent_span_id) == (CALLER.trace_id, b"")


def test_what_the_caller_does_not_sample_is_not_sent(collector: Collector) -> None:
    """A trace that the caller does not sample is not exported."""
    send(replace(REQUEST, parent=replace(CALLER, flags=0)))
    assert not collector.spans


def test_the_server_says_its_name(collector: Collector) -> None:
    """The spans' service name is `counterweight` by default."""
    send(REQUEST)
    assert collector.resource["service.name"] == "counterweight"


def test_the_environment_may_rename_the_server(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SERVICE_NAME sets the name of the service."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "digits-in-production")
    send(REQUEST)
    assert collector.resource["service.name"] == "digits-in-production"


def test_a_collector_that_is_gone_costs_spans_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the collector is gone, recording and closing raise nothing."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    send(REQUEST)
