"""Context: W3C trace context, and what is to be told of a request where spans are exported."""

import random
import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# Sampled, and random: what a server may pass on. It must clear the other bits.
_KNOWN_FLAGS = 0x03


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span, as those who come after it know it."""

    # 32 hexadecimal digits, in lower case.
    trace_id: str
    # 16 of them.
    span_id: str
    flags: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestSpan:
    """A request that has ended. Times are seconds since 1970; None: the request never came so far."""

    # The request's own, made by `child`.
    context: TraceContext
    # The caller's; None: the trace starts here.
    parent: TraceContext | None
    # HTTP's method, or gRPC's with its service: inference.GRPCInferenceService/ModelInfer.
    method: str
    # The pattern of the path; None: the request came by gRPC.
    route: str | None
    # HTTP's number, or the name of gRPC's code.
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
    """The caller's span; None when the header is not as https://www.w3.org/TR/trace-context says."""
    match = _TRACEPARENT.fullmatch(header)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    # A later version may add fields; this one has none to add.
    if version == "ff" or (version == "00" and rest) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & _KNOWN_FLAGS)


def child(parent: TraceContext | None) -> TraceContext:
    """A new span below `parent`, or the first of a new trace."""
    # Ids are to be unique, not secret. All zeros would be no id.
    span_id = f"{random.getrandbits(64) or 1:016x}"
    if parent is None:
        return TraceContext(f"{random.getrandbits(128) or 1:032x}", span_id, _KNOWN_FLAGS)
    return TraceContext(parent.trace_id, span_id, parent.flags)


def header(context: TraceContext) -> str:
    """The value of `traceparent` that passes this span on."""
    return f"00-{context.trace_id}-{context.span_id}-{context.flags:02x}"
