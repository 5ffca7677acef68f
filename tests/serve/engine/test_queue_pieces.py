"""A large request runs in pieces: others come in between, and memory is bounded."""

import numpy as np

from serve.base.errors import DeadlineExceeded
from serve.base.tensor import Signature, TensorSpec
from tests.conftest import SIGNATURE
from tests.serve.clock import run, settle
from tests.serve.host import Host
from tests.serve.queues import Outcomes, ask, outcomes, queue_of, rows, value_of


def test_a_large_request_runs_in_pieces_and_comes_back_whole() -> None:
    """A large request runs in pieces, with others in between, and its rows keep their order."""

    async def scenario() -> tuple[list[int], list[float], int, float]:
        host = Host(run_s=1)
        queue = queue_of(host, max_run_rows=4)
        arrays = {"x": np.repeat(np.arange(10, dtype=np.float32)[:, None], 4, axis=1)}
        large, small = ask(queue, arrays, within_s=60), ask(queue, rows(7))
        ran = await large
        assert value_of(await small) == 7
        return host.sizes, ran.outputs["y"][:, 0].tolist(), ran.rows, ran.ended - ran.entered

    sizes, sums, count, took_s = run(scenario())
    assert sums == [4 * value for value in range(10)]
    assert count == 10
    # The small request shares the run of the second piece.
    assert sizes == [4, 5, 2]
    assert took_s == 3


def test_a_large_request_whose_time_is_up_runs_no_further_piece() -> None:
    """A large request whose deadline passes runs no further piece."""

    async def scenario() -> tuple[list[int], Outcomes]:
        host = Host(run_s=1)
        queue = queue_of(host, max_run_rows=4)
        answers = await outcomes([ask(queue, rows(1, 100), within_s=1.5)])
        await queue.drain()
        return host.sizes, answers

    assert run(scenario()) == ([4, 4], [DeadlineExceeded])


def test_a_model_without_a_batch_dimension_is_never_cut_into_pieces() -> None:
    """A model without a batch dimension gets its input in one piece."""
    fixed = Signature(
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(6, 4)),),
        outputs=SIGNATURE.outputs,
    )

    async def scenario() -> list[int]:
        host = Host()
        await queue_of(host, signature=fixed, max_run_rows=4).infer(rows(1, 6), 1)
        return host.sizes

    assert run(scenario()) == [6]


def test_drain_waits_for_all_pieces_of_a_large_request() -> None:
    """`drain` waits for all pieces of a large request."""

    async def scenario() -> tuple[bool, list[int]]:
        host = Host(run_s=1)
        queue = queue_of(host, max_run_rows=2)
        large = ask(queue, rows(1, 6))
        await settle()
        await queue.drain()
        return large.done(), host.sizes

    assert run(scenario()) == (True, [2, 2, 2])
