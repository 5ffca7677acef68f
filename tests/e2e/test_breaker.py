"""A candidate that fails totally, on real Ray: gateways stop it without statistics."""

from collections.abc import Iterator

import pytest

from serve.control.cli.control_client import ControlClient
from serve.control.operations import REPLAY, VIEW
from serve.counting.breaker import RUN
from serve.rollout.state.rollout import Phase
from tests.e2e.graphs import MODEL, body, fails, make_numbers, times
from tests.e2e.rollouts import begin
from tests.e2e.server import Server, running_server, wait_until
from tests.e2e.steady_load import Ask, steady

AT = 5
RATE = 50.0
GATEWAYS = 2
THREADS = 4
# Only the breaker may end the rollout: any number of errors is allowed, and a step lasts a quarter of an
# hour.
POLICY = {
    "shadow": {"skip": True},
    "steps": [{"share": 0.5, "minimum_s": 900}, {"share": 1.0}],
    "guards": {"errors": {"allowed": 0.999}, "latency": {"limit_ms": 60_000, "times_baseline": 10_000}},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository = tmp_path_factory.mktemp("repository")
    make_numbers(repository, "base", times(1))
    make_numbers(repository, "light", fails(AT))
    with running_server(repository, "--placement", "together", "--gateways", str(GATEWAYS)) as server:
        yield server


def test_a_candidate_that_fails_totally_is_stopped_by_the_gateways(server: Server) -> None:
    """Each gateway stops the candidate after a run of failures plus the requests in flight. No request fails,
    the rollout is over with the reason, and a replay finds no fault."""
    client = ControlClient(server.url)
    with steady(server.port, Ask(f"/v2/models/{MODEL}/infer", body(AT)), rate=RATE, threads=THREADS) as load:
        load.wait_for(25)
        rollout = begin(server, MODEL, POLICY)
        wait_until(lambda: client.ask(VIEW, rollout).rollout.phase.over)
        # Every gateway knows about it once the latest answers have no parameters.
        wait_until(lambda: not any(sample.parameters for sample in load.samples[-50:]))
    met = [sample for sample in load.samples if sample.parameters]
    assert load.failed() == []
    assert RUN <= len(met) <= GATEWAYS * (RUN + THREADS)
    over = client.ask(VIEW, rollout)
    assert (over.rollout.phase, over.rollout.by) == (Phase.ROLLED_BACK, "circuit breaker")
    assert f"{RUN} of the last {RUN} requests failed (RefusedInput {RUN})" in over.rollout.reason
    assert over.routes.weights == {"base": 1.0, "light": 0.0}
    assert client.ask(REPLAY, rollout).faults == ()
