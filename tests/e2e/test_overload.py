"""Three times as many requests as a variant can answer."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from serve.engine.session import Session
from tests.e2e.graphs import SIGNATURE, body, make_numbers, slow
from tests.e2e.server import Server, running_server, wait_until
from tests.e2e.steady_load import Ask, steady

WHERE = ("apart", "together")
RUN_S = 0.02
MAX_QUEUE_WAIT_S = 0.5
# An idle machine gets this many requests in eight seconds.
REQUESTS = 1200
CLIENTS = 100


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
    """Return how many turns of the loop take `run_s` on this machine while it is idle."""
    session = Session(slow(1000), SIGNATURE, "slow")

    def timed() -> float:
        start = time.perf_counter()
        session.run({"x": np.zeros(1, np.int64)})
        return time.perf_counter() - start

    return int(1000 * run_s / min(timed() for _ in range(20)))


@dataclass(frozen=True)
class Work:
    """The totals of a model's runs."""

    rows: float
    run_s: float
    # How long requests waited for earlier ones.
    queued_s: float


def work(server: Server, model: str) -> Work:
    names = ("inferred_rows_total", "run_duration_seconds_total", "queue_duration_seconds_sum")
    return Work(*(server.metric(name, f"{model}/base") for name in names))


@pytest.mark.parametrize("model", WHERE)
def test_an_overload_is_shed_at_the_door(server: Server, model: str) -> None:
    """At three times the rate that the variant can answer, from a hundred clients, requests are refused with
    `retry-after` and each run's rows are answered. A request is accepted if those before it take no longer
    than `max_queue_wait_s` by the recent run times: 25 runs of 20 ms, or twice as many of half the time. The
    wait is counted in runs, because a busy machine makes both longer."""
    ask = Ask(f"/v2/models/{model}/infer", body(1))
    [gateway] = server.replicas("counterweight:gateway")
    rate = measure_rate(server, ask)
    before, size_bytes = work(server, model), gateway.memory_info().rss
    with steady(server.port, ask, rate=3 * rate, threads=CLIENTS) as load:
        load.wait_for(REQUESTS)
    after = work(server, model)
    taken = [sample for sample in load.samples if sample.status == 200]
    assert after.rows - before.rows == len(taken)
    runs_before = (after.queued_s - before.queued_s) / (after.run_s - before.run_s)
    print(f"{model}: of {len(load.samples)} {len(taken)} taken, each behind {runs_before:.1f} others")
    assert 1 < runs_before < 50
    assert {sample.status for sample in load.failed()} == {503}
    assert all(int(sample.retry_after or 0) >= 1 for sample in load.failed())
    with steady(server.port, ask, rate=rate / 2) as load:
        wait_until(lambda: [sample.status for sample in load.samples[-10:]] == [200] * 10)
    assert gateway.memory_info().rss < 1.2 * size_bytes


def measure_rate(server: Server, ask: Ask) -> float:
    """Return the requests a second of four clients that each send again after an answer."""
    started = time.monotonic()
    with steady(server.port, ask, rate=math.inf) as load:
        wait_until(lambda: len(load.samples) > 100)
    assert load.failed() == []
    return len(load.samples) / (time.monotonic() - started)
