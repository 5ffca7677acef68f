"""Runs a trial rollout under load, from the shadow through a canary up to the last step, and restores the
routes."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.judging.limits import Limits
from loadtests.sending.client import Client
from loadtests.sending.end_signals import end_signals
from loadtests.sending.live_counters import LiveCounters
from serve.rollout.state.policy import ErrorGuard, Guards, LatencyGuard, Policy, ShadowPolicy, Step
from serve.rollout.state.rollout import Phase

# The phase in which a trial ends successfully: it does not take the last step, which moves all traffic.
PROVEN = Phase.WAITING_APPROVAL
CANARY_SHARE = 0.5
_NO_LIMIT = 1e6
# How many times the shortest possible duration a trial may take.
_PATIENCE = 3
# Some of a rollout's proofs take half a minute, however short the requested duration is.
_LEAST_S = 120.0
_LOOK_EVERY_S = 1.0
# A server under load may miss a poll; after this number of failures in a row it counts as gone.
_MOST_FAILURES = 3


def longest_s(limits: Limits) -> float:
    """Return the maximum duration of a trial: shadow and canary, with some patience."""
    return max(_LEAST_S, _PATIENCE * 2 * limits.duration_s)


def policy_of(limits: Limits) -> dict[str, Any]:
    """Translate the limits into the policy of the trial rollout; the server sets the rest to its defaults."""
    requests = max(1, int(limits.rate_per_s * limits.duration_s / 2))
    policy = Policy(
        shadow=ShadowPolicy(minimum_pairs=requests, agreement=limits.agreement),
        steps=(
            Step(share=CANARY_SHARE, minimum_s=limits.duration_s, minimum_requests=requests),
            Step(share=1.0, minimum_s=0, minimum_requests=1, approval=True),
        ),
        guards=Guards(
            errors=ErrorGuard(allowed=limits.errors),
            # The limits define what is slow, not the baseline.
            latency=LatencyGuard(limit_ms=limits.p99_ms, times_baseline=_NO_LIMIT, excess=None),
        ),
        # Both variants have already served load in the capacity stage and need no warm-up.
        settle_s=0,
        # The capacity stage measures the cost; here the candidate need not be cheaper.
        cheaper_by=-9.0,
        maximum_s=longest_s(limits),
    )
    return policy.model_dump(mode="json", exclude_unset=True)


class Follower:
    """Polls the state of a rollout once a second. As `is_enough` of a load, it ends the load with the
    rollout.

    Raises LoadTestError when the server no longer reports the state."""

    def __init__(self, client: Client, begun: Mapping[str, Any]) -> None:
        self._client = client
        self._name = begun["rollout"]["rollout"]
        self._path = f"/control/rollouts/{self._name}"
        self._due = 0.0
        self._failures = 0
        # The last state of the rollout, as the control API returns it.
        self.view = begun

    @property
    def phase(self) -> Phase:
        """Return the last phase."""
        return Phase(self.view["rollout"]["phase"])

    def __call__(self, live: LiveCounters, now_s: float) -> bool:
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
        """Give all traffic back to the baseline, unless the rollout is over. Raises LoadTestError."""
        try:
            # The rollout may have ended since the last poll, and a finished rollout cannot be aborted.
            if not Phase(self._client.get(self._path)["rollout"]["phase"]).over:
                self._client.post(f"{self._path}/abort", {})
        except LoadTestError as error:
            raise LoadTestError(
                f"rollout {self._name} may still run: {error}; end it with counterweight rollout abort "
                f"{self._name} --url {self._client.url}"
            ) from None


def refuse_busy(client: Client, model: str) -> None:
    """Raises LoadTestError if a rollout of the model is running, before the server is loaded for minutes."""
    for line in client.get(f"/control/models/{model}/rollouts")["rollouts"]:
        phase = Phase(line["phase"])
        # A rollout that is watching has moved all traffic, and ends when routes are set.
        if not phase.over and phase is not Phase.WATCHING:
            raise LoadTestError(
                f"rollout {line['rollout']} of {model} is in phase {phase}; wait until it is over, "
                f"or end it: counterweight rollout abort {line['rollout']} --url {client.url}"
            )


@contextmanager
def trial(
    client: Client, model: str, candidate: str, limits: Limits, say: Callable[[str], object]
) -> Iterator[Follower]:
    """Run the rollout while the context lasts, and restore the previous routes afterwards.

    Raises LoadTestError. If another error is already propagating, `say` receives what could not be undone."""
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
            # A rollout begins with all traffic at the baseline. A variant that is left out would keep its
            # weight.
            nobody = dict.fromkeys(before["weights"], 0.0)
            client.put(path, {"weights": {**nobody, before["baseline"]: 1.0}, "shadows": {}})
            request = {"candidate": candidate, "policy": policy_of(limits), "trial": True}
            follower = Follower(client, client.post(f"/control/models/{model}/rollouts", request))
            stack.enter_context(_undone(follower.abort, say))
        yield follower


@contextmanager
def _undone(undo: Callable[[], None], say: Callable[[str], object]) -> Iterator[None]:
    """Call `undo` at the end in any case. Its error must not hide an earlier one."""
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
    """Delay Ctrl-C, SIGTERM and SIGHUP until the end of the context: a request to the server must finish, so
    that its effect can be undone."""
    came: list[int] = []
    before = {
        ending: signal.signal(ending, lambda number, _: came.append(number)) for ending in end_signals()
    }
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)
    if came:
        raise KeyboardInterrupt
