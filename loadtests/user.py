"""InferUser: one Locust user that walks a schedule of arrivals, whatever the server does."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import gevent
from gevent.event import AsyncResult
from gevent.pool import Pool
from locust import FastHttpUser, task
from locust.exception import StopUser

from loadtests.answer import check_answer
from loadtests.arrivals import Arrival
from loadtests.errors import WrongAnswer
from loadtests.metadata import ModelMetadata, model_path
from loadtests.payloads import with_id
from loadtests.sample import Sample

# Requests in flight at once. Beyond it the sender waits, and its lateness shows it.
CONCURRENCY = 1024
UNANSWERED = "no answer by the end of the run"
_HEADERS = {"Content-Type": "application/json"}


class Interrupted(Exception):
    """Thrown into the walk by Ctrl-C: it ends early, and keeps what it measured."""


@dataclass(kw_only=True)
class Load:
    """What a user is to send, and what came of it."""

    arrivals: Sequence[Arrival]
    # Payload index -> encoded body.
    bodies: Mapping[int, bytes]
    metadata: ModelMetadata
    # How long after the last arrival answers still count.
    drain_s: float
    # Called once for each request sent.
    on_sent: Callable[[], object]
    samples: list[Sample] = field(default_factory=list)
    # Whether the whole schedule was walked; or the error that ended the walk.
    finished: AsyncResult = field(default_factory=AsyncResult)
    # The greenlet of the walk, once it is under way.
    walker: gevent.Greenlet | None = None

    def interrupt(self) -> None:
        """End the walk; a second time: end the wait for answers too."""
        if self.walker is None:
            self.finished.set(False)
        else:
            self.walker.kill(Interrupted, block=False)


class InferUser(FastHttpUser):  # type: ignore[misc]
    """Sends each request at its intended time and counts its latency from that moment."""

    abstract = True
    fixed_count = 1
    concurrency = CONCURRENCY
    # A redirect is no answer of the protocol.
    max_redirects = 0
    insecure = False
    load: ClassVar[Load]

    @task  # type: ignore[untyped-decorator]
    def walk(self) -> None:
        """Walk the schedule once, then wait a bounded time for the answers that are still out."""
        self._pool = Pool(CONCURRENCY)
        self._open: dict[int, float] = {}
        self._started = time.perf_counter()
        self.load.walker = gevent.getcurrent()
        try:
            self.load.finished.set(self._send_all() and self._drain())
        except Exception as error:
            self.load.finished.set_exception(error)
        finally:
            self.client.client.close()
        raise StopUser

    def _send_all(self) -> bool:
        try:
            for index, arrival in enumerate(self.load.arrivals):
                # A timer of the event loop may fire a little early.
                while (delay_s := arrival.at_s - self._now_s()) > 0:
                    gevent.sleep(delay_s)
                self._pool.spawn(self._send, index, arrival)
        except Interrupted:
            self._drain()
            return False
        return True

    def _drain(self) -> bool:
        """Wait for answers; what stays open is a failure, for it may well be the slowest."""
        complete = True
        try:
            self._pool.join(timeout=self.load.drain_s)
        except Interrupted:
            complete = False
        self._pool.kill()
        for index, sent_s in self._open.items():
            arrival = self.load.arrivals[index]
            self.load.samples.append(
                Sample(intended_s=arrival.at_s, sent_s=sent_s, pinned=arrival.variant, error=UNANSWERED)
            )
        return complete

    def _send(self, index: int, arrival: Arrival) -> None:
        sent_s = self._open[index] = self._now_s()
        self.load.on_sent()
        status, variant = None, None
        try:
            status, variant, error = self._post(index, arrival)
        except Exception as failure:  # whatever goes wrong with an answer is that request's error
            error = f"{type(failure).__name__}: {failure}"
        del self._open[index]
        self.load.samples.append(
            Sample(
                intended_s=arrival.at_s,
                sent_s=sent_s,
                done_s=self._now_s(),
                pinned=arrival.variant,
                variant=variant,
                status=status,
                error=error,
            )
        )

    def _post(self, index: int, arrival: Arrival) -> tuple[int | None, str | None, str | None]:
        """Status, variant and error of one request."""
        with self.client.post(
            f"{model_path(self.load.metadata.name, arrival.variant)}/infer",
            data=with_id(self.load.bodies[arrival.payload], str(index)),
            headers=_HEADERS,
            name=f"infer[{arrival.variant or 'split'}]",
            catch_response=True,
            context={"variant": arrival.variant, "payload": arrival.payload},
        ) as response:
            # Locust counts from the moment of sending; what the user waits counts from the intended one.
            response.request_meta["response_time"] = (self._now_s() - arrival.at_s) * 1000
            status = response.status_code or None
            try:
                variant = self._check(response, str(index), arrival.variant)
            except WrongAnswer as wrong:
                response.failure(str(wrong))
                return status, None, str(wrong)
            response.success()
            return status, variant, None

    def _check(self, response: Any, request_id: str, pinned: str | None) -> str:
        if not response.status_code:
            raise WrongAnswer(f"{type(response.error).__name__}: {response.error}")
        return check_answer(
            response.status_code,
            response.content or b"",
            request_id=request_id,
            pinned=pinned,
            metadata=self.load.metadata,
        )

    def _now_s(self) -> float:
        return time.perf_counter() - self._started
