"""Which requests share a run, and when a run starts."""

import asyncio
import contextvars

import numpy as np
import pytest

from serve.base.errors import ModelFailed, RefusedInput
from serve.base.tensor import Arrays, Signature, TensorSpec
from serve.engine.placement import Run
from serve.engine.shapes import Shape
from tests.conftest import FEATURES, SIGNATURE
from tests.serve.clock import now, run, settle
from tests.serve.host import Host
from tests.serve.queues import Outcomes, ask, outcomes, queue_of, rows, value_of

Sizes = list[int]


def test_an_idle_queue_runs_at_once() -> None:
    """A request at an idle queue runs at once."""

    async def scenario() -> tuple[Sizes, float]:
        host = Host()
        queue = queue_of(host)
        await queue.infer(rows(1), 1)
        await queue.infer(rows(2), 1)
        return host.sizes, now()

    assert run(scenario()) == ([1, 1], 0.0)


def test_what_arrives_during_a_run_goes_together() -> None:
    """Requests that arrive during a run share the next one and get their own answers."""

    async def scenario() -> tuple[Sizes, list[float]]:
        host = Host(run_s=0.01)
        queue = queue_of(host)
        asked = []
        for value in range(7):
            asked.append(ask(queue, rows(value, 2 if value == 3 else 1)))
            await asyncio.sleep(0.001)
        return host.sizes, [value_of(await each) for each in asked]

    sizes, answers = run(scenario())
    assert sizes == [1, 7]
    assert answers == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("full_rows", "max_batch_rows"), [(4, 64), (64, 4)], ids=["bundle", "settings"])
def test_a_run_is_full_where_more_rows_no_longer_pay(full_rows: int, max_batch_rows: int) -> None:
    """A run takes at most the full rows of the bundle or the settings, whichever is less."""

    async def scenario() -> Sizes:
        host = Host(run_s=0.01)
        queue = queue_of(host, full_rows=full_rows, max_batch_rows=max_batch_rows)
        await asyncio.gather(*(ask(queue, rows(value)) for value in range(8)))
        return host.sizes

    assert run(scenario()) == [1, 4, 3]


def test_a_request_larger_than_full_runs_alone() -> None:
    """A request that is larger than a full run runs alone."""

    async def scenario() -> Sizes:
        host = Host(run_s=0.01)
        queue = queue_of(host, full_rows=4)
        await asyncio.gather(*(ask(queue, rows(1, count)) for count in (1, 1, 9, 1)))
        return host.sizes

    assert run(scenario()) == [1, 1, 9, 1]


@pytest.mark.parametrize(
    ("count", "began_s"), [(1, 0.005), (4, 0.0)], ids=["due when its wait is over", "at once when full"]
)
def test_beside_another_run_a_batch_waits_to_be_full_or_due(count: int, began_s: float) -> None:
    """Beside another run, a batch waits until it is full or `max_wait_s` is over."""

    async def scenario() -> float:
        queue = queue_of(Host(runs=2, run_s=1), full_rows=4, max_wait_s=0.005)
        _, second, *_ = [ask(queue, rows(1)) for _ in range(1 + count)]
        ran = await second
        return ran.started - ran.entered

    assert run(scenario()) == pytest.approx(began_s)


def test_no_more_runs_at_once_than_the_placement_takes() -> None:
    """A third run waits until one of two has ended."""

    async def scenario() -> float:
        queue = queue_of(Host(runs=2, run_s=1), full_rows=1)
        *_, third = [ask(queue, rows(1)) for _ in range(3)]
        return (await third).started

    assert run(scenario()) == 1.0


def test_what_waited_for_company_goes_alone_when_the_other_run_ends() -> None:
    """A waiting batch starts when the other run ends."""

    async def scenario() -> float:
        queue = queue_of(Host(runs=2, run_s=0.01), max_wait_s=5)
        _, second = [ask(queue, rows(1)) for _ in range(2)]
        return (await second).started

    assert run(scenario()) == 0.01


def test_only_equal_shapes_share_a_run() -> None:
    """Only requests of equal shape share a run."""
    spec = TensorSpec(name="x", datatype="FP32", shape=("batch", "length"))
    signature = Signature(inputs=(spec,), outputs=SIGNATURE.outputs)

    async def scenario() -> Sizes:
        host = Host(run_s=0.01)
        queue = queue_of(host, signature=signature)
        lengths = (9, 3, 3, 5, 5, 5, 3)
        await asyncio.gather(*(ask(queue, {"x": np.ones((1, length), np.float32)}) for length in lengths))
        return host.sizes

    assert run(scenario()) == [1, 2, 3, 1]


def test_a_model_without_a_batch_dimension_is_never_batched() -> None:
    """Requests of a model with fixed shapes run one at a time."""
    fixed = Signature(
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(1, 4)),),
        outputs=(TensorSpec(name="y", datatype="FP32", shape=(1, 3)),),
    )

    async def scenario() -> Sizes:
        host = Host(run_s=0.01)
        queue = queue_of(host, signature=fixed)
        await asyncio.gather(*(ask(queue, rows(1)) for _ in range(3)))
        return host.sizes

    assert run(scenario()) == [1, 1, 1]


@pytest.mark.parametrize("failure", [ModelFailed("no idea"), RefusedInput("no UTF-8")], ids=repr)
def test_one_bad_request_fails_alone(failure: Exception) -> None:
    """If a shared run fails, each request is run alone, and only the bad one fails."""

    async def scenario() -> tuple[Sizes, Outcomes]:
        host = Host(run_s=0.01)
        host.failure = failure
        queue = queue_of(host)
        asked = [ask(queue, rows(value)) for value in (0, 1, np.inf, 3)]
        return host.sizes, await outcomes(asked)

    sizes, answers = run(scenario())
    assert answers == [0, 1, type(failure), 3]
    assert sizes == [1, 3, 1, 1, 1]


def test_a_batch_whose_rows_do_not_add_up_is_nobodys_answer() -> None:
    """If a run returns too few rows, each request is run alone."""

    class Summing(Host):
        async def run(self, arrays: Arrays) -> Run:
            outputs, cpu_ms = await super().run(arrays)
            return {name: array[:1] for name, array in outputs.items()}, cpu_ms

    async def scenario() -> tuple[Outcomes, int]:
        queue = queue_of(Summing(run_s=0.01))
        asked = [ask(queue, rows(value)) for value in range(3)]
        return await outcomes(asked), queue.tally.rows

    assert run(scenario()) == ([0, 1, 2], 3)


def test_a_failed_run_does_not_stop_the_queue() -> None:
    """After a failed run the next request is answered."""

    async def scenario() -> float:
        queue = queue_of(Host())
        with pytest.raises(ModelFailed):
            await queue.infer(rows(np.inf), 1)
        return value_of(await queue.infer(rows(1), 1))

    assert run(scenario()) == 1.0


def test_a_bug_in_a_run_reaches_everybody_in_it_and_nobody_else() -> None:
    """An exception in a run reaches its own requests, and the next run is answered."""

    async def scenario() -> Outcomes:
        host = Host(run_s=0.01)
        queue = queue_of(host)
        host.error = ZeroDivisionError("ours")
        first = await outcomes([ask(queue, rows(1))])
        host.error = None
        return first + await outcomes([ask(queue, rows(2))])

    assert run(scenario()) == [ZeroDivisionError, 2]


def test_a_run_knows_nothing_of_the_request_that_started_it() -> None:
    """A run does not inherit the context variables of the request that started it."""
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")

    class Peek(Host):
        async def run(self, arrays: Arrays) -> Run:
            seen.append(request.get())
            return await super().run(arrays)

    seen: list[str] = []

    async def scenario() -> None:
        request.set("the first client's")
        await queue_of(Peek()).infer(rows(1), 1)

    run(scenario())
    assert seen == ["none"]


def test_the_tally_counts_runs_and_waits() -> None:
    """The tally has the number of runs, rows, run times and waits, by size of run."""

    async def scenario() -> tuple[dict[int, int], int, float, float]:
        queue = queue_of(Host(run_s=0.01))
        await asyncio.gather(*(ask(queue, rows(1)) for _ in range(4)))
        tally = queue.tally
        return dict(tally.runs), tally.rows, tally.run_ms[3], tally.queued.sum_ms

    runs, rows_run, run_ms, queued_ms = run(scenario())
    assert (runs, rows_run) == ({1: 1, 3: 1}, 4)
    assert (run_ms, queued_ms) == pytest.approx((10, 3 * 10))


def test_in_flight_and_waiting_rows_say_what_there_is_to_do() -> None:
    """`in_flight` counts waiting and running requests, and `waiting_rows` the rows that wait."""

    async def scenario() -> list[tuple[int, int]]:
        host = Host()
        host.leave.clear()
        queue = queue_of(host)
        asked = [ask(queue, rows(1, 2)) for _ in range(3)]
        await settle()
        busy = (queue.in_flight, queue.waiting_rows)
        host.leave.set()
        await asyncio.gather(*asked)
        await queue.drain()
        return [busy, (queue.in_flight, queue.waiting_rows)]

    assert run(scenario()) == [(3, 4), (0, 0)]


def test_the_shapes_of_runs_are_known() -> None:
    """The shapes of successful runs are kept, joined requests included."""

    async def scenario() -> tuple[Shape, ...]:
        host = Host(run_s=0.01)
        queue = queue_of(host)
        asked = [ask(queue, rows(value, 2)) for value in range(4)]
        await asyncio.gather(*asked)
        host.error = ModelFailed("no idea")
        with pytest.raises(ModelFailed):
            await queue.infer(rows(1, 4), now() + 1)
        return queue.shapes.known

    assert run(scenario()) == (((6, FEATURES),), ((2, FEATURES),))
