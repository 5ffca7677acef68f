"""What the latency guards do to good and to bad candidates: cells of tests/serve/rollout/table.py.

Each request has a latency of its own; the limits come from the baseline's earlier requests. The e-values
are those of serve/rollout, and the traffic and the limits are made here."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.counting.quantiles import NAMES, QUANTILES
from serve.counting.tally import EDGES_MS
from serve.rollout.evidence.evalues import Array
from serve.rollout.state.policy import ErrorGuard, Policy, QuantileGuard
from tests.serve.rollout.requirements import Cell, Found, Requirement
from tests.serve.rollout.simulate import Runs, run
from tests.serve.rollout.traffic import Scenario, Truths, Whole
from tests.serve.rollout.verdict_cells import NEVER_BACK, PROMOTED, SOON_BACK, found_of

MEDIAN_MS, SIGMA = 20.0, 0.5
# Both variants are this many times slower, for this many seconds, once in this many seconds.
INCIDENT_TIMES, INCIDENT_S, INCIDENT_EVERY_S = 10.0, 20.0, 600.0
# A candidate that warms up is this many times slower.
WARMING_TIMES = 10.0
_EDGES = np.array(EDGES_MS)
_LIMITS_EVERY_S = 60
_RECENT_S = 60
_BEYOND = 10


def same(ms: Array) -> Array:
    """An equal candidate."""
    return ms


def slower(times: float) -> Callable[[Array], Array]:
    """Return a function that multiplies each latency by `times`."""
    return lambda ms: ms * times


def median_doubled(ms: Array) -> Array:
    """Raise each latency to at least twice the median; the slowest twelfth stays as it was."""
    return np.maximum(ms, 2 * MEDIAN_MS)


def tail_doubled(ms: Array) -> Array:
    """The slowest thirtieth takes twice as long."""
    return np.where(ms > MEDIAN_MS * math.exp(1.83 * SIGMA), 2 * ms, ms)


@dataclass(frozen=True, kw_only=True)
class Slow(Scenario):
    """Traffic with random latencies, and the candidate's change to them."""

    name: str
    candidate: Callable[[Array], Array] = same
    cost: float = 0.7
    errors: tuple[float, float] = (0.0, 0.0)
    # The seconds of a day, over which all latencies rise and fall by half; 0 if they do not.
    day_s: float = 0.0
    incidents: bool = False
    # Whether the policy had a fixed limit before the start.
    fixed: bool = True


class SlowRuns(Runs):
    """Rollouts of one such scenario."""

    scenario: Slow

    def __post_init__(self) -> None:
        super().__post_init__()
        self.limits = np.full((self.count, 3), np.inf)
        self.phase_s = self.rng.uniform(0, INCIDENT_EVERY_S, self.count)
        # The baseline's requests by bucket, in total and at the start of the recent past, [run, bucket].
        self.latencies = np.zeros((self.count, len(EDGES_MS) + 1), np.int32)
        self.recent_from = self.latencies.copy()
        p99_ms = MEDIAN_MS * math.exp(2.3263 * SIGMA)
        self.limit_ms = self.policy.guards.latency.times_baseline * p99_ms if self.scenario.fixed else np.inf
        self.now_s = 0

    @property
    def pairs(self) -> tuple[tuple[ErrorGuard | QuantileGuard, str], ...]:
        latency = self.policy.guards.latency
        quantiles = ((latency.at(q), name) for q, name in zip(QUANTILES, NAMES, strict=True))
        return (*super().pairs, *quantiles)

    def _draw(self, alive: Whole, now_s: int, since_s: Array) -> dict[str, NDArray[Any]]:
        scenario, rng = self.scenario, self.rng
        self.now_s = now_s
        total = rng.poisson(scenario.requests_per_s * scenario.tick_s, len(alive))
        mine = rng.binomial(total, self.shares[self.step[alive]])
        run = np.repeat(np.arange(len(alive)), total)
        candidate = np.arange(total.sum()) - np.repeat(total.cumsum() - total, total) < mine[run]
        ms = MEDIAN_MS * np.exp(SIGMA * rng.standard_normal(len(run)))
        ms = np.where(candidate, scenario.candidate(ms), ms) * self._pace(alive)[run]
        warming = since_s < self.traffic.warm_s[alive]
        ms = np.where(candidate & warming[run], WARMING_TIMES * ms, ms)
        requests = np.array([total - mine, mine])
        errors = rng.binomial(requests, np.array(scenario.errors)[:, None])
        counted = {"requests": requests, "errors": errors, "ms": self.traffic.cost(alive, warming)}
        counted["over_limit"] = self._over(ms > self.limit_ms, run, candidate, len(alive))
        for place, name in enumerate(NAMES):
            limits = self.limits[alive, place]
            counted[name] = self._over(ms > limits[run], run, candidate, len(alive))
            counted[f"timed_{name}"] = counted["requests"] * np.isfinite(limits)
        buckets = np.searchsorted(_EDGES, ms[~candidate])
        np.add.at(self.latencies, (alive[run[~candidate]], buckets), 1)
        if self.now_s % _LIMITS_EVERY_S == 0:
            self._announce(alive)
        return counted

    def _pace(self, alive: Whole) -> Array:
        """How many times as long everything takes now."""
        pace = np.ones(len(alive))
        if self.scenario.day_s:
            pace *= 1 + 0.5 * math.sin(2 * math.pi * self.now_s / self.scenario.day_s)
        if self.scenario.incidents:
            since_s = (self.now_s + self.phase_s[alive]) % INCIDENT_EVERY_S
            pace = np.where(since_s < INCIDENT_S, INCIDENT_TIMES * pace, pace)
        return pace

    def _over(self, over: Truths, run: Whole, candidate: Truths, runs: int) -> Whole:
        sides = [np.bincount(run[over & side], minlength=runs) for side in (~candidate, candidate)]
        return np.array(sides, np.int64)

    def _announce(self, alive: Whole) -> None:
        """The limits of the next minute, from the baseline's requests since the last time that was enough."""
        latency = self.policy.guards.latency
        recent = (self.latencies - self.recent_from)[alive]
        count = recent.sum(1)
        even: Truths = np.asarray(self.shares[self.step[alive]] <= 1 / 2)
        for place, q in enumerate(QUANTILES):
            known = (count * (1 - q) >= _BEYOND) & even
            bucket = (recent.cumsum(1) >= np.ceil(q * count)[:, None]).argmax(1)
            ms = _EDGES[np.minimum(bucket, len(_EDGES) - 1)]
            limits = np.maximum(latency.times_baseline * ms, ms + latency.plus_ms)
            # There is no limit here above a share of one half; a server would use the steady one from before.
            self.limits[alive[known], place] = limits[known]
            self.limits[alive[~even], place] = np.inf
        enough = alive[count >= _BEYOND / (1 - QUANTILES[-1])]
        self.recent_from[enough] = self.latencies[enough]


A_DAY_S = 86_400
a_tenth_slower = slower(1.1)
CELLS = (
    Slow(name="equal", requests_per_s=20, seconds=3600),
    Slow(name="equal, no limit that stays", requests_per_s=20, seconds=3600, fixed=False),
    Slow(
        name="equal, the day goes up and down by half within the hour",
        requests_per_s=20,
        seconds=7200,
        day_s=3600,
    ),
    Slow(name="equal, incidents of 20 s in both", requests_per_s=20, seconds=7200, incidents=True),
    Slow(name="equal, warm-up of 5 to 20 s", requests_per_s=20, seconds=3600, warm_up_s=(5.0, 20.0)),
    Slow(
        name="the median doubled, the p99 as it was",
        requests_per_s=20,
        seconds=3600,
        candidate=median_doubled,
    ),
    Slow(
        name="the p99 doubled, the median as it was", requests_per_s=20, seconds=7200, candidate=tail_doubled
    ),
    Slow(name="all a tenth slower", requests_per_s=20, seconds=14_400, candidate=a_tenth_slower),
    Slow(name="all half as slow again", requests_per_s=20, seconds=7200, candidate=slower(1.5)),
    Slow(name="equal", requests_per_s=1, seconds=A_DAY_S, tick_s=10, look_every_s=60, fixed=False),
    Slow(
        name="all twice as slow",
        requests_per_s=1,
        seconds=A_DAY_S,
        tick_s=10,
        look_every_s=60,
        fixed=False,
        candidate=slower(2),
    ),
    Slow(name="equal", requests_per_s=0.3, seconds=A_DAY_S, tick_s=10, look_every_s=60, fixed=False),
    Slow(
        name="all twice as slow",
        requests_per_s=0.3,
        seconds=A_DAY_S,
        tick_s=10,
        look_every_s=60,
        fixed=False,
        candidate=slower(2),
    ),
)


def simulate_slow(scenario: Slow, policy: Policy, *, runs: int, seed: int) -> SlowRuns:
    """`runs` rollouts of `scenario`, each until it is over or the time is."""
    return run(SlowRuns(scenario, policy, np.random.default_rng(seed), runs))


def find(scenario: Slow, runs: int) -> Found:
    """How the rollouts of one scenario end."""
    return found_of(simulate_slow(scenario, Policy(), runs=runs, seed=7))


def latency_cells(fast: bool) -> Iterator[Cell]:
    """Fast: those of 20 requests a second, shorter and with fewer rollouts."""
    for full in CELLS:
        if fast and full.tick_s > 1:
            continue
        scenario = replace(full, seconds=900, look_every_s=15) if fast else full
        asked: tuple[Requirement, ...] = SOON_BACK
        if scenario.candidate is a_tenth_slower:
            asked = ()
        elif scenario.candidate is same:
            # With little traffic the requirement is that the rollout is promoted.
            asked = (NEVER_BACK,) if scenario.tick_s == 1 else PROMOTED
        yield Cell(
            group="latency",
            name=f"{scenario.name}, {scenario.requests_per_s:g}/s",
            asked=asked,
            find=partial(find, scenario),
            runs=40 if fast else 1000,
        )
