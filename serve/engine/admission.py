"""An admitted request: which variant should answer it, its answer, and how a rollout counts it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple

from serve.base.errors import InvalidRequest, ModelFailed, Overloaded, VariantUnavailable
from serve.base.tensor import Arrays
from serve.counting.count_delta import Choice
from serve.counting.rollout_counter import RolloutCounter, Watch
from serve.engine.batch import Outputs
from serve.engine.queue import Ran
from serve.engine.request import RequestedOutput

# A client that waits this long and then leaves shows that the variant hangs. So does one that leaves earlier,
# if that is a multiple of the usual latency and longer than the pause of a garbage collection.
_PATIENCE_MS = 1000.0
_FAR = 5.0
_PAUSE_MS = 250.0
# Errors of requests that the baseline could not rescue.
_BOTH = (ModelFailed, VariantUnavailable, Overloaded)
Parameters = dict[str, str | int | float | bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer of a model, and the variant that gave it."""

    variant: str
    ran: Ran
    # Additional parameters for the client, such as the variant that failed.
    parameters: Parameters = field(default_factory=dict)
    # Why the chosen variant did not answer: the name of an error class. Empty if it did not fail.
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An admitted request: the variant that answers it, and its deadline on the event loop's clock."""

    variant: str
    # Whether only this variant may answer.
    pinned: bool
    deadline: float
    request_id: str
    # The slice of the inputs that the client names.
    slice: str | None
    # The choice of the routes; `variant` differs from it if that one is not served.
    choice: Choice
    # The bucket of the sticky key; None: the request has no key.
    bucket: int | None
    # Where the request counts; None: no rollout counts it.
    counter: RolloutCounter | None


class AdmittedRequest(NamedTuple):
    """A request as a variant gets it."""

    arrays: Arrays
    outputs: tuple[RequestedOutput, ...]
    # On the event loop's clock.
    deadline: float
    ticket: Ticket


class Admission:
    """Counts one request for a rollout, from admission to its end: an encoded answer, an error, or neither if
    its client disconnected."""

    __slots__ = ("_admitted", "_counter", "_start", "_ticket", "_top_class", "answer")

    def __init__(
        self,
        counter: RolloutCounter,
        ticket: Ticket,
        start: float,
        top_class: Callable[[Outputs], tuple[int, int] | None],
    ) -> None:
        """`start` is the arrival time, on the clock of time.perf_counter; `top_class` reads the class of an
        answer."""
        self.answer: Answer | None = None
        self._counter = counter
        self._ticket = ticket
        self._start = start
        self._top_class = top_class

    def __enter__(self) -> "Admission":
        self._admitted = self._counter.admit(self._ticket.choice, self._ticket.bucket)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, InvalidRequest):
            # The client's fault: the request counts, without an outcome.
            self._counter.end(self._admitted, failed=False, ms=0.0, request_id="")
            return
        ticket, answer = self._ticket, self.answer
        ms = (time.perf_counter() - self._start) * 1e3
        failed = isinstance(error, Exception) if answer is None else bool(answer.failure)
        left = answer is None and not failed
        own = answer is not None and not failed and answer.variant == ticket.choice[2]
        self._counter.end(
            self._admitted,
            failed=failed,
            ms=math.inf if left else ms,
            request_id=ticket.request_id if own else "",
        )
        if answer is not None and own and self._counter.watch.feedback:
            self._tell_class(answer)
        if not left or ms >= _patience_ms(self._counter.watch):
            # If the client left sooner, an answer could still have come.
            self._tell_breaker(error, failed=failed, left=left)

    def _tell_breaker(self, error: BaseException | None, *, failed: bool, left: bool) -> None:
        watch, breaker = self._counter.watch, self._counter.breaker
        ticket, answer = self._ticket, self.answer
        if ticket.choice[2] == watch.baseline:
            breaker.note_baseline(failed=failed or left)
        elif ticket.variant == watch.candidate:
            stood_in = answer is not None and answer.variant == watch.baseline
            if stood_in or isinstance(error, _BOTH):
                # If the candidate has all traffic, this is the only sign of how the baseline is doing.
                breaker.note_baseline(failed=not stood_in)
            failure = type(error).__name__ if answer is None else answer.failure
            if not isinstance(error, _BOTH) and failure != Overloaded.__name__:
                breaker.note_candidate("abandoned" if left else failure, ticket.bucket)

    def _tell_class(self, answer: Answer) -> None:
        found, request_id = self._top_class(answer.ran.outputs), self._ticket.request_id
        if found is not None and request_id:
            self._counter.tops.append((request_id, found[0]))


def _patience_ms(watch: Watch) -> float:
    """How long a client must have waited to show that no answer would have come."""
    # The limit, if there is one, or the announced p99: few of the baseline's requests take longer.
    usual_ms = watch.limit_ms or watch.quantile_limits_ms[2]
    if usual_ms is None:
        return _PATIENCE_MS
    return max(usual_ms, min(max(_FAR * usual_ms, _PAUSE_MS), _PATIENCE_MS))
