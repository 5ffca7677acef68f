import asyncio
import contextvars

import numpy as np
import pytest

from serve.batching import Outputs, Queue
from serve.errors import ModelFailed, VariantUnavailable
from serve.tensor import Arrays, Signature, TensorSpec
from tests.conftest import SIGNATURE

Sizes = list[int]


class Recorder:
    """A placement that echoes its rows' sums, remembers each run's size, and waits for leave."""

    def __init__(self) -> None:
        self.sizes: Sizes = []
        self.leave = asyncio.Event()
        self.leave.set()

    async def run(self, arrays: Arrays) -> Outputs:
        await self.leave.wait()
        rows = arrays["x"]
        self.sizes.append(len(rows))
        if np.isinf(rows.astype(np.float64)).any():
            raise ModelFailed("asked to fail")
        return {"y": rows.astype(np.float32).sum(axis=1, keepdims=True)}

    async def ready(self) -> bool:
        return True


def row(value: float, rows: int = 1) -> Arrays:
    return {"x": np.full((rows, 4), value, np.float32)}


def test_an_idle_queue_runs_at_once() -> None:
    """A lone request waits for nobody."""

    async def scenario() -> Sizes:
        placement = Recorder()
        queue = Queue(placement, SIGNATURE, max_rows=8)
        await queue.infer(row(1))
        await queue.infer(row(2))
        return placement.sizes

    assert asyncio.run(scenario()) == [1, 1]


def test_what_arrives_during_a_run_goes_together() -> None:
    """Under load the runs grow, up to the limit of rows, and everybody gets the own answer."""

    async def scenario() -> tuple[Sizes, list[float]]:
        placement = Recorder()
        placement.leave.clear()
        queue = Queue(placement, SIGNATURE, max_rows=4)
        tasks = [asyncio.create_task(queue.infer(row(value))) for value in range(7)]
        await asyncio.sleep(0)
        placement.leave.set()
        return placement.sizes, [float((await task)["y"][0, 0]) for task in tasks]

    sizes, answers = asyncio.run(scenario())
    assert sizes == [4, 3]
    assert answers == [4.0 * value for value in range(7)]


def test_a_request_larger_than_the_limit_runs_alone() -> None:
    """The limit is for sharing; it refuses nobody."""

    async def scenario() -> Sizes:
        placement = Recorder()
        placement.leave.clear()
        queue = Queue(placement, SIGNATURE, max_rows=4)
        tasks = [asyncio.create_task(queue.infer(row(1, rows))) for rows in (1, 9, 1)]
        await asyncio.sleep(0)
        placement.leave.set()
        await asyncio.gather(*tasks)
        return placement.sizes

    assert asyncio.run(scenario()) == [1, 9, 1]


def test_only_equal_shapes_share_a_run() -> None:
    """Rows of different lengths cannot be stacked."""
    spec = TensorSpec(name="x", datatype="FP32", shape=("batch", "length"))
    signature = Signature(inputs=(spec,), outputs=SIGNATURE.outputs)

    async def scenario() -> Sizes:
        placement = Recorder()
        placement.leave.clear()
        queue = Queue(placement, signature, max_rows=8)
        arrays = [{"x": np.ones((1, length), np.float32)} for length in (3, 3, 5, 5, 5)]
        tasks = [asyncio.create_task(queue.infer(item)) for item in arrays]
        await asyncio.sleep(0)
        placement.leave.set()
        await asyncio.gather(*tasks)
        return placement.sizes

    assert asyncio.run(scenario()) == [2, 3]


def test_a_model_without_a_batch_dimension_is_never_batched() -> None:
    """Fixed shapes run one request at a time."""
    fixed = Signature(
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(1, 4)),),
        outputs=(TensorSpec(name="y", datatype="FP32", shape=(1, 1)),),
    )

    async def scenario() -> Sizes:
        placement = Recorder()
        placement.leave.clear()
        queue = Queue(placement, fixed, max_rows=8)
        tasks = [asyncio.create_task(queue.infer(row(1))) for _ in range(3)]
        await asyncio.sleep(0)
        placement.leave.set()
        await asyncio.gather(*tasks)
        return placement.sizes

    assert asyncio.run(scenario()) == [1, 1, 1]


def test_a_batch_whose_rows_do_not_add_up_is_nobodys_answer() -> None:
    """A model that mixes rows fails; it does not hand one client another's answer."""

    class Summing(Recorder):
        async def run(self, arrays: Arrays) -> Outputs:
            return {name: rows[:1] for name, rows in (await super().run(arrays)).items()}

    async def scenario() -> list[Outputs | BaseException]:
        placement = Summing()
        placement.leave.clear()
        queue = Queue(placement, SIGNATURE, max_rows=8)
        tasks = [asyncio.create_task(queue.infer(row(value))) for value in range(3)]
        await asyncio.sleep(0)
        placement.leave.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(scenario())] == [ModelFailed] * 3


def test_a_failed_run_does_not_stop_the_queue() -> None:
    """The next request is answered."""

    async def scenario() -> float:
        queue = Queue(Recorder(), SIGNATURE, max_rows=8)
        with pytest.raises(ModelFailed):
            await queue.infer(row(np.inf))
        return float((await queue.infer(row(1)))["y"][0, 0])

    assert asyncio.run(scenario()) == 4.0


def test_a_client_that_goes_away_takes_nobody_along() -> None:
    """The others in the queue are answered, and the queue goes on."""

    async def scenario() -> list[float]:
        placement = Recorder()
        placement.leave.clear()
        queue = Queue(placement, SIGNATURE, max_rows=8)
        tasks = [asyncio.create_task(queue.infer(row(value))) for value in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[1].cancel()
        placement.leave.set()
        return [float((await tasks[2])["y"][0, 0]), float((await queue.infer(row(5)))["y"][0, 0])]

    assert asyncio.run(scenario()) == [8.0, 20.0]


def test_a_run_knows_nothing_of_the_request_that_started_it() -> None:
    """A host that ties calls to a request's context must not end a batch when that request ends."""
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")

    class Peek(Recorder):
        async def run(self, arrays: Arrays) -> Outputs:
            seen.append(request.get())
            return await super().run(arrays)

    seen: list[str] = []

    async def scenario() -> None:
        request.set("the first client's")
        await Queue(Peek(), SIGNATURE, max_rows=8).infer(row(1))

    asyncio.run(scenario())
    assert seen == ["none"]


def test_nobody_waits_for_ever_when_the_run_is_cancelled() -> None:
    """A server that stops says so to those who wait."""

    class Stopping(Recorder):
        async def run(self, arrays: Arrays) -> Outputs:
            raise asyncio.CancelledError

    async def scenario() -> None:
        await asyncio.wait_for(Queue(Stopping(), SIGNATURE, max_rows=8).infer(row(1)), timeout=5)

    with pytest.raises(VariantUnavailable, match="stopping"):
        asyncio.run(scenario())
