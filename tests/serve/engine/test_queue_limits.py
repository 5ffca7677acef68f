"""What the queue refuses, drops and does not wait for."""

import asyncio

import pytest

from serve.base.errors import DeadlineExceeded, ModelFailed, Overloaded, VariantUnavailable
from tests.serve.clock import now, run, settle
from tests.serve.host import Host
from tests.serve.queues import Outcomes, ask, outcomes, queue_of, rows


def test_a_request_whose_time_is_up_costs_no_run() -> None:
    """A request whose deadline passes in the queue fails at that moment and is not run."""

    async def scenario() -> tuple[list[int], Outcomes, float]:
        host = Host(run_s=1)
        queue = queue_of(host)
        long, short = ask(queue, rows(1)), ask(queue, rows(2, 3), within_s=0.5)
        late = await outcomes([short])
        left_s = now()
        return host.sizes, late + await outcomes([long]), left_s

    assert run(scenario()) == ([1], [DeadlineExceeded, 1], 0.5)


def test_a_request_that_comes_too_late_costs_no_run() -> None:
    """A request whose deadline has passed before it enters an idle queue is not run."""

    async def scenario() -> tuple[list[int], Outcomes]:
        host = Host()
        answers = await outcomes([ask(queue_of(host), rows(1), within_s=0)])
        return host.sizes, answers

    assert run(scenario()) == ([], [DeadlineExceeded])


def test_time_that_is_up_during_the_run_is_told_at_once() -> None:
    """A request whose deadline passes during its run fails at that moment."""

    async def scenario() -> tuple[Outcomes, float]:
        return await outcomes([ask(queue_of(Host(run_s=5)), rows(1), within_s=0.5)]), now()

    assert run(scenario()) == ([DeadlineExceeded], 0.5)


def test_a_client_that_goes_away_costs_no_run() -> None:
    """A request that is cancelled in the queue is not run, and the others are answered."""

    async def scenario() -> tuple[list[int], Outcomes]:
        host = Host(run_s=1)
        queue = queue_of(host)
        asked = [ask(queue, rows(value)) for value in range(4)]
        await asyncio.sleep(0.5)
        asked[1].cancel()
        asked[2].cancel()
        return host.sizes, await outcomes([*asked, ask(queue, rows(5))])

    sizes, answers = run(scenario())
    assert answers == [0, asyncio.CancelledError, asyncio.CancelledError, 3, 5]
    assert sizes == [1, 2]


def test_a_client_that_goes_away_during_its_run_takes_nobody_along() -> None:
    """Cancelling a request during its run does not affect the others of the run."""

    async def scenario() -> Outcomes:
        queue = queue_of(Host(run_s=1))
        asked = [ask(queue, rows(value)) for value in range(3)]
        await asyncio.sleep(1.5)
        asked[1].cancel()
        return await outcomes(asked)

    assert run(scenario()) == [0, asyncio.CancelledError, 2]


def test_refuses_at_the_door_when_too_many_rows_wait() -> None:
    """New requests are refused while the queue holds its maximum of rows."""

    async def scenario() -> int:
        host = Host()
        host.leave.clear()
        queue = queue_of(host, full_rows=2, max_queue_rows=5)
        asked = [ask(queue, rows(1, count)) for count in (1, 2, 2)]
        await settle()
        queue.refuse_if_full()
        asked.append(ask(queue, rows(1)))
        await settle()
        with pytest.raises(Overloaded, match="5 rows are waiting") as caught:
            queue.refuse_if_full()
        host.leave.set()
        await asyncio.gather(*asked)
        return caught.value.retry_after_s

    assert run(scenario()) == 1


def test_who_has_left_keeps_nobody_out() -> None:
    """Rows of cancelled requests do not count as waiting."""

    async def scenario() -> int:
        queue = queue_of(Host(run_s=1), full_rows=2, max_queue_rows=5)
        _, *left = [ask(queue, rows(1, count)) for count in (1, 3, 3)]
        await settle()
        for each in left:
            each.cancel()
        await settle()
        queue.refuse_if_full()
        return queue.waiting_rows

    assert run(scenario()) == 0


def test_refuses_at_the_door_when_the_wait_would_be_too_long() -> None:
    """With runs of 0.5 s and two rows, the seventh request is refused, as it would wait too long."""

    async def scenario() -> tuple[int, int]:
        queue = queue_of(Host(run_s=0.5), full_rows=2, max_queue_wait_s=1.0)
        for _ in range(20):
            await queue.infer(rows(1), now() + 10)
        asked = []
        for _ in range(20):
            try:
                queue.refuse_if_full()
            except Overloaded as error:
                retry_after_s = error.retry_after_s
                break
            asked.append(ask(queue, rows(1)))
            await settle()
        await asyncio.gather(*asked)
        return len(asked), retry_after_s

    # One runs, four wait for two runs of nearly 0.5 s; the next would make it three.
    assert run(scenario()) == (6, 2)


def test_what_fits_into_the_next_run_is_never_refused() -> None:
    """Requests that fit into the next run are accepted, even if runs take long."""

    async def scenario() -> None:
        queue = queue_of(Host(run_s=9), full_rows=4, max_queue_wait_s=0.01)
        await queue.infer(rows(1), now() + 10)
        asked = [ask(queue, rows(1), within_s=60) for _ in range(4)]
        await settle()
        queue.refuse_if_full()
        await asyncio.gather(*asked)

    run(scenario())


def test_nobody_waits_for_a_run_that_hangs() -> None:
    """A run that exceeds `run_timeout_s` fails with VariantUnavailable, and the queue continues."""

    async def scenario() -> tuple[Outcomes, float, Outcomes]:
        host = Host()
        host.leave.clear()
        queue = queue_of(host, run_timeout_s=3)
        hung = await outcomes([ask(queue, rows(1))])
        at_s = now()
        host.leave.set()
        return hung, at_s, await outcomes([ask(queue, rows(2))])

    assert run(scenario()) == ([VariantUnavailable], 3.0, [2])


def test_abort_fails_what_waits_and_what_runs() -> None:
    """`abort` fails all waiting and running requests at once; later requests are answered."""

    async def scenario() -> tuple[Outcomes, float, Outcomes]:
        host = Host()
        host.leave.clear()
        queue = queue_of(host)
        asked = [ask(queue, rows(value)) for value in range(3)]
        await settle()
        queue.abort(ModelFailed("the end"))
        failed = await outcomes(asked)
        at_s = now()
        host.leave.set()
        return failed, at_s, await outcomes([ask(queue, rows(5))])

    assert run(scenario()) == ([ModelFailed] * 3, 0.0, [5])


def test_drain_ends_when_everything_is_answered() -> None:
    """`drain` returns after all requests are answered, and at once if there are none."""

    async def scenario() -> tuple[float, bool, float]:
        queue = queue_of(Host(run_s=1))
        await queue.drain()
        idle_s = now()
        asked = [ask(queue, rows(1)) for _ in range(2)]
        await settle()
        await queue.drain()
        return idle_s, all(each.done() for each in asked), now()

    assert run(scenario()) == (0.0, True, 2.0)


def test_drain_ends_although_everybody_has_left() -> None:
    """`drain` returns although all waiting requests were cancelled, and does not run them."""

    async def scenario() -> list[int]:
        host = Host(run_s=1)
        queue = queue_of(host)
        asked = [ask(queue, rows(1)) for _ in range(3)]
        await settle()
        for each in asked:
            each.cancel()
        await queue.drain()
        return host.sizes

    assert run(scenario()) == [1]


def test_nobody_waits_for_ever_when_the_run_is_cancelled() -> None:
    """A cancelled run fails its requests with VariantUnavailable."""

    async def scenario() -> None:
        host = Host()
        host.error = asyncio.CancelledError()
        await queue_of(host).infer(rows(1), now() + 5)

    with pytest.raises(VariantUnavailable, match="stopping"):
        run(scenario())
