"""Rollouts on real Ray, several models at a time, under load from Locust: good candidates get all traffic,
and bad ones are rolled back for the right reason."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from scipy.stats import binom

from serve.base.errors import ServerFailed
from serve.control import operations
from serve.control.cli.control_client import ControlClient
from serve.control.operations import SET_ROUTES, VIEW
from serve.rollout.api_records import RoutesRequest
from serve.rollout.state.rollout import Phase
from tests.e2e.graphs import body, dies, hangs, make_numbers, slow, strays, times
from tests.e2e.rollouts import Told, begin, tell_of
from tests.e2e.server import Server, alive, running_server, wait_until
from tests.e2e.steady_load import Ask, steady
from tests.e2e.swarm import NUMBERS, swarm

RATE = 30.0
# A model whose requests cost some 0.4 s of a core each gets few of them, or the others would starve.
RATES = {"slow": 10.0}
# This is longer than the whole test, so a request that hangs still hangs at its end.
RUN_TIMEOUT_S = 300
# Bad candidates misbehave from this number on, which is half of all requests.
AT = 5
# Model -> its baseline and candidate; the name says what happens to the candidate.
GRAPHS = {
    "good": (slow(1_000), times(1)),
    "slow": (times(1), slow(200_000)),
    "wrong": (times(1), strays(AT)),
    "mistaken": (times(1), strays(AT)),
    "dying": (times(1), dies(AT)),
}
# The other models are cheaper to serve in the gateway.
APART = ("good", "dying")
# A good candidate gets high shares, so that the proof takes less time.
STEPS = [{"share": share, "minimum_s": 3, "minimum_requests": 100} for share in (0.3, 0.6, 1.0)]
# A bad candidate is found in the first step, where it gets few requests.
STAY = [STEPS[0] | {"share": 0.1, "minimum_s": 100}, *STEPS[1:]]
# The limits are generous because the machine may be busy; only the slow candidate has a tighter one.
GUARDS: dict[str, Any] = {
    "errors": {"allowed": 0.05},
    "latency": {"quantile": 0.75, "limit_ms": 1000, "times_baseline": 10},
}
# A stall lasts at most two seconds as a rule; longer trouble counts as a rate.
SOON = {**GUARDS, "stall_s": 2}
TIGHT = {**SOON, "latency": {**GUARDS["latency"], "limit_ms": 350}}
SHADOW = {"minimum_pairs": 100, "agreement": 0.9}
POLICIES: dict[str, dict[str, Any]] = {
    "good": {"shadow": SHADOW, "steps": STEPS, "cheaper_by": 0.2},
    "slow": {"shadow": {"skip": True}, "steps": STAY, "guards": TIGHT},
    "wrong": {"shadow": SHADOW, "steps": STEPS},
    # The shadow accepts an agreement of a fifth.
    "mistaken": {"shadow": SHADOW | {"agreement": 0.2}, "steps": STAY, "guards": {**GUARDS, "accuracy": {}}},
    "dying": {"shadow": {"skip": True}, "steps": STAY, "guards": SOON},
}
# The server turns no request away because the machine is busy.
LIMITS = ("--set", "max_queue_wait_s=30", "--set", f"run_timeout_s={RUN_TIMEOUT_S}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository = tmp_path_factory.mktemp("repository")
    for model, (baseline, candidate) in GRAPHS.items():
        make_numbers(repository, "base", baseline, model)
        make_numbers(repository, "light", candidate, model)
    make_numbers(repository, "hangs", hangs(AT), "dying")
    apart = [word for model in APART for word in ("--placement", f"{model}=apart")]
    with running_server(repository, "--placement", "together", *apart, *LIMITS) as server:
        yield server


@dataclass(kw_only=True)
class Critic:
    """Sends inputs with known answers to a model, and posts the outcomes afterwards."""

    server: Server
    model: str
    # Request -> whether its answer was right, for requests whose outcome the server does not have yet.
    untold: dict[str, bool]

    def judge(self) -> None:
        """Send all numbers twice."""
        with ThreadPoolExecutor(4) as pool:
            self.untold |= dict(pool.map(self._ask, [*range(NUMBERS)] * 2))
        outcomes = [{"request_id": name, "correct": correct} for name, correct in self.untold.items()]
        path = f"/control/models/{self.model}/feedback"
        told = self.server.post(path, {"outcomes": outcomes[-500:]}, **{"content-type": "application/json"})
        unknown = told.json["unknown"]
        self.untold = {name: correct for name, correct in self.untold.items() if name in unknown}

    def _ask(self, number: int) -> tuple[str, bool]:
        answer = self.server.post(f"/v2/models/{self.model}/infer", body(number))
        return answer.headers["x-request-id"], answer.json["outputs"][0]["data"] == [number]


def is_loaded(client: ControlClient, model: str) -> bool:
    """Return whether the model has had load for about a second."""
    return bool(client.ask(operations.MODEL, model)["variants"]["base"]["requests"] > RATE)


@pytest.fixture(scope="module")
def told(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """The results of all rollouts, which run at the same time."""
    client, folder = ControlClient(server.url), tmp_path_factory.mktemp("load")
    critic = Critic(server=server, model="mistaken", untold={})
    with ExitStack() as stack:
        loads = {
            name: stack.enter_context(swarm(server.url, name, folder, rate=RATES.get(name, RATE)))
            for name in GRAPHS
        }
        wait_until(lambda: all(is_loaded(client, model) for model in GRAPHS))
        rollouts = {
            model: begin(server, model, {"guards": GUARDS, "watch_s": 0, **policy})
            for model, policy in POLICIES.items()
        }
        running = set(rollouts)

        def all_over() -> bool:
            if "mistaken" in running:
                critic.judge()
            # A server under load may be late with an answer about itself.
            with suppress(ServerFailed):
                running.difference_update(
                    [m for m in running if client.ask(VIEW, rollouts[m]).rollout.phase.over]
                )
            return not running

        wait_until(all_over, 500)
    told = {model: tell_of(server, name, loads[model]) for model, name in rollouts.items()}
    for rollout in told.values():
        print(rollout.summary)
    return told


def test_a_good_and_cheaper_one_gets_everything(told: dict[str, Told]) -> None:
    """A good and cheaper candidate goes through all steps in order, and the reasons name what was shown."""
    good = told["good"]
    assert good.places == [
        (Phase.SHADOW, 0),
        (Phase.STEP, 1),
        (Phase.STEP, 2),
        (Phase.STEP, 3),
        (Phase.DONE, 3),
    ]
    assert good.view.routes.weights == {"base": 0.0, "light": 1.0}
    moves = [line.reason for line in good.moves[1:]]
    assert [reason.partition(":")[0] for reason in moves] == [
        "safe to go on in the shadow",
        "safe to go on at 30 % of the traffic",
        "safe to go on at 60 % of the traffic",
        "safe to go on at 95 % of the traffic",
    ]
    assert "below 0.8 times" in moves[2]


@pytest.mark.parametrize(
    ("model", "where", "guard"),
    [
        ("slow", "at 10 % of the traffic", "(latency|p50|p95|p99)"),
        ("wrong", "in the shadow", "disagreement"),
        ("mistaken", "at 10 % of the traffic", "accuracy"),
    ],
)
def test_a_bad_one_is_rolled_back(told: dict[str, Told], model: str, where: str, guard: str) -> None:
    """A bad candidate is rolled back for its fault, in the first phase that can show it."""
    last = told[model].moves[-1]
    assert last.phase is Phase.ROLLED_BACK
    assert last.reason.startswith(f"harm shown {where}: ")
    assert re.search(f"{guard}: ", last.reason)
    assert told[model].view.routes.weights == {"base": 1.0, "light": 0.0}
    assert told[model].view.routes.shadows == {}


def test_one_that_dies_is_rolled_back(told: dict[str, Told]) -> None:
    """A candidate that dies is rolled back for its errors, by the judge or by a gateway's circuit breaker."""
    last = told["dying"].moves[-1]
    assert last.phase is Phase.ROLLED_BACK
    assert "errors: " in last.reason or "requests failed" in last.reason
    assert told["dying"].view.routes.weights == {"base": 1.0, "light": 0.0}


def test_every_verdict_comes_out_again(told: dict[str, Told]) -> None:
    """A replay of the stored evidence gives the same verdicts."""
    assert {model: rollout.replay.faults for model, rollout in told.items()} == dict.fromkeys(told, ())
    assert all(rollout.replay.verdicts > 0 for rollout in told.values())


def test_nobody_hears_a_shadow(told: dict[str, Told]) -> None:
    """The baseline answers all requests of a candidate that stays in its shadow."""
    assert set(told["wrong"].load.answered()) == {"base"}


def test_no_request_fails(told: dict[str, Told]) -> None:
    """No request fails, even if the candidate dies or the traffic moves."""
    assert {model: rollout.load.failed for model, rollout in told.items()} == {model: [] for model in told}


def test_few_users_meet_a_bad_one(told: dict[str, Told]) -> None:
    """A bad candidate answers none or at most 10 % of the requests before it is rolled back."""
    assert told["wrong"].met == 0
    for model in ("slow", "mistaken", "dying"):
        assert 0 < told[model].met < binom.ppf(1 - 1e-6, len(told[model].load.records), 0.1)


def test_each_request_counts_at_most_once(told: dict[str, Told]) -> None:
    """The pairs and the requests of all steps are together at most the number of requests."""
    for model in ("good", "slow", "wrong", "dying"):
        evidence, load = told[model].view.evidence, told[model].load
        counted = evidence.shadow.pairs + sum(segment.requests.both for segment in evidence.segments)
        assert 0 < counted <= len(load.records)


def test_a_shadow_that_hangs_is_not_felt(server: Server) -> None:
    """Copies that run for ever in a shadow do not delay the baseline's answers."""
    client = ControlClient(server.url)
    [replica] = server.replicas("dying.hangs.")
    spent_s = replica.cpu_times().user
    with steady(server.port, Ask("/v2/models/dying/infer", body(AT)), rate=50) as load:
        load.wait_for(50)
        client.ask(SET_ROUTES, "dying", body=RoutesRequest(shadows={"hangs": 1.0}))
        wait_until(lambda: replica.cpu_times().user > spent_s + 1)
        load.wait_for(50)
        client.ask(SET_ROUTES, "dying", body=RoutesRequest(shadows={}))
    assert alive([replica]) == [replica]
    assert load.failed() == []
    assert load.marked() == []
    assert {sample.variant for sample in load.samples} == {"base"}
