"""Trial: a rollout under load, from the shadow through a canary to before all traffic, and back again."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from loadtests.client import Client
from loadtests.limits import Limits
from loadtests.live import Live

# Where a rollout of ours ends well: the last step, all traffic, is not for us to take.
PROVEN = "WAITING_APPROVAL"
OVER = ("DONE", "ROLLED_BACK", "INCONCLUSIVE")
CANARY_SHARE = 0.5
# How many times the shortest time it may take until everything is proven.
_PATIENCE = 3
_LOOK_EVERY_S = 1.0


def longest_s(limits: Limits) -> float:
    """How long a trial takes at most: the shadow and the canary, with patience."""
    return _PATIENCE * 2 * limits.duration_s


def policy_of(limits: Limits) -> dict[str, Any]:
    """The policy of the trial: the limits, in the words of a rollout."""
    requests = max(1, int(limits.rate_per_s * limits.duration_s / 2))
    return {
        "shadow": {"minimum_pairs": requests, "agreement": limits.agreement},
        "steps": [
            {"share": CANARY_SHARE, "minimum_s": limits.duration_s, "minimum_requests": requests},
            {"share": 1.0, "minimum_s": 0, "minimum_requests": 1, "approval": True},
        ],
        "guards": {"errors": {"allowed": limits.errors}, "latency": {"limit_ms": limits.p99_ms}},
        # What it costs is known from the capacity; here it need not be cheaper.
        "cheaper_by": -9.0,
        "maximum_s": longest_s(limits),
    }


class Follower:
    """Looks once a second how the rollout stands; as `is_enough` of a load it ends it with the rollout."""

    def __init__(self, client: Client, rollout: str) -> None:
        self._client = client
        self._path = f"/control/rollouts/{rollout}"
        self._due = 0.0
        # Where it stood last, as the control API tells it.
        self.view: Mapping[str, Any] = client.get(self._path)

    @property
    def phase(self) -> str:
        """Where it stood last."""
        return str(self.view["rollout"]["phase"])

    def __call__(self, live: Live, now_s: float) -> bool:
        if (now := time.monotonic()) >= self._due:
            self._due = now + _LOOK_EVERY_S
            self.view = self._client.get(self._path)
        return self.phase in (PROVEN, *OVER)

    def end(self) -> None:
        """Give all traffic back, unless it is over."""
        if self.phase not in OVER:
            self._client.post(f"{self._path}/abort", {})


@contextmanager
def trial(client: Client, model: str, candidate: str, limits: Limits) -> Iterator[Follower]:
    """The rollout while the context lasts; afterwards the routes are as they were before. Raises
    LoadTestError, also when another rollout of the model runs."""
    routes = client.get(f"/control/models/{model}/routes")
    wanted = {"candidate": candidate, "policy": policy_of(limits)}
    begun = client.post(f"/control/models/{model}/rollouts", wanted)
    follower = Follower(client, begun["rollout"]["rollout"])
    try:
        yield follower
    finally:
        follower.end()
        client.put(
            f"/control/models/{model}/routes",
            {"weights": routes["weights"], "shadows": routes["shadows"]},
        )
