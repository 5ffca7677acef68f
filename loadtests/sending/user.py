"""A Locust user that follows a schedule of arrivals, independent of the server."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar

import gevent
from gevent.event import AsyncResult
from gevent.pool import Pool
from locust import FastHttpUser, task
from locust.exception import StopUser

from loadtests.errors import WrongAnswer
from loadtests.sending.alarm import Alarm
from loadtests.sending.answer_check import NewVariant, check_answer
from loadtests.sending.arrivals import Schedule
from loadtests.sending.body import JSON_BYTES_HEADER, Body, make_id
from loadtests.sending.live_counters import LiveCounters
from loadtests.sending.model_metadata import ModelMetadata, model_path
from loadtests.sending.new_variants import Newcomers
from loadtests.sending.samples import UNANSWERED, Recorder

# Maximum number of requests in flight. Beyond it the sender waits, and the report counts how often.
CONCURRENCY = 1024
_LOOK_EVERY_S = 0.25


class Interrupted(Exception):
    """Thrown into the walk by Ctrl-C, which ends the run early and keeps the samples."""


class StoppedEarly(Exception):
    """Thrown into the walk when `is_enough` returns True."""


@dataclass(kw_only=True)
class UserLoad:
    """What a user sends, and the state of the run."""

    # Schedules one after the other, possibly without end.
    schedules: Iterable[Schedule]
    # Start of the first schedule; below 0 if there is a warm-up.
    begin_s: float
    # Bodies by payload index.
    bodies: Mapping[int, Body]
    metadata: ModelMetadata
    # Headers of every request, in addition to the body's own.
    headers: Mapping[str, str]
    # How long after the last arrival an answer still counts.
    drain_s: float
    live: LiveCounters
    # Called once for each request sent.
    on_sent: Callable[[], object]
    # Called four times a second; returns True when sending should end.
    is_enough: Callable[[LiveCounters, float], bool] | None = None
    newcomers: Newcomers = field(default_factory=Newcomers)
    recorder: Recorder = field(default_factory=Recorder)
    # Set when the schedule has ended or `is_enough` has ended it, or to the error that ended the walk.
    finished: AsyncResult = field(default_factory=AsyncResult)
    # The greenlet of the walk while it runs.
    walker: gevent.Greenlet | None = None
    # Time from the start of the schedule to the last answer, and this process's CPU time in it.
    wall_s: float = 0
    cpu_s: float = 0
    # The time of the last request or of the end of the schedule.
    sent_until_s: float = 0
    # How often a request had to wait because too many were in flight.
    pool_full: int = 0

    def interrupt(self) -> None:
        """End the walk; a second call also ends the wait for answers."""
        if self.walker is None:
            self.finished.set(False)
        else:
            self.walker.kill(Interrupted, block=False)


class InferUser(FastHttpUser):  # type: ignore[misc]
    """Sends each request at its scheduled time and measures its latency from that time."""

    abstract = True
    fixed_count = 1
    concurrency = CONCURRENCY
    # A redirect is not a valid answer of the protocol.
    max_redirects = 0
    insecure = False
    load: ClassVar[UserLoad]

    @task  # type: ignore[untyped-decorator]
    def walk(self) -> None:
        """Follow the schedules, then wait a limited time for the outstanding answers."""
        load = self.load
        self._pool = Pool(CONCURRENCY)
        self._started = time.perf_counter() - load.begin_s
        cpu_s = time.process_time()
        load.walker = gevent.getcurrent()
        watcher = gevent.spawn(self._watch) if load.is_enough else None
        try:
            complete = self._send_all()
            load.live.sending = False
            load.sent_until_s = self._now_s()
            load.finished.set(self._drain() and complete)
        except Exception as error:
            load.finished.set_exception(error)
        finally:
            if watcher is not None:
                watcher.kill()
            # If an error ended the walk, some requests are still in flight.
            self._pool.kill()
            load.wall_s = self._now_s() - load.begin_s
            load.cpu_s = time.process_time() - cpu_s
            self.client.client.close()
        raise StopUser

    def _send_all(self) -> bool:
        numbers = count()
        try:
            for schedule in self.load.schedules:
                self._send_each(schedule, numbers)
        except Interrupted:
            return False
        except StoppedEarly:
            pass
        return True

    def _send_each(self, schedule: Schedule, numbers: Iterator[int]) -> None:
        alarm = Alarm((self._started + schedule.at_s).tolist())
        try:
            for at_s, pinned, payload in schedule:
                alarm.sleep_until(self._started + at_s)
                if self._pool.full():
                    self.load.pool_full += 1
                self._pool.spawn(self._send, next(numbers), at_s, pinned, payload)
        finally:
            alarm.stop()

    def _watch(self) -> None:
        """End the walk when `is_enough` says so or raises."""
        load = self.load
        assert load.is_enough is not None
        assert load.walker is not None
        end: BaseException | None = None
        while load.live.sending and end is None:
            gevent.sleep(_LOOK_EVERY_S)
            try:
                end = StoppedEarly() if load.is_enough(load.live, self._now_s()) else None
            except Exception as error:
                end = error
        if load.live.sending:
            load.walker.kill(end, block=False)

    def _drain(self) -> bool:
        """Wait for answers. A request that is still open fails, since it may be the slowest of all."""
        complete = True
        try:
            self._pool.join(timeout=self.load.drain_s)
        except Interrupted:
            complete = False
        self._pool.kill()
        now_s = self._now_s()
        for at_s, sent_s, pinned in self.load.live.open.values():
            self.load.live.note(at_s, now_s, right=False)
            self.load.recorder.note(times_s=(at_s, sent_s, now_s), pinned=pinned, error=UNANSWERED)
        return complete

    def _send(self, number: int, at_s: float, pinned: str | None, payload: int) -> None:
        live = self.load.live
        sent_s = self._now_s()
        live.open[number] = at_s, sent_s, pinned
        self.load.on_sent()
        try:
            done_s, status, variant, error = self._post(number, at_s, pinned, payload)
        except Exception as failure:  # whatever goes wrong with an answer is that request's error
            done_s, status, variant = self._now_s(), 0, None
            error = f"{type(failure).__name__}: {failure}"
        del live.open[number]
        live.note(at_s, done_s, right=error is None)
        self.load.recorder.note(
            times_s=(at_s, sent_s, done_s), pinned=pinned, variant=variant, error=error, status=status
        )

    def _post(
        self, number: int, at_s: float, pinned: str | None, payload: int
    ) -> tuple[float, int, str | None, str | None]:
        """Send one request; return the time of the answer, its status, its variant and its error."""
        body = self.load.bodies[payload]
        with self.client.post(
            f"{model_path(self.load.metadata.name, pinned)}/infer",
            data=body.with_id(make_id(number)),
            headers={**body.headers, **self.load.headers},
            name=f"infer[{pinned or 'split'}]",
            catch_response=True,
            context={"variant": pinned},
        ) as response:
            done_s = self._now_s()
            # Locust measures from the time of sending, but the user waits from the scheduled time.
            response.request_meta["response_time"] = (done_s - at_s) * 1000
            status = response.status_code or 0
            try:
                variant = self._check(response, number, pinned)
            except WrongAnswer as wrong:
                response.failure(str(wrong))
                return done_s, status, None, str(wrong)
            # The variant of a request that follows the split is known only now.
            response.request_meta["name"] = f"infer[{variant}]"
            response.success()
            return done_s, status, variant, None

    def _check(self, response: Any, number: int, pinned: str | None) -> str:
        if not response.status_code:
            raise WrongAnswer(f"{type(response.error).__name__}: {response.error}")
        load = self.load
        try:
            return self._check_against(load.metadata, response, number, pinned)
        except NewVariant as new:
            if not load.newcomers.has(new.version, self._ask):
                raise
            return self._check_against(load.newcomers.joined(load.metadata), response, number, pinned)

    def _check_against(self, metadata: ModelMetadata, response: Any, number: int, pinned: str | None) -> str:
        return check_answer(
            response.status_code,
            response.content or b"",
            json_bytes=response.headers.get(JSON_BYTES_HEADER),
            request_id=make_id(number),
            pinned=pinned,
            metadata=metadata,
        )

    def _ask(self) -> bytes:
        """Return the server's current metadata of the model."""
        path = model_path(self.load.metadata.name)
        return bytes(self.client.get(path, headers=dict(self.load.headers), name="metadata").content or b"")

    def _now_s(self) -> float:
        return time.perf_counter() - self._started
