"""Traffic of many simulated rollouts, second by second.

It is independent of the code that judges it. Arrays are [variant, run], the baseline first."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serve.rollout.evidence.evalues import Array

Whole = NDArray[np.int64]
Truths = NDArray[np.bool_]
KINDS: tuple[str, ...] = ("errors", "over_limit")
# One second in BURST_EVERY is bad and has this error rate; the mean rate stays the same.
BURST_EVERY, BURST_RATE = 60, 0.5
STALL_EVERY_S = 300
# A variant that warms up has this share of its requests over the limit, and its runs take this many times as
# long.
WARMING_OVER, WARMING_COST = 0.8, 3.0
# Requests and errors rise and fall by these shares over a day, and each hour differs at random (a log).
DAY_S, DAY_REQUESTS, DAY_ERRORS, HOUR = 86_400, 0.7, 0.5, 0.2
# The cost of a run drifts as AR(1) by the second, with this correlation and deviation (a log), and varies at
# random.
RHO, DRIFT, STRAY = 0.95, 0.1, 0.05


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Traffic and the truth about both variants; rates are (baseline, candidate)."""

    requests_per_s: float
    seconds: int
    errors: tuple[float, float] = (0.02, 0.02)
    # An equal candidate, latencies lognormal with sigma 0.5, and the limit 1.25 times the baseline's p99.
    over_limit: tuple[float, float] = (0.0028, 0.0028)
    # The errors are others from this second on.
    change_s: int | None = None
    changed: tuple[float, float] = (0.02, 0.04)
    # Whether there are seconds with many errors: for both variants at once, or for each on its own.
    bursts: Literal["none", "shared", "apart"] = "none"
    # Each variant stalls on its own, about once in STALL_EVERY_S and for this long as a rule; meanwhile all
    # requests of one of its replicas fail.
    stalls_s: float | None = None
    replicas: int = 1
    # The candidate answers slowly after each step, for a random time between these two.
    warm_up_s: tuple[float, float] | None = None
    # A client retries a failed request a second later, at most this often, and the variant is drawn again.
    # Half of the errors are caused by the request: it fails again on the same variant.
    retries: int = 0
    # Requests and errors of both variants vary by the time of day.
    diurnal: bool = False
    # The candidate's run time per row over the baseline's.
    cost: float = 1.0
    # A constant share instead of the policy's steps.
    split: float | None = None
    # At this second the keeper's wall clock is set by this much, and the keeper may restart.
    clock_at_s: int = 200
    clock_jump_s: float = 0.0
    restarts: bool = False
    # The seconds between looks; after the change they are 5.
    look_every_s: int = 5
    tick_s: int = 1

    def look_at(self, now_s: int) -> int:
        """Return the number of seconds between looks."""
        return self.look_every_s if self.change_s is None or now_s <= self.change_s else 5


class Traffic:
    """The random traffic of a scenario."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator, count: int) -> None:
        self.scenario, self.rng = scenario, rng
        self._stall_s = np.zeros((2, count), np.int64)
        self._drift = rng.normal(0, DRIFT, (2, count))
        self._began_s = rng.uniform(0, DAY_S, count)
        self._hour = np.ones((2, count))
        # How long each run's candidate warms up after a step.
        self.warm_s = rng.uniform(*(scenario.warm_up_s or (0.0, 0.0)), count)
        # The requests that are tried again for the n-th time: [try, class, run], see `_ask`.
        self._again = np.zeros((scenario.retries, 3, count), np.int64)

    def draw(self, now_s: int, runs: Whole, shares: Array, since_s: Array) -> dict[str, NDArray[Any]]:
        """Draw the second that ends at `now_s` for these runs: requests, events, and the milliseconds of a
        run; `since_s` is the age of the step."""
        scenario, rng = self.scenario, self.rng
        if now_s % 3600 == 1 and scenario.diurnal:
            self._hour = np.exp(rng.normal(0, HOUR, self._hour.shape))
        # The factors of requests and of errors.
        pace = self._pace(now_s)[:, runs]
        warming = since_s < self.warm_s[runs]
        stalled = self._stall()[:, runs]
        changed = scenario.change_s is not None and now_s > scenario.change_s
        errors = np.array(scenario.changed if changed else scenario.errors)[:, None] * pace[1]
        total = rng.poisson(scenario.requests_per_s * pace[0])
        if scenario.retries:
            requests, failed = self._ask(runs, total, shares, errors, stalled)
        else:
            mine = rng.binomial(total, shares)
            requests = np.array([total - mine, mine])
            failed = rng.binomial(requests, self._disturbed(errors, stalled))
        over = np.array(scenario.over_limit)[:, None] * np.ones(requests.shape)
        over[1] = np.where(warming, WARMING_OVER, over[1])
        return {
            "requests": requests,
            "errors": failed,
            "over_limit": rng.binomial(requests, self._disturbed(over, stalled)),
            "ms": self.cost(runs, warming),
        }

    def _pace(self, now_s: int) -> Array:
        if not self.scenario.diurnal:
            return np.ones(self._hour.shape)
        wave = np.sin(2 * np.pi * (now_s + self._began_s) / DAY_S)
        return np.array([1 + DAY_REQUESTS * wave, 1 + DAY_ERRORS * wave]) * self._hour

    def _disturbed(self, rates: Array, stalled: Truths) -> Array:
        """Return the rates of this second, including bursts and stalls."""
        if self.scenario.bursts != "none":
            bad = self.rng.random(rates.shape) < 1 / BURST_EVERY
            bad = bad if self.scenario.bursts == "apart" else np.array([bad[0], bad[0]])
            # The rate is BURST_RATE in a bad second, and a third of the mean in the others.
            rates = np.where(bad, BURST_RATE, rates / 3)
        return np.where(stalled, np.maximum(rates, 1 / self.scenario.replicas), rates)

    def _stall(self) -> Truths:
        """Return which variants stall in this second."""
        if self.scenario.stalls_s is not None:
            begins = (self._stall_s == 0) & (self.rng.random(self._stall_s.shape) < 1 / STALL_EVERY_S)
            lasts = self.rng.geometric(1 / self.scenario.stalls_s, self._stall_s.shape)
            self._stall_s = np.where(begins, lasts, np.maximum(self._stall_s - 1, 0))
        return np.asarray(self._stall_s > 0)

    def _ask(
        self, runs: Whole, total: Whole, shares: Array, errors: Array, stalled: Truths
    ) -> tuple[Whole, Whole]:
        """Draw requests and errors where failed requests are repeated. A request is of one of three classes:
        it fails on both variants whenever it is sent; on the candidate alone; or by chance."""
        rng, half = self.rng, errors / 2
        both = rng.binomial(total, half.min(0))
        alone = rng.binomial(total - both, np.maximum(half[1] - half[0], 0))
        fresh = np.array([both, alone, total - both - alone])
        waiting = np.concatenate([fresh[None], self._again[..., runs]])
        mine = rng.binomial(waiting, shares)
        asked = np.stack([waiting - mine, mine])
        rates = np.ones((2, 3, len(runs)))
        rates[0, 1], rates[:, 2] = 0.0, half
        failed = rng.binomial(asked, np.where(stalled[:, None], 1.0, rates)[:, None])
        self._again[..., runs] = failed.sum(0)[:-1]
        return asked.sum((1, 2)), failed.sum((1, 2))

    def cost(self, runs: Whole, warming: Truths) -> Array:
        """Draw the milliseconds of a run in this second."""
        rng = self.rng
        self._drift = RHO * self._drift + rng.normal(0, DRIFT * (1 - RHO**2) ** 0.5, self._drift.shape)
        stray = rng.normal(0, STRAY, (2, len(runs)))
        ms: Array = np.exp(self._drift[:, runs] + stray)
        ms[1] *= self.scenario.cost * np.where(warming, WARMING_COST, 1.0)
        return ms
