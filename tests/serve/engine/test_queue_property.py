"""Each request gets its own answer or an error, whatever requests come together."""

import asyncio
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.base.errors import DeadlineExceeded, ModelFailed, Overloaded, VariantUnavailable
from serve.base.tensor import Arrays, Signature, TensorSpec
from serve.engine.placement import Run
from serve.engine.queue import Queue, Ran
from tests.serve.clock import now, run
from tests.serve.queues import queue_of

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", datatype="INT64", shape=("batch", "length")),),
    outputs=(TensorSpec(name="y", datatype="INT64", shape=("batch", "length")),),
)
PAD, POISON = -1, -2
# None of these requests has to wait this long.
PATIENT_S = 1000.0


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request, and what its client does. Times are in milliseconds."""

    after: int
    rows: int
    length: int
    # The client's time limit; None means that it has none.
    allows: int | None
    # When the client goes away; None means that it stays.
    leaves: int | None
    poisoned: bool


@dataclass(frozen=True, kw_only=True)
class Load:
    """A queue, its host, and all who come to it."""

    visits: list[Visit]
    # The milliseconds that each run takes, in turn; None means that it never ends.
    runs_take: list[int | None]
    # The numbers of the runs in which the host is lost.
    lost: set[int]
    at_once: int
    full_rows: int
    max_run_rows: int
    max_wait_ms: int
    max_queue_rows: int
    padded: bool


VISITS = st.builds(
    Visit,
    after=st.integers(0, 4),
    rows=st.integers(1, 9),
    length=st.integers(1, 40),
    allows=st.none() | st.integers(0, 20),
    leaves=st.none() | st.integers(0, 20),
    poisoned=st.integers(0, 9).map(lambda draw: draw == 0),
)
LOADS = st.builds(
    Load,
    visits=st.lists(VISITS, min_size=1, max_size=16),
    runs_take=st.lists(st.integers(0, 12) | st.none(), min_size=1, max_size=6),
    lost=st.sets(st.integers(0, 20), max_size=3),
    at_once=st.integers(1, 3),
    full_rows=st.integers(1, 8),
    max_run_rows=st.integers(1, 8),
    max_wait_ms=st.integers(1, 5),
    max_queue_rows=st.integers(1, 60),
    padded=st.booleans(),
)


class Doubler:
    """Answers twice its input or fails, and notes which requests shared a run."""

    def __init__(self, load: Load) -> None:
        self.runs = load.at_once
        self.shapes: list[tuple[int, ...]] = []
        self.busy = 0
        self._load = load

    async def run(self, arrays: Arrays) -> Run:
        number = len(self.shapes)
        self.shapes.append(arrays["x"].shape)
        self.busy += 1
        assert self.busy <= self.runs
        try:
            took_ms = self._load.runs_take[number % len(self._load.runs_take)]
            await asyncio.sleep(PATIENT_S if took_ms is None else took_ms / 1e3)
        finally:
            self.busy -= 1
        if number in self._load.lost:
            raise VariantUnavailable("lost")
        if (arrays["x"] == POISON).any():
            raise ModelFailed("poisoned")
        return {"y": 2 * arrays["x"].astype(np.int64)}, 0.0

    async def ready(self) -> bool:
        return True

    async def lost(self) -> None:
        await asyncio.Event().wait()

    def close(self) -> None:
        """Do nothing."""


def request_of(number: int, visit: Visit) -> Arrays:
    """Return elements that differ from those of all other requests."""
    size = visit.rows * visit.length
    elements = np.arange(number * 1000, number * 1000 + size).reshape(visit.rows, visit.length)
    if visit.poisoned:
        elements[-1, -1] = POISON
    return {"x": elements}


async def visit_queue(queue: Queue, number: int, visit: Visit) -> Ran:
    allowed_s = PATIENT_S if visit.allows is None else visit.allows / 1e3
    asked = asyncio.create_task(queue.infer(request_of(number, visit), now() + allowed_s))
    if visit.leaves is not None:
        asyncio.get_running_loop().call_later(visit.leaves / 1e3, asked.cancel)
    return await asked


async def play(load: Load, host: Doubler) -> tuple[Queue, list[Ran | BaseException]]:
    """Return all answers once the queue is empty."""
    queue = queue_of(
        host,
        signature=SIGNATURE,
        full_rows=load.full_rows,
        pads={"x": PAD} if load.padded else {},
        max_run_rows=load.max_run_rows,
        max_wait_s=load.max_wait_ms / 1e3,
        max_queue_rows=load.max_queue_rows,
        max_queue_wait_s=PATIENT_S,
        run_timeout_s=0.1,
    )
    asked = []
    for number, visit in enumerate(load.visits):
        await asyncio.sleep(visit.after / 1e3)
        asked.append(asyncio.create_task(visit_queue(queue, number, visit)))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    await queue.drain()
    return queue, answers


def excused(visit: Visit, load: Load) -> tuple[type[BaseException], ...]:
    """Return the errors with which a request may end."""
    errors: list[type[BaseException]] = [Overloaded]
    if visit.poisoned:
        errors.append(ModelFailed)
    if visit.allows is not None:
        errors.append(DeadlineExceeded)
    if visit.leaves is not None:
        errors.append(asyncio.CancelledError)
    if load.lost or None in load.runs_take:
        errors.append(VariantUnavailable)
    return tuple(errors)


@settings(max_examples=250, deadline=None)
@given(LOADS)
def test_everybody_gets_the_own_answer_or_an_error_of_its_own(load: Load) -> None:
    """Under random arrivals, sizes, cancellations, failures and deadlines, each request gets its own answer
    or an excused error.

    The clock is virtual, so a request without an answer fails the test at once."""
    host = Doubler(load)
    queue, answers = run(play(load, host))
    for number, (visit, answer) in enumerate(zip(load.visits, answers, strict=True)):
        if isinstance(answer, BaseException):
            assert isinstance(answer, excused(visit, load)), (number, answer)
        else:
            assert not visit.poisoned
            np.testing.assert_array_equal(answer.outputs["y"], 2 * request_of(number, visit)["x"])
    assert (queue.in_flight, queue.waiting_rows, host.busy) == (0, 0, 0)
    # No request has more rows than a run allows, and several requests share a run only up to `full_rows`
    # rows.
    assert all(rows <= max(load.full_rows, load.max_run_rows) for rows, _ in host.shapes)
