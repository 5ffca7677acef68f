"""Three times as many requests as a variant can answer."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from serve.session import Session
from tests.e2e.graphs import SIGNATURE, body, make_numbers, slow
from tests.e2e.server import Server, running_server
from tests.e2e.steady import Ask, Sample, steady

WHERE = ("apart", "together")
RUN_S = 0.02
MAX_QUEUE_WAIT_S = 0.5
OVERLOAD_S = 8.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two models, named after where they are placed, whose runs take 20 ms each and take one row."""
    repository = tmp_path_factory.mktemp("repository")
    graph = slow(turns(RUN_S))
    for model in WHERE:
        make_numbers(repository, "base", graph, model)
    limits = ("max_batch_rows=1", f"max_queue_wait_s={MAX_QUEUE_WAIT_S}")
    options = [word for limit in limits for word in ("--set", limit)]
    with running_server(repository, "--placement", "together=together", *options) as server:
        yield server


def turns(run_s: float) -> int:
    """How many turns of the loop take so long on this machine, while nobody disturbs it."""
    session = Session(slow(1000), SIGNATURE, "slow")

    def timed() -> float:
        start = time.perf_counter()
        session.run({"x": np.zeros(1, np.int64)})
        return time.perf_counter() - start

    return int(1000 * run_s / min(timed() for _ in range(20)))


@dataclass(frozen=True)
class Work:
    """What a model's runs took together so far."""

    rows: float
    run_s: float


def work(server: Server, model: str) -> Work:
    return Work(
        *(
            server.metric(f"{name}_total", f"{model}/base")
            for name in ("inferred_rows", "run_duration_seconds")
        )
    )


def goodput(answered: int, before: Work, after: Work, span_s: float) -> float:
    """The share of the time that went into runs whose answers arrived.

    In answers a second it would be as much a figure of the machine, which may give less at one time than at
    another: that makes the runs longer, and so cancels out."""
    return answered * (after.run_s - before.run_s) / (after.rows - before.rows) / span_s


@pytest.mark.parametrize("model", WHERE)
def test_an_overload_is_shed_at_the_door(server: Server, model: str) -> None:
    """Eight seconds at three times of what it can do: it still does at least 80 % of that; whom it takes it
    answers in time; who is refused hears when to come again; afterwards all is as it was.

    A request is taken when those before it need no more than `max_queue_wait_s`, going by how long runs took
    lately; on a shared machine they may take several times that in the end. Without a limit the last requests
    would wait for 16 s."""
    ask = Ask(f"/v2/models/{model}/infer", body(1))
    [gateway] = server.replicas("counterweight:gateway")
    capacity, rate = measure_capacity(server, model, ask)
    size_bytes = gateway.memory_info().rss
    with steady(server.port, ask, rate=3 * rate, threads=100) as load:
        before, started = work(server, model), time.monotonic()
        time.sleep(OVERLOAD_S)
        after, ended = work(server, model), time.monotonic()
    taken = [sample for sample in load.samples if sample.status == 200]
    in_time = sum(started < sample.ended < ended for sample in taken)
    assert goodput(in_time, before, after, ended - started) >= 0.8 * capacity
    assert quantile_s(taken, 0.99) < 6 * MAX_QUEUE_WAIT_S
    assert {sample.status for sample in load.failed()} == {503}
    assert all(int(sample.retry_after or 0) >= 1 for sample in load.failed())
    assert recovery_s(server, ask, rate / 2) < 5
    assert gateway.memory_info().rss < 1.2 * size_bytes


def measure_capacity(server: Server, model: str, ask: Ask) -> tuple[float, float]:
    """The goodput of four clients, who ask again as soon as they are answered, and their rate a second."""
    with steady(server.port, ask, rate=math.inf) as load:
        before, started = work(server, model), time.monotonic()
        time.sleep(2)
        after, ended = work(server, model), time.monotonic()
    assert load.failed() == []
    answered = sum(started < sample.ended < ended for sample in load.samples)
    return goodput(answered, before, after, ended - started), answered / (ended - started)


def recovery_s(server: Server, ask: Ask, rate: float) -> float:
    """How long it takes until ten requests in a row are answered, none of which had to queue for long."""
    started = time.monotonic()
    with steady(server.port, ask, rate=rate) as load:
        load.wait_for(10)
        while any(sample.status != 200 or sample.took_s > MAX_QUEUE_WAIT_S for sample in load.samples[-10:]):
            load.wait_for(1)
    return time.monotonic() - started


def quantile_s(samples: list[Sample], q: float) -> float:
    """How long the q-quantile of them took."""
    return sorted(sample.took_s for sample in samples)[math.ceil(q * len(samples)) - 1]
