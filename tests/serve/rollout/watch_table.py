"""What the watch of all traffic does to equal variants, and to a candidate that fails half an hour after it
got all traffic. Traffic is drawn here; the judgement is that of serve/rollout."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from serve.rollout.evidence.evalues import Array
from serve.rollout.evidence.evidence import Events, Pair, Segment
from serve.rollout.evidence.time_window import WINDOW_S
from serve.rollout.judging.guards import harm
from serve.rollout.judging.recent_rates import limit_of, looks_of, weigh_recent
from serve.rollout.state.policy import Policy
from tests.serve.rollout.requirements import Cell, Found, Requirement
from tests.serve.rollout.simulate import GUARDS, Runs, run
from tests.serve.rollout.traffic import Scenario, Whole
from tests.serve.rollout.verdict_cells import HOUR_S, NEVER_BACK, found_of

_LATELY = 2


@dataclass
class WatchRuns(Runs):
    """Rollouts that stay at each step for a fifth of `before_s`, and then have all traffic for an hour."""

    before_s: int = 600

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kinds = [kind for _, kind in self.pairs]
        # For each kind the candidate's requests and events outside of stalls: [run, window, 2].
        stretches = math.ceil((self.scenario.seconds - self.before_s) / WINDOW_S)
        self.lately = {kind: np.zeros((self.count, stretches, 2)) for kind in self.kinds}
        self.limits: dict[str, Array] = {}
        self.now_s = 0

    def _splits(self) -> list[float]:
        return [*super()._splits(), 1.0]

    def _go_on(self, kind: str, alive: Whole, requests: Array, events: Array) -> None:
        then = [part[:, 1].copy() for part in (self.courses[kind].requests, self.courses[kind].events)]
        super()._go_on(kind, alive, requests, events)
        if self.now_s < self.before_s:
            return
        now = [part[:, 1] for part in (self.courses[kind].requests, self.courses[kind].events)]
        here = self.lately[kind][:, int((self.now_s - self.before_s) // WINDOW_S)]
        for place in (0, 1):
            gained = np.where(np.isin(np.arange(self.count), alive), now[place] - then[place], 0)
            here[:, place] = np.maximum(here[:, place] + gained, 0)

    def _look(self, alive: Whole, now_s: int) -> None:
        self.now_s = now_s
        guards = {kind: guard for guard, kind in self.pairs}
        evidence = [harm(guards[kind], self._counts(alive, kind)) for kind in self.kinds]
        harmful = (np.array(evidence) >= math.log(GUARDS / (1 - guards["errors"].confidence))).any(0)
        whole = int((now_s - self.before_s) // WINDOW_S)
        if whole > 0 and now_s % WINDOW_S == 0:
            harmful |= self._lately_harmful(alive, whole)
        self.rolled_back_s[alive[harmful]] = now_s
        if now_s % (self.before_s // (len(self.shares) - 1)) == 0 and now_s <= self.before_s:
            self._promote(self.alive, now_s)

    def _lately_harmful(self, alive: Whole, whole: int) -> Any:
        """Return, for these runs, whether any guard that watches the last `whole` windows shows harm."""
        if not self.limits:
            self.limits = {kind: self._limits(kind) for kind in self.kinds}
        at = math.log(GUARDS * _LATELY / (1 - self.policy.guards.errors.confidence))
        looks = looks_of(self.policy)
        return np.array(
            [
                any(
                    (
                        weigh_recent(kind, self._seen(kind, one, whole), self.limits[kind][one], looks).harm
                        or 0
                    )
                    >= at
                    for kind in self.kinds
                )
                for one in alive
            ]
        )

    def _seen(self, kind: str, one: int, whole: int) -> list[tuple[int, int]]:
        return [(int(events), int(requests)) for requests, events in self.lately[kind][one, :whole]]

    def _limits(self, kind: str) -> Array:
        guard = next(guard for guard, name in self.pairs if name == kind)
        requests, events = self.before[kind].requests, self.before[kind].events
        last = len(self.shares) - 2
        limits = []
        for one in range(self.count):
            steps = [
                _segment(kind, step + 1, requests[one, step], events[one, step]) for step in range(last + 1)
            ]
            limits.append(limit_of(kind, guard, steps[:last], steps[last:]))
        return np.array(limits)


def _segment(kind: str, step: int, requests: Array, events: Array) -> Segment:
    pair = Pair(baseline=round(requests[0]), candidate=round(requests[1]))
    bad: dict[str, Any] = {kind: Events(baseline=round(events[0]), candidate=round(events[1]))}
    return Segment(step=step, split=0.5, started_s=0, ended_s=0, requests=pair, timed=pair, **bad)


def find(scenario: Scenario, before_s: int, runs: int) -> Found:
    """Return how the watch of one scenario ends."""
    return found_of(run(WatchRuns(scenario, Policy(), np.random.default_rng(6), runs, before_s=before_s)))


def watch_cells(fast: bool) -> Iterator[Cell]:
    """Fast: fewer rollouts."""
    runs = 50 if fast else 1000
    disturbances: dict[str, dict[str, Any]] = {
        "nothing": {},
        "stalls of 10 s": {"stalls_s": 10.0},
        "stalls of 30 s": {"stalls_s": 30.0},
        "bursts": {"bursts": "apart"},
        "the time of day": {"diurnal": True},
    }
    for minutes in (10,) if fast else (10, 30):
        for name, disturbance in disturbances.items():
            scenario = Scenario(
                requests_per_s=100, seconds=minutes * 60 + HOUR_S, look_every_s=10, **disturbance
            )
            yield Cell(
                group="watch",
                name=f"equal, an hour after {minutes} min of evidence: {name}",
                asked=(NEVER_BACK,),
                find=partial(find, scenario, minutes * 60),
                runs=runs,
            )
    asked = (
        Requirement("rolled back", at_least=0.99),
        Requirement("rolled back before", at_most=0.01),
    )
    for rate in (1.0, 0.5, 0.2, 0.1, 0.06):
        scenario = Scenario(
            requests_per_s=100,
            seconds=600 + HOUR_S,
            change_s=600 + HOUR_S // 2,
            changed=(rate, rate),
            look_every_s=10,
        )
        yield Cell(
            group="watch",
            name=f"2 to {100 * rate:.0f} % of errors half an hour after it got everything",
            # A rate of a tenth or less may be due to the hour: it is found later or never.
            asked=asked if rate > 0.1 else asked[1:],
            find=partial(find, scenario, 600),
            runs=runs,
        )
