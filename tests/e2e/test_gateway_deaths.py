"""Gateways that die during a rollout: their counts are kept, and a candidate that ends them is rolled
back."""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
import pytest

from serve.base.errors import ServerFailed
from serve.control import operations
from serve.control.cli.control_client import ControlClient
from serve.control.operations import REPLAY, VIEW
from serve.rollout.state.rollout import Phase
from tests.e2e.graphs import MODEL, body, dies, make_numbers, times
from tests.e2e.rollouts import begin
from tests.e2e.server import Server, running_server, wait_until
from tests.e2e.steady_load import Ask, Steady, steady

# The candidate of `dying` kills its process from this number on.
AT, DYING = 5, "dying"
OPTIONS = ("--placement", "together", "--gateways", "2")
# The rollout stays in its first step.
POLICY = {"shadow": {"skip": True}, "steps": [{"share": 0.5, "minimum_s": 3000}, {"share": 1.0}]}


def counted(server: Server, rollout: str) -> int:
    """Return the number of requests in the evidence; -1 if no gateway answers."""
    with contextlib.suppress(ServerFailed):
        segments = ControlClient(server.url).ask(VIEW, rollout).evidence.segments
        return sum(segment.requests.both for segment in segments)
    return -1


def wait_for_all_gateways(server: Server) -> None:
    """Return when both gateways have the rollout: thirty connections in a row reach no gateway without it."""

    def known() -> bool:
        weights = [
            ControlClient(server.url).ask(operations.MODEL, MODEL)["routes"]["weights"] for _ in range(30)
        ]
        return all(each.get("light") for each in weights)

    wait_until(known)


@dataclass(kw_only=True)
class Survived:
    """A server over a store whose server before was killed, and the load that this one was under."""

    server: Server
    rollout: str
    load: Steady


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survived]:
    """A server whose gateway was killed, and then all of it, and a second server in its place."""
    repository = tmp_path_factory.mktemp("repository")
    for model, candidate in ((MODEL, times(1)), (DYING, dies(AT))):
        make_numbers(repository, "base", times(1), model)
        make_numbers(repository, "light", candidate, model)
    with ExitStack() as stack:
        server = stack.enter_context(running_server(repository, *OPTIONS))
        rollout = begin(server, MODEL, POLICY)
        wait_for_all_gateways(server)
        # There are enough connections that each gateway gets some of them.
        with steady(server.port, Ask(f"/v2/models/{MODEL}/infer", body(1)), rate=100, threads=16) as load:
            load.wait_for(300)
            server.replicas("counterweight:gateway")[0].kill()
            load.wait_for(300)
            wait_until(lambda: len(server.replicas("counterweight:gateway")) == 2)
            load.wait_for(300)
            for process in server.tree():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        server = stack.enter_context(running_server(repository, *OPTIONS))
        yield Survived(server=server, rollout=rollout, load=load)


def test_what_gateways_that_were_killed_had_counted_is_not_lost(survived: Survived) -> None:
    """The evidence has all answered requests, and at most those that reached a gateway, because the journals
    of killed gateways are read."""
    server, rollout, load = survived.server, survived.rollout, survived.load
    assert load.failed()
    answered = [sample for sample in load.samples if sample.status == 200]
    unheard = [sample for sample in load.failed() if "refused" in sample.error]
    wait_until(lambda: counted(server, rollout) >= len(answered), timeout_s=60)
    total = counted(server, rollout)
    print(f"{len(load.samples)} asked, {len(answered)} answered, {len(unheard)} unheard, {total} counted")
    assert len(answered) <= total <= len(load.samples) - len(unheard)


def test_a_candidate_that_ends_gateways_is_rolled_back(survived: Survived) -> None:
    """A candidate that ends its gateway under `together` is rolled back after the third time."""
    server = survived.server
    # Ray gives up a start during which gateways die, so this waits until both have been up for a while.
    wait_until(lambda: len(server.replicas("counterweight:gateway")) == 2)
    with steady(server.port, Ask(f"/v2/models/{MODEL}/infer", body(1)), rate=20) as load:
        load.wait_for(400)
    rollout = begin(server, DYING, POLICY)
    client = ControlClient(server.url)

    def over() -> bool:
        with contextlib.suppress(ServerFailed):
            return client.ask(VIEW, rollout).rollout.phase.over
        return False

    with steady(server.port, Ask(f"/v2/models/{DYING}/infer", body(AT)), rate=20):
        wait_until(over)
    wait_until(lambda: len(server.replicas("counterweight:gateway")) == 2)
    view = client.ask(VIEW, rollout)
    assert view.rollout.phase is Phase.ROLLED_BACK
    assert "gateways died while running it" in view.rollout.reason
    errors = sum(segment.errors.candidate for segment in view.evidence.segments)
    assert errors >= view.evidence.deaths.candidate >= 3
    assert client.ask(REPLAY, rollout).faults == ()
