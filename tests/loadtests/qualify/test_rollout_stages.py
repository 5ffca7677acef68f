import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtests.errors import LoadTestError
from loadtests.judging.limits import Limits
from loadtests.qualify.rollout_stages import PROVEN, Follower, longest_s, policy_of, refuse_busy, trial
from loadtests.sending.client import Client
from loadtests.sending.live_counters import LiveCounters
from serve.base.errors import StoreFailed
from serve.rollout.api_records import RoutesRequest
from serve.rollout.state.policy import Policy
from serve.rollout.state.rollout import Phase
from tests.loadtests.qualify.rollout_views import ALIKE, LIMITS, canary
from tests.serve.endpoint import Endpoint
from tests.serve.local_control import LocalControl

LIVE = LiveCounters(limit_ms=None)


@pytest.fixture
def endpoint(module_repository: Path) -> Iterator[Endpoint]:
    """A server whose candidate has most of the traffic."""
    with Endpoint(repository=module_repository, control=LocalControl("done")) as endpoint:
        set_routes(endpoint, {"base": 0.25, "light": 0.75}, {})
        yield endpoint


@pytest.fixture
def client(endpoint: Endpoint) -> Client:
    return Client(url=endpoint.url)


@pytest.fixture
def said() -> list[str]:
    """The messages besides errors."""
    return []


def set_routes(endpoint: Endpoint, weights: dict[str, float], shadows: dict[str, float]) -> None:
    """Set the routes in the keeper and in the gateway."""

    async def route() -> None:
        wanted = RoutesRequest(weights=weights, shadows=shadows)
        routes = endpoint.control.keeper.commands.set_routes("linear", wanted, "ann")
        endpoint.registry.models["linear"].route(routes, None)

    endpoint.call(route())


def are_put_back(endpoint: Endpoint) -> bool:
    """Return whether the routes are the original ones and no rollout runs."""
    keeper = endpoint.control.keeper
    routes = (keeper.routes.weights, keeper.routes.shadows)
    return not keeper.running and routes == ({"base": 0.25, "light": 0.75}, {})


def lose(endpoint: Endpoint) -> None:
    """Make the server refuse all requests, and raise the load's error."""
    endpoint.control.error = StoreFailed("no more")
    raise LoadTestError("the server is gone")


@pytest.mark.parametrize(
    "limits",
    [
        LIMITS,
        Limits(p99_ms=0.5, errors=0.001, rate_per_s=1000, duration_s=3600, agreement=0.999),
        Limits(p99_ms=2000, errors=0.9, rate_per_s=0.1, duration_s=0.5, agreement=0.01),
    ],
    ids=["default", "most", "least"],
)
def test_limits_are_a_policy_that_the_server_takes(limits: Limits) -> None:
    """The limits give a policy that waits for approval before all traffic and ends within the load's time."""
    policy = Policy.parse(policy_of(limits), "the policy")
    assert [step.approval for step in policy.steps] == [False, True]
    assert policy.guards.latency.limit_ms == limits.p99_ms
    assert policy.maximum_s == longest_s(limits) >= 120


def test_the_rollout_runs_while_the_context_lasts(
    endpoint: Endpoint, client: Client, said: list[str]
) -> None:
    """The rollout starts in its shadow, and the routes are restored when the context ends."""
    with trial(client, "linear", "light", LIMITS, said.append) as follower:
        assert follower.phase == Phase.SHADOW
        assert endpoint.control.keeper.routes.shadows == {"light": 1}
    assert are_put_back(endpoint)
    assert said == []


def test_shadows_are_put_back(endpoint: Endpoint, client: Client, said: list[str]) -> None:
    """The shadows are restored after the trial."""
    set_routes(endpoint, {"base": 1, "light": 0}, {"light": 0.5})
    with trial(client, "linear", "light", LIMITS, said.append):
        pass
    routes = endpoint.control.keeper.routes
    assert (routes.weights, routes.shadows) == ({"base": 1, "light": 0}, {"light": 0.5})


@pytest.mark.parametrize("error", [KeyboardInterrupt, LoadTestError("the load failed")], ids=repr)
def test_whatever_ends_the_load_the_routes_are_put_back(
    endpoint: Endpoint, client: Client, said: list[str], error: Any
) -> None:
    """If the load raises, the routes are restored and the error propagates."""
    with (
        pytest.raises(error if isinstance(error, type) else type(error)),
        trial(client, "linear", "light", LIMITS, said.append),
    ):
        raise error
    assert are_put_back(endpoint)


def test_ctrl_c_while_the_rollout_begins_waits_for_it(
    endpoint: Endpoint, client: Client, said: list[str]
) -> None:
    """Ctrl-C during the start of the rollout ends the rollout and restores the routes."""

    def interrupt(operation: str) -> None:
        if operation == "start":
            os.kill(os.getpid(), signal.SIGINT)

    endpoint.control.before = interrupt
    with pytest.raises(KeyboardInterrupt), trial(client, "linear", "light", LIMITS, said.append):
        pass
    assert "start" in [told[0] for told in endpoint.control.told]
    assert are_put_back(endpoint)


def test_a_rollout_that_is_over_already_is_left_alone(
    endpoint: Endpoint, client: Client, said: list[str]
) -> None:
    """A rollout that is over when the context ends raises no error."""
    with trial(client, "linear", "light", LIMITS, said.append) as follower:
        name = follower.view["rollout"]["rollout"]
        client.post(f"/control/rollouts/{name}/abort", {})
        assert follower.phase == Phase.SHADOW
    assert are_put_back(endpoint)


def test_a_second_rollout_is_refused(client: Client, said: list[str]) -> None:
    """A second rollout is refused with the server's message, and the first goes on."""
    with trial(client, "linear", "light", LIMITS, said.append) as first:
        with (
            pytest.raises(LoadTestError, match=r"answered 409: .* the traffic of 'linear'; abort it"),
            trial(client, "linear", "light", LIMITS, said.append),
        ):
            pass
        assert not first(LIVE, 0)
        assert first.phase == Phase.SHADOW


def test_a_model_whose_rollout_runs_is_refused_at_once(
    endpoint: Endpoint, client: Client, said: list[str]
) -> None:
    """A running rollout is refused at the start, with the command that ends it."""
    refuse_busy(client, "linear")
    told = rf"is in phase SHADOW; .* counterweight rollout abort linear-\S+ --url {endpoint.url}"
    with trial(client, "linear", "light", LIMITS, said.append), pytest.raises(LoadTestError, match=told):
        refuse_busy(client, "linear")


def test_the_load_ends_when_everything_is_proven(
    endpoint: Endpoint, client: Client, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load ends once everything is proven, and the last step is not taken."""
    monkeypatch.setattr("loadtests.qualify.rollout_stages._LOOK_EVERY_S", 0)
    keeper = endpoint.control.keeper
    with trial(client, "linear", "light", LIMITS, said.append) as follower:
        assert not follower(LIVE, 1)
        keeper.judge(ALIKE, -10)
        assert not follower(LIVE, 2)
        assert follower.phase == Phase.STEP
        keeper.judge(ALIKE.model_copy(update={"segments": (canary(20_000),)}), -80)
        assert follower(LIVE, 3)
        assert follower.phase == PROVEN
    assert are_put_back(endpoint)


def test_it_looks_once_a_second(endpoint: Endpoint, client: Client, said: list[str]) -> None:
    """The follower reads the rollout at most once a second."""
    with trial(client, "linear", "light", LIMITS, said.append) as follower:
        follower(LIVE, 0)
        client.post(f"/control/rollouts/{follower.view['rollout']['rollout']}/abort", {})
        assert not follower(LIVE, 0.25)


def test_one_look_in_vain_is_no_end(monkeypatch: pytest.MonkeyPatch, desk: Any) -> None:
    """Two failed looks are ignored, and the third raises the error."""
    monkeypatch.setattr("loadtests.qualify.rollout_stages._LOOK_EVERY_S", 0)
    begun = {"rollout": {"rollout": "r1", "phase": "SHADOW"}}
    follower = Follower(Client(url=desk({})), begun)
    assert not follower(LIVE, 1)
    assert not follower(LIVE, 2)
    with pytest.raises(LoadTestError, match="/control/rollouts/r1 answered 404"):
        follower(LIVE, 3)


def test_a_lost_server_hides_no_error(endpoint: Endpoint, client: Client, said: list[str]) -> None:
    """If the server is lost, the first error is raised, and failures to restore are messages."""
    with pytest.raises(LoadTestError) as first, trial(client, "linear", "light", LIMITS, said.append):
        lose(endpoint)
    assert str(first.value) == "the server is gone"
    running, routes = said
    assert re.match(r"rollout linear-\S+ may still run: .*; end it with counterweight rollout abort", running)
    told = "the routes of linear could not be put back to weights {'base': 0.25, 'light': 0.75} and "
    assert routes.startswith(f"{told}shadows none: ")


def test_what_cannot_be_undone_is_an_error(endpoint: Endpoint, client: Client, said: list[str]) -> None:
    """If the rollout cannot be ended and nothing failed before, that is the error."""
    with (
        pytest.raises(LoadTestError, match="may still run: "),
        trial(client, "linear", "light", LIMITS, said.append),
    ):
        endpoint.control.error = StoreFailed("no more")
    assert [told.partition(" could")[0] for told in said] == ["the routes of linear"]
