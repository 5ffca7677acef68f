"""A keeper without a network: a controller with a real store, whose clock and gateways the test controls."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from serve.base.routing import Routes
from serve.control.commands import Commands
from serve.counting.count_delta import Disagreement
from serve.counting.rollout_counter import RolloutCounter
from serve.rollout.api_records import ActRequest, RolloutRequest, RolloutView, TrailLine
from serve.rollout.controller import Controller
from serve.rollout.evidence.evidence import Comparison
from serve.rollout.outbox import Outbox
from serve.rollout.state.policy import Guards, LatencyGuard, Policy, ShadowPolicy, Step
from serve.rollout.state.rollout import Phase
from serve.rollout.store.lease import LEASE_S
from serve.rollout.store.store import Store
from serve.rollout.timeline import Timeline
from tests.serve.kept_model import KeptModel

VERSIONS = {"fp32": "a" * 64, "int8": "b" * 64, "slim": "c" * 64}
# The three steps need little time, and the latency limit is fixed.
POLICY = Policy(
    shadow=ShadowPolicy(minimum_pairs=500),
    steps=tuple(Step(share=share, minimum_s=0, minimum_requests=1000) for share in (0.1, 0.5, 1.0)),
    guards=Guards(latency=LatencyGuard(limit_ms=50)),
)


class Clock:
    """The time in seconds since 1970, which moves only when a test sets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000_000_000.0
        # The seconds by which a person has set the wall clock.
        self.set_s = 0.0
        monkeypatch.setattr("time.time", lambda: self.now_s + self.set_s)
        monkeypatch.setattr("serve.rollout.clock.monotonic", lambda: self.now_s)


class LocalKeeper(KeptModel):
    """A keeper of `digits`, whose variants fp32, int8 and slim are loaded."""

    model = "digits"

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        versions: Mapping[str, str] = VERSIONS,
        weights: Mapping[str, float] | None = None,
        elsewhere: bool = False,
    ) -> None:
        """`elsewhere`: on another machine than the keepers before, whose files it does not find."""
        self.clock = clock
        self.store = Store(url, "keeper")
        self.timeline = Timeline()
        # The URL, the model and the line of each message to a webhook.
        self.told: list[tuple[str, str, TrailLine]] = []
        self.controller = Controller(
            self.store,
            self.timeline,
            lambda *told: self.told.append(told),
            Outbox(_folder_of("" if elsewhere else url)),
        )
        self.commands = Commands(self.controller, self.store, self.timeline)
        try:
            self.controller.settle("digits", "fp32", versions, weights)
        except BaseException:
            self.kill()
            raise

    @property
    def place(self) -> tuple[Phase, int]:
        """Return the phase and step of the last rollout."""
        return self.rollout.phase, self.rollout.step

    def start(self, policy: Policy = POLICY, candidate: str = "int8") -> RolloutView:
        """Start a rollout."""
        return self.commands.start("digits", RolloutRequest(candidate=candidate, policy=policy), "ann")

    def promote(self) -> RolloutView:
        """Promote by hand."""
        return self.commands.act(self.rollout.rollout, "promote", ActRequest(), "ann")

    def tick(self, seconds: float = 1.0) -> None:
        """Let the keeper judge, this much later."""
        self.clock.now_s += seconds
        self.controller.look()
        self.controller.save()

    def killed(self) -> "LocalKeeper":
        """Kill the keeper and return another one, after the lease has ended."""
        self.kill()
        self.clock.now_s += LEASE_S
        return LocalKeeper(str(self.store._engine.url), self.clock)


def _folder_of(url: str) -> Path:
    """Return the folder in which keepers of a SQLite store leave unwritten acts; PostgreSQL has none."""
    if not url.startswith("sqlite:"):
        return Path("/dev/null")
    folder = Path(url.removeprefix("sqlite:///")).parent
    return folder.parent if folder.name == "store" else folder


@dataclass
class Gateway:
    """Counts requests as a gateway does, and splits them exactly as its routes say."""

    name: str = "one"
    counter: RolloutCounter | None = None
    # All counts since the gateway began: requests by step and variant, and pairs.
    counted: Counter[tuple[int, str]] = field(default_factory=Counter)
    pairs: int = 0
    _routes: Routes | None = None
    _step: int = 0
    # Variant -> rows and CPU time of all runs; those of the candidate cost half as much.
    _ran: dict[str, tuple[int, float]] = field(default_factory=dict)

    def hear(self, keeping: LocalKeeper) -> None:
        """Take the routes and the rollout that are in force."""
        watch = keeping.state.watch
        self._routes, self._step = keeping.routes, keeping.rollout.step if watch else 0
        if watch is None:
            self.counter = None
        elif self.counter is None or self.counter.watch.rollout != watch.rollout:
            self.counter = RolloutCounter(watch)
        else:
            self.counter.watch = watch

    def serve(
        self,
        requests: int,
        *,
        errors: tuple[int, int] = (0, 0),
        slow: int = 0,
        differ: int = 0,
        request_id: str = "",
    ) -> None:
        """Answer `requests`. `errors` of the baseline's and the candidate's fail, `slow` of the candidate's
        are slow, and `differ` of the copies differ."""
        routes, counter = self._routes, self.counter
        assert routes is not None
        assert counter is not None
        candidate = counter.watch.candidate
        share = routes.share(candidate)
        for variant, count, failed in (
            ("fp32", requests - round(requests * share), errors[0]),
            (candidate, round(requests * share), errors[1]),
        ):
            choice = (routes.revision, False, variant)
            for number in range(count):
                late = variant == candidate and number < slow
                told = f"{request_id}-{variant}-{number}" if request_id else ""
                counter.count(choice, failed=number < failed, ms=99.0 if late else 9.0, request_id=told)
            self.counted[self._step, variant] += count
            rows, cpu_ms = self._ran.get(variant, (0, 0.0))
            # The cost alternates between a little more and a little less, as on a real machine.
            each_ms = (1.0 if variant == "fp32" else 0.5) * (0.9 if rows // 1000 % 2 else 1.1)
            self._ran[variant] = rows + count, cpu_ms + each_ms * count
        if candidate in routes.shadows:
            pairs = Comparison(pairs=requests, disagreements=differ)
            counter.copies.pairs += pairs
            self.pairs += requests
            counter.disagreements.extend(shown(number) for number in range(min(differ, 2)))

    def report(self, keeping: LocalKeeper) -> None:
        """Report what was counted, and take what is in force."""
        if self.counter is not None and self._routes is not None:
            delta = self.counter.delta(self._routes.revision, dict(self._ran))
            if delta is not None:
                keeping.controller.take("digits", self.name, delta)
            if (number := keeping.controller.written(self.name).get("digits")) is not None:
                self.counter.acknowledge(number)
        self.hear(keeping)


def shown(number: int) -> Disagreement:
    """A pair that differs."""
    return Disagreement(
        at_s=0.0, request_id=f"r{number}", slice=None, output="y", baseline="7 (0.61)", candidate="1 (0.55)"
    )


def turn(keeping: LocalKeeper, gateway: Gateway, requests: int = 2000, **counts: Any) -> None:
    """Let a second pass: the gateway answers and reports `requests`, and the keeper judges."""
    gateway.report(keeping)
    gateway.serve(requests, **counts)
    gateway.report(keeping)
    keeping.tick()
    gateway.report(keeping)
