"""Collects the data of a request, and writes its access log line and its spans when it has ended."""

import re
import time
from typing import TYPE_CHECKING, Any

from serve.engine.queue import Ran
from serve.observe.access_log import AccessLog
from serve.observe.context import RequestSpan, child, header, parse_traceparent

if TYPE_CHECKING:
    from serve.observe.spans import Tracer

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
# Converts the clock of durations to seconds since 1970.
_EPOCH_S = time.time() - time.perf_counter()


class Exchange:
    """One request and its answer, as HTTP or gRPC fill it in."""

    __slots__ = (
        "arrived",
        "bytes_in",
        "bytes_out",
        "client",
        "context",
        "error",
        "method",
        "model",
        "parent",
        "path",
        "ran",
        "request_id",
        "route",
        "status",
        "variant",
    )

    def __init__(self, method: str, path: str, request_id: str | None, traceparent: str | None) -> None:
        """`request_id` and `traceparent` are the client's; new ones replace invalid values."""
        self.arrived = time.perf_counter()
        self.method = method
        self.path = path
        # The pattern of the path; None for gRPC.
        self.route: str | None = None
        self.parent = None if traceparent is None else parse_traceparent(traceparent)
        self.context = child(self.parent)
        sound = request_id is not None and _REQUEST_ID.fullmatch(request_id)
        self.request_id = request_id if request_id is not None and sound else self.context.trace_id
        self.client: str | None = None
        # The HTTP status, or the name of the gRPC code.
        self.status: int | str = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.model: str | None = None
        self.variant: str | None = None
        self.ran: Ran | None = None
        self.error: str | None = None

    @property
    def traceparent(self) -> str:
        """The header that continues the trace below the request's span."""
        return header(self.context)


class Observer:
    """Logs and traces exchanges, if a log or a tracer is configured."""

    def __init__(self, access_log: AccessLog | None = None, tracer: "Tracer | None" = None) -> None:
        self._access_log = access_log
        self._tracer = tracer

    def note(self, exchange: Exchange) -> None:
        """Record an exchange that has just ended."""
        if self._access_log is None and self._tracer is None:
            return
        ended, ran = time.perf_counter(), exchange.ran
        what: dict[str, Any] = {
            "method": exchange.method,
            "status": exchange.status,
            "model": exchange.model,
            "variant": exchange.variant,
            "rows": None if ran is None else ran.rows,
            "error": exchange.error,
        }
        if self._access_log is not None:
            self._access_log.record(
                **what,
                request_id=exchange.request_id,
                path=exchange.path,
                duration_ms=(ended - exchange.arrived) * 1e3,
                queue_ms=None if ran is None else (ran.started - ran.entered) * 1e3,
                bytes_in=exchange.bytes_in,
                bytes_out=exchange.bytes_out,
                client=exchange.client,
                trace_id=exchange.context.trace_id,
            )
        if self._tracer is not None:
            self._tracer.record(
                RequestSpan(
                    **what,
                    context=exchange.context,
                    parent=exchange.parent,
                    route=exchange.route,
                    arrived_s=exchange.arrived + _EPOCH_S,
                    queued_s=None if ran is None else ran.entered + _EPOCH_S,
                    started_s=None if ran is None else ran.started + _EPOCH_S,
                    ran_s=None if ran is None else ran.ended + _EPOCH_S,
                    ended_s=ended + _EPOCH_S,
                )
            )
