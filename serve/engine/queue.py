"""The queue of a variant. A batch runs if the variant is idle, if it is full, or if it has waited enough."""

import asyncio
import contextvars
import math
import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from serve.base.errors import (
    ONE_REQUESTS,
    CounterweightError,
    DeadlineExceeded,
    Overloaded,
    VariantUnavailable,
)
from serve.base.settings import Settings
from serve.base.tensor import Arrays
from serve.counting.tally import Tally
from serve.engine.batch import Joining, Outputs
from serve.engine.placement import Placement
from serve.engine.shapes import Shapes

# The weight of the last run in the expected time of a run.
_NEWEST = 0.2


@dataclass(frozen=True, slots=True)
class Ran:
    """A request's outputs, and its times on the clock of time.perf_counter."""

    outputs: Outputs
    rows: int
    entered: float
    started: float
    ended: float


class _Waiting:
    """One request in the queue."""

    __slots__ = ("answer", "arrays", "entered", "expiry", "key", "rows", "started", "waits")

    def __init__(self, arrays: Arrays, joining: Joining, answer: "asyncio.Future[Outputs]") -> None:
        self.arrays = arrays
        self.answer = answer
        self.entered = self.started = time.perf_counter()
        self.expiry: asyncio.TimerHandle | None = None
        self.waits = True
        self.rows = joining.rows_of(arrays)
        # Only requests with the same key share a run.
        self.key = joining.key_of(arrays)


class Queue:
    """The queue of one variant. `tally` counts its runs and the waiting times."""

    def __init__(self, placement: Placement, joining: Joining, settings: Settings, tally: Tally) -> None:
        self._placement = placement
        self.joining = joining
        self.settings = settings
        self.tally = tally
        # Shapes of successful runs.
        self.shapes = Shapes()
        self._full_rows = min(settings.max_batch_rows, joining.full_rows)
        self._waiting: deque[_Waiting] = deque()
        self._running: dict[asyncio.Task[None], list[_Waiting]] = {}
        self._wake: asyncio.TimerHandle | None = None
        self._run_s = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self.waiting_rows = 0

    @property
    def in_flight(self) -> int:
        """Requests that are waiting or running."""
        return len(self._waiting) + sum(map(len, self._running.values()))

    def refuse_if_full(self) -> None:
        """Raise Overloaded if another request would wait too long."""
        rows = self.waiting_rows
        if rows < self._full_rows:
            return
        wait_s = self._run_s * math.ceil(rows / self._full_rows) / self._placement.runs
        if rows >= self.settings.max_queue_rows or wait_s > self.settings.max_queue_wait_s:
            raise Overloaded(
                f"{rows} rows are waiting, about {wait_s:.2g} s of work; try again later, or send fewer rows",
                max(1, math.ceil(wait_s)),
            )

    async def infer(self, arrays: Arrays, deadline: float) -> Ran:
        """The outputs for these arrays, before `deadline` on the loop's clock. Raises DeadlineExceeded,
        Overloaded, InvalidRequest, ModelFailed or VariantUnavailable."""
        most = self.settings.max_run_rows
        rows = self.joining.rows_of(arrays)
        if rows <= most:
            return await self._infer(arrays, deadline)
        # One after another, so that a large request does not fill the queue for all others.
        pieces = [
            await self._infer({name: array[start : start + most] for name, array in arrays.items()}, deadline)
            for start in range(0, rows, most)
        ]
        outputs = {
            name: np.concatenate([piece.outputs[name] for piece in pieces]) for name in pieces[0].outputs
        }
        return Ran(outputs, rows, pieces[0].entered, pieces[0].started, pieces[-1].ended)

    def abort(self, error: CounterweightError) -> None:
        """Fail all waiting and running requests."""
        for task in self._running:
            task.cancel(str(error))
        for batch in self._running.values():
            _fail(batch, error)
        _fail(self._waiting, error)

    async def drain(self) -> None:
        """Return when no request is waiting or running."""
        await self._idle.wait()

    async def _infer(self, arrays: Arrays, deadline: float) -> Ran:
        loop = asyncio.get_running_loop()
        if deadline <= loop.time():
            raise _too_late()
        self.refuse_if_full()
        answer: asyncio.Future[Outputs] = loop.create_future()
        member = _Waiting(arrays, self.joining, answer)
        member.expiry = loop.call_at(deadline, _expire, answer)
        self._waiting.append(member)
        self.waiting_rows += member.rows
        self._idle.clear()
        self._pump()
        try:
            outputs = await answer
        finally:
            member.expiry.cancel()
            # The rows of a request that has given up must not count any more.
            self._leave(member)
        return Ran(outputs, member.rows, member.entered, member.started, time.perf_counter())

    def _pump(self) -> None:
        """Start the runs that are possible now, and wake up again when the oldest request is due."""
        while self._waiting and len(self._running) < self._placement.runs:
            if self._running and (wait_s := self._wait_s()) > 0:
                if self._wake is None:
                    self._wake = asyncio.get_running_loop().call_later(wait_s, self._on_wake)
                return
            if batch := self._take():
                # In its own context, because Ray would cancel the run of others with the request of one.
                task = asyncio.create_task(self._work(batch), context=contextvars.Context())
                self._running[task] = batch
                task.add_done_callback(self._on_done)
        if not self._waiting and not self._running:
            self._idle.set()

    def _wait_s(self) -> float:
        """How long the next batch may still wait for more requests."""
        if self.waiting_rows >= self._full_rows:
            return 0.0
        return self._waiting[0].entered + self.settings.max_wait_s - time.perf_counter()

    def _on_wake(self) -> None:
        self._wake = None
        self._pump()

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        del self._running[task]
        self._pump()

    def _take(self) -> list[_Waiting]:
        """The oldest request and those directly behind it that fit into the same run."""
        batch: list[_Waiting] = []
        rows = 0
        now = time.perf_counter()
        while self._waiting:
            member = self._waiting[0]
            if batch and not (
                self.joining.signature.batches
                and rows + member.rows <= self._full_rows
                and member.key == batch[0].key
            ):
                break
            self._waiting.popleft()
            self._leave(member)
            # A request that has expired, or whose client has left, is not run.
            if not member.answer.done():
                batch.append(member)
                rows += member.rows
                member.started = now
                self.tally.queued.record((now - member.entered) * 1e3)
        return batch

    def _leave(self, member: _Waiting) -> None:
        if member.waits:
            member.waits = False
            self.waiting_rows -= member.rows

    async def _work(self, batch: list[_Waiting]) -> None:
        try:
            await self._run(batch)
        except ONE_REQUESTS as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            # The batch does not show whose input failed, so each request is run alone.
            for member in batch:
                if not member.answer.done():
                    await self._work([member])
        except asyncio.CancelledError:
            _fail(batch, VariantUnavailable("the run was cancelled: the server is stopping"))
            raise
        except Exception as error:  # all requests of the batch get the error; the queue goes on
            _fail(batch, error)

    async def _run(self, batch: list[_Waiting]) -> None:
        requests = [member.arrays for member in batch]
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self.settings.run_timeout_s):
                outputs, cpu_ms = await self._placement.run(joined := self.joining.join(requests))
        except TimeoutError:
            raise VariantUnavailable(
                f"a run of {sum(member.rows for member in batch)} rows took over "
                f"{self.settings.run_timeout_s:g} s; try again later"
            ) from None
        run_s = time.perf_counter() - start
        self._run_s += (run_s - self._run_s) * _NEWEST
        shares = self.joining.split(requests, outputs)
        rows = sum(member.rows for member in batch)
        self.tally.count_run(rows, run_s * 1e3, cpu_ms)
        self.shapes.see(self.joining.shape_of(joined))
        for member, share in zip(batch, shares, strict=True):
            if not member.answer.done():
                member.answer.set_result(share)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed before the answer was ready; allow more, or send fewer rows")


def _expire(answer: "asyncio.Future[Outputs]") -> None:
    if not answer.done():
        answer.set_exception(_too_late())


def _fail(batch: "list[_Waiting] | deque[_Waiting]", error: Exception) -> None:
    for member in batch:
        if not member.answer.done():
            member.answer.set_exception(error)
