"""Admission: a request's leave to be answered, what it was answered, and how a rollout counts it."""

import math
import time
from dataclasses import dataclass, field
from types import TracebackType

from serve.batching import Ran
from serve.errors import InvalidRequest
from serve.oip.request import Wanted
from serve.rollout.census import Census, Choice
from serve.tensor import Arrays
from serve.top_class import top_class

Parameters = dict[str, str | int | float | bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a model answered, and which variant did."""

    variant: str
    ran: Ran
    # What the client should know besides, such as who was asked first.
    parameters: Parameters = field(default_factory=dict)
    # Why the variant that was chosen gave none: the name of an error's class. Empty: it is not to blame.
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to be answered: by which variant, and until when on the event loop's clock."""

    variant: str
    # Whether it must be this variant.
    pinned: bool
    deadline: float
    request_id: str
    # The part of all inputs that the client says it belongs to.
    slice: str | None
    # How the routes chose; who answers may be another, where that one is not served.
    choice: Choice
    # In which the sticky key is counted; None: none came.
    bucket: int | None
    # Where the request counts; None: no rollout looks at it.
    census: Census | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the variants get it."""

    arrays: Arrays
    outputs: tuple[Wanted, ...]
    # On the event loop's clock.
    deadline: float
    ticket: Ticket


class Admission:
    """One request that a rollout counts, from the moment that it is understood to its end: with the whole
    answer encoded, with an error, or without either because its client left."""

    __slots__ = ("_census", "_start", "_ticket", "answer")

    def __init__(self, census: Census, ticket: Ticket, start: float) -> None:
        """`start` is when it came, on the clock of time.perf_counter."""
        self.answer: Answer | None = None
        self._census = census
        self._ticket = ticket
        self._start = start

    def __enter__(self) -> "Admission":
        self._census.admit(self._ticket.choice, self._ticket.bucket)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, InvalidRequest):
            # The client's doing: it was asked, and nothing happened.
            return
        ticket, answer = self._ticket, self.answer
        failed, request_id = isinstance(error, Exception), ""
        ms = (time.perf_counter() - self._start) * 1e3
        if answer is not None:
            failed = bool(answer.failure)
            if answer.variant == ticket.choice[2] and not failed:
                request_id = ticket.request_id
        elif not failed:
            # Neither an answer nor an error: the client did not wait for it.
            ms = math.inf
        self._census.end(ticket.choice, ticket.bucket, failed=failed, ms=ms, request_id=request_id)
        if answer is not None and request_id and self._census.watch.feedback:
            top = top_class(answer.ran.outputs)
            if top is not None:
                self._census.tell_class(request_id, top)
