"""W3C trace context, and the data of a request that its spans need."""

import random
import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# Sampled and random. A server may forward only the flags that it knows.
_KNOWN_FLAGS = 0x03


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span, as its children refer to it."""

    # 32 hexadecimal digits, in lower case.
    trace_id: str
    # 16 hexadecimal digits.
    span_id: str
    flags: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestSpan:
    """A request that has ended. Times are seconds since 1970; None: the request did not get that far."""

    # The request's own span, made by `child`.
    context: TraceContext
    # The caller's span; None: the trace starts here.
    parent: TraceContext | None
    # The HTTP method, or the gRPC method with its service: inference.GRPCInferenceService/ModelInfer.
    method: str
    # The pattern of the path; None for gRPC.
    route: str | None
    # The HTTP status, or the name of the gRPC code.
    status: int | str
    model: str | None
    variant: str | None
    rows: int | None
    # The class of the error.
    error: str | None
    arrived_s: float
    queued_s: float | None
    started_s: float | None
    ran_s: float | None
    ended_s: float


def parse_traceparent(header: str) -> TraceContext | None:
    """The caller's span; None if the header does not follow https://www.w3.org/TR/trace-context."""
    match = _TRACEPARENT.fullmatch(header)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    # Later versions may add fields; version 00 has none.
    if version == "ff" or (version == "00" and rest) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & _KNOWN_FLAGS)


def child(parent: TraceContext | None) -> TraceContext:
    """A new span below `parent`, or the first span of a new trace."""
    # Ids must be unique, not secret. All zeros are invalid.
    span_id = f"{random.getrandbits(64) or 1:016x}"
    if parent is None:
        return TraceContext(f"{random.getrandbits(128) or 1:032x}", span_id, _KNOWN_FLAGS)
    return TraceContext(parent.trace_id, span_id, parent.flags)


def header(context: TraceContext) -> str:
    """The `traceparent` header that continues the trace below this span."""
    return f"00-{context.trace_id}-{context.span_id}-{context.flags:02x}"
