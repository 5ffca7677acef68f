"""Trial: a rollout under load, from the shadow through a canary to before all traffic, and back again."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.judging.limits import Limits
from loadtests.sending.client import Client
from loadtests.sending.endings import heeded
from loadtests.sending.live import Live
from serve.rollout.state.policy import ErrorGuard, Guards, LatencyGuard, Policy, ShadowPolicy, Step
from serve.rollout.state.rollout import Phase

# Where a rollout of ours ends well: the last step, all traffic, is not for us to take.
PROVEN = Phase.WAITING_APPROVAL
CANARY_SHARE = 0.5
_NO_LIMIT = 1e6
# How many times the shortest time it may take until everything is proven.
_PATIENCE = 3
# Some of a rollout's proofs take half a minute, however short a person wants it.
_LEAST_S = 120.0
_LOOK_EVERY_S = 1.0
# A server under load may miss a look; with so many in a row it is gone.
_MOST_FAILURES = 3


def longest_s(limits: Limits) -> float:
    """How long a trial takes at most: the shadow and the canary, with patience."""
    return max(_LEAST_S, _PATIENCE * 2 * limits.duration_s)


def policy_of(limits: Limits) -> dict[str, Any]:
    """The policy of the trial: the limits, in the words of a rollout; what is not named is as the server has
    it."""
    requests = max(1, int(limits.rate_per_s * limits.duration_s / 2))
    policy = Policy(
        shadow=ShadowPolicy(minimum_pairs=requests, agreement=limits.agreement),
        steps=(
            Step(share=CANARY_SHARE, minimum_s=limits.duration_s, minimum_requests=requests),
            Step(share=1.0, minimum_s=0, minimum_requests=1, approval=True),
        ),
        guards=Guards(
            errors=ErrorGuard(allowed=limits.errors),
            # The limits say what is slow, not the baseline.
            latency=LatencyGuard(limit_ms=limits.p99_ms, times_baseline=_NO_LIMIT, excess=None),
        ),
        # Both have served their capacity: there is nothing left to warm up.
        settle_s=0,
        # What it costs is known from the capacity; here it need not be cheaper.
        cheaper_by=-9.0,
        maximum_s=longest_s(limits),
    )
    return policy.model_dump(mode="json", exclude_unset=True)


class Follower:
    """Looks once a second how the rollout stands; as `is_enough` of a load it ends it with the rollout.

    Raises LoadTestError when the server says no more how it stands."""

    def __init__(self, client: Client, begun: Mapping[str, Any]) -> None:
        self._client = client
        self._name = begun["rollout"]["rollout"]
        self._path = f"/control/rollouts/{self._name}"
        self._due = 0.0
        self._failures = 0
        # Where it stood last, as the control API tells it.
        self.view = begun

    @property
    def phase(self) -> Phase:
        """Where it stood last."""
        return Phase(self.view["rollout"]["phase"])

    def __call__(self, live: Live, now_s: float) -> bool:
        if (now := time.monotonic()) >= self._due:
            self._due = now + _LOOK_EVERY_S
            try:
                self.view = self._client.get(self._path)
                self._failures = 0
            except LoadTestError:
                self._failures += 1
                if self._failures == _MOST_FAILURES:
                    raise
        return self.phase is PROVEN or self.phase.over

    def abort(self) -> None:
        """Give all traffic back to the baseline, unless it is over. Raises LoadTestError."""
        try:
            # It may have ended since the last look, and what is over cannot be aborted.
            if not Phase(self._client.get(self._path)["rollout"]["phase"]).over:
                self._client.post(f"{self._path}/abort", {})
        except LoadTestError as error:
            raise LoadTestError(
                f"rollout {self._name} may still run: {error}; end it with counterweight rollout abort "
                f"{self._name} --url {self._client.url}"
            ) from None


def refuse_busy(client: Client, model: str) -> None:
    """Raises LoadTestError while a rollout of the model runs: before the server is loaded for minutes."""
    for line in client.get(f"/control/models/{model}/rollouts")["rollouts"]:
        phase = Phase(line["phase"])
        # One that watches has moved all traffic, and whoever sets routes ends it.
        if not phase.over and phase is not Phase.WATCHING:
            raise LoadTestError(
                f"rollout {line['rollout']} of {model} is in phase {phase}; wait until it is over, "
                f"or end it: counterweight rollout abort {line['rollout']} --url {client.url}"
            )


@contextmanager
def trial(
    client: Client, model: str, candidate: str, limits: Limits, say: Callable[[str], object]
) -> Iterator[Follower]:
    """The rollout while the context lasts; afterwards the routes are as they were before. Raises
    LoadTestError. `say` hears what could not be undone, where an error is on its way already."""
    path = f"/control/models/{model}/routes"
    before = client.get(path)
    routes = {name: before[name] for name in ("weights", "shadows")}

    def put_back() -> None:
        try:
            client.put(path, routes)
        except LoadTestError as error:
            raise LoadTestError(
                f"the routes of {model} could not be put back to weights {routes['weights']} and shadows "
                f"{routes['shadows'] or 'none'}: {error}"
            ) from None

    with _undone(put_back, say), ExitStack() as stack:
        with _patient():
            # A rollout begins with all traffic at the baseline.
            # What is not named would keep its weight.
            nobody = dict.fromkeys(before["weights"], 0.0)
            client.put(path, {"weights": {**nobody, before["baseline"]: 1.0}, "shadows": {}})
            wanted = {"candidate": candidate, "policy": policy_of(limits), "trial": True}
            follower = Follower(client, client.post(f"/control/models/{model}/rollouts", wanted))
            stack.enter_context(_undone(follower.abort, say))
        yield follower


@contextmanager
def _undone(undo: Callable[[], None], say: Callable[[str], object]) -> Iterator[None]:
    """`undo` at the end, whatever happens; its error must not hide the one that came before."""
    try:
        yield
    except BaseException:
        try:
            with _patient():
                undo()
        except LoadTestError as error:
            say(str(error))
        raise
    with _patient():
        undo()


@contextmanager
def _patient() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP wait for the end of the context: what the server did must be known, or it
    cannot be undone."""
    came: list[int] = []
    before = {ending: signal.signal(ending, lambda number, _: came.append(number)) for ending in heeded()}
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)
    if came:
        raise KeyboardInterrupt
