"""Many rollouts at once against seeded traffic: what the guards do to good and to bad candidates.

The sums and the e-values are those of serve/rollout; only the loop over rollouts is arrays instead of
objects (`test_simulation.py` holds the two against each other). One tick is one second."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serve.rollout import course
from serve.rollout.counts import Counts, counts_in
from serve.rollout.guards import harm, safety
from serve.rollout.policy import ErrorGuard, Policy, QuantileGuard
from serve.rollout.sequential import Array, log_mean, log_rate_above, log_rate_below
from serve.rollout.stalls import waits

Whole = NDArray[np.int64]
KINDS: tuple[str, ...] = ("errors", "over_limit")
# A rollout with a shadow has so many guards: errors, latency, and the shadow's pairs and slices. Those of
# latency are four, which share the odds of one.
GUARDS, LATENCIES = 4, 4
# A second in so many is bad, and then this share of the requests fails; the mean stays.
BURST_EVERY, BURST_RATE = 60, 0.5
STALL_EVERY_S = 300


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Traffic and the truth about both variants; rates are (baseline, candidate)."""

    requests_per_s: float
    seconds: int
    errors: tuple[float, float] = (0.02, 0.02)
    # An equal candidate, latencies lognormal with sigma 0.5, and the limit 1.25 times the baseline's p99.
    over_limit: tuple[float, float] = (0.0028, 0.0028)
    # Seconds in which much goes wrong: for both variants at once, or for one of them alone.
    bursts: Literal["none", "shared", "apart"] = "none"
    # Stalls of either variant by itself: as a rule this long, one in STALL_EVERY_S, in which all fails.
    stalls_s: float | None = None
    # The candidate's run time per row over the baseline's.
    cost: float = 1.0
    # A share that never changes instead of the policy's steps.
    split: float | None = None
    look_every_s: int = 5


@dataclass
class Runs:
    """Where each run stands; arrays [run], and the sums [sum, run, step]."""

    scenario: Scenario
    policy: Policy
    rng: np.random.Generator
    count: int
    step: Whole = field(init=False)
    # -1: not yet.
    rolled_back_s: Whole = field(init=False)
    done_s: Whole = field(init=False)

    def __post_init__(self) -> None:
        split = self.scenario.split
        self.shares = np.array(_shares(self.policy) if split is None else [split])
        shape = (self.count, len(self.shares))
        self.requests = np.zeros((2, *shape))
        self.courses = {kind: course.begin(*shape) for _, kind in self.pairs}
        self.costs = np.zeros((2, 2, self.count))
        self.stall_s = np.zeros((2, self.count), np.int64)
        self.step = np.zeros(self.count, np.int64)
        self.entered_s = np.zeros(self.count, np.int64)
        self.rolled_back_s = np.full(self.count, -1)
        self.done_s = np.full(self.count, -1)

    @property
    def pairs(self) -> tuple[tuple[ErrorGuard | QuantileGuard, str], ...]:
        """The guards, each with what it counts."""
        return (self.policy.guards.errors, "errors"), (self.policy.guards.latency, "over_limit")

    @property
    def alive(self) -> Whole:
        """The runs that are not over."""
        return np.flatnonzero((self.rolled_back_s < 0) & (self.done_s < 0))

    def tick(self, now_s: int) -> dict[str, Whole]:
        """One second of traffic for the runs that are alive, then a look. Returns what was counted."""
        alive = self.alive
        counted = self._draw(alive)
        at = (alive, self.step[alive])
        self.requests[:, *at] += counted["requests"]
        for _, kind in self.pairs:
            trials = counted.get(f"timed_{kind}", counted["requests"])
            self._go_on(self.courses[kind], at, trials.T.astype(float), counted[kind].T.astype(float))
        self._run(alive, counted["requests"])
        if now_s % self.scenario.look_every_s == 0:
            self._look(alive, now_s)
        return counted

    @staticmethod
    def _go_on(courses: course.Course, at: tuple[Whole, Whole], requests: Array, events: Array) -> None:
        usual = (courses.usual_events[at[0]].sum(1), courses.usual_requests[at[0]].sum(1))
        now = course.Course(*(part[at] for part in courses))
        for part, after in zip(
            courses, course.step(now, requests, events, course.calm_rates(*usual)), strict=True
        ):
            part[at] = after

    def _draw(self, alive: Whole) -> dict[str, Whole]:
        """Requests and events [variant, run] of one second."""
        scenario, rng = self.scenario, self.rng
        total = rng.poisson(scenario.requests_per_s, len(alive))
        candidate = rng.binomial(total, self.shares[self.step[alive]])
        requests = np.array([total - candidate, candidate])
        counted = {"requests": requests}
        stalled = self._stall()[:, alive]
        for kind in KINDS:
            rates = np.array(getattr(scenario, kind))[:, None] * np.ones(requests.shape)
            if scenario.bursts != "none":
                bad = rng.random(requests.shape) < 1 / BURST_EVERY
                bad = bad if scenario.bursts == "apart" else np.array([bad[0], bad[0]])
                # In a bad second the rate is BURST_RATE; between, what leaves a third of the mean.
                rates = np.where(bad, BURST_RATE, rates / 3)
            rates = np.where(stalled, 1.0, rates)
            counted[kind] = rng.binomial(requests, rates)
        return counted

    def _stall(self) -> NDArray[np.bool_]:
        """Which variants stall in this second: [variant, run]."""
        if self.scenario.stalls_s is not None:
            begins = (self.stall_s == 0) & (self.rng.random(self.stall_s.shape) < 1 / STALL_EVERY_S)
            lasts = self.rng.geometric(1 / self.scenario.stalls_s, self.stall_s.shape)
            self.stall_s = np.where(begins, lasts, np.maximum(self.stall_s - 1, 0))
        return np.asarray(self.stall_s > 0)

    def _run(self, alive: Whole, requests: Whole) -> None:
        """Run time per row, noisy by a fifth: the gain in logs and its variance, in this step only."""
        ran = requests > 0
        self.costs[0][:, alive] += np.where(ran, self.rng.normal(0, 0.2, requests.shape), 0)
        self.costs[1][:, alive] += ran

    def _look(self, alive: Whole, now_s: int) -> None:
        pairs = self.pairs
        counts = {kind: self._counts(alive, kind) for _, kind in pairs}
        evidence = np.array([harm(guard, counts[kind]) for guard, kind in pairs])
        guards = [GUARDS if kind == "errors" else GUARDS * LATENCIES for _, kind in pairs]
        harmful = (
            evidence
            >= [
                [math.log(number / (1 - guard.confidence))]
                for number, (guard, _) in zip(guards, pairs, strict=True)
            ]
        ).any(0)
        self.rolled_back_s[alive[harmful]] = now_s
        if self.scenario.split is not None:
            return
        calm = (evidence < -math.log(1 - self.policy.proof)).all(0) & ~harmful
        for count in counts.values():
            assert count.stalls is not None
            calm &= np.logical_not(waits(count.stalls))
        ready = np.flatnonzero(calm & self._due(alive, now_s))
        proven = self._proven(alive[ready], counts, ready)
        self._promote(alive[ready[proven]], now_s)

    def _due(self, alive: Whole, now_s: int) -> NDArray[np.bool_]:
        minimum_s = np.array([step.minimum_s for step in self.policy.steps])
        minimum = np.array([step.minimum_requests for step in self.policy.steps])
        step = self.step[alive]
        long_enough = now_s - self.entered_s[alive] >= minimum_s[step]
        return np.asarray(long_enough & (self.requests[:, alive, step].sum(0) >= minimum[step]))

    def _proven(
        self,
        runs: Whole,
        counts: dict[str, Counts],
        ready: Whole,
    ) -> NDArray[np.bool_]:
        """Whether nothing is left to prove before the next step."""
        following = np.append([step.share for step in self.policy.steps], 1.0)[self.step[runs] + 1]
        needed = following > self.policy.proof_above
        least = -math.log(1 - self.policy.proof)
        # Shown before the last step.
        proven = (self._cost_evidence(runs) >= least) | (self.step[runs] == len(self.shares) - 1)
        for guard, kind in self.pairs:
            proven &= safety(guard, _of(counts[kind], ready)) >= least
        return np.asarray(~needed | proven)

    def _cost_evidence(self, runs: Whole) -> Array:
        blocks = np.maximum(self.costs[1][:, runs], 1)
        noise = self.costs[0][:, runs] / blocks
        gain = math.log1p(-self.policy.cheaper_by) - math.log(self.scenario.cost) + noise[0] - noise[1]
        evidence = log_mean(np.maximum(gain, 0), (0.2**2 / blocks).sum(0), 0.2)
        return np.where(blocks.min(0) >= 30, evidence, 0.0)

    def _promote(self, runs: Whole, now_s: int) -> None:
        last = self.step[runs] == len(self.shares) - 1
        self.done_s[runs[last]] = now_s
        self.step[runs[~last]] += 1
        self.entered_s[runs[~last]] = now_s
        self.costs[:, :, runs] = 0

    def _counts(self, alive: Whole, kind: str) -> Counts:
        mine = course.Course(*(part[alive] for part in self.courses[kind]))
        return counts_in(mine, self.shares, self.step[alive], self.policy.guards.stall_s)


def _shares(policy: Policy) -> list[float]:
    return [policy.share_at(step) for step in range(1, len(policy.steps) + 1)]


def _of(counts: Counts, runs: Whole) -> Counts:
    return replace(
        counts,
        candidate=counts.candidate[runs],
        both=counts.both[runs],
        trials=counts.trials[runs],
        dispersion=counts.dispersion[runs],
        recent=None,
        stalls=None,
    )


def simulate(scenario: Scenario, policy: Policy, *, runs: int, seed: int) -> Runs:
    """`runs` rollouts of `scenario`, each until it is over or the time is."""
    simulated = Runs(scenario, policy, np.random.default_rng(seed), runs)
    for now_s in range(1, scenario.seconds + 1):
        if not len(simulated.alive):
            break
        simulated.tick(now_s)
    return simulated


def simulate_shadow(
    policy: Policy, disagreement: float, *, pairs_per_s: int, runs: int, seed: int
) -> tuple[Array, Array]:
    """How many pairs each run had seen when it was rolled back, and when let on; infinite: it was not."""
    rng, shadow = np.random.default_rng(seed), policy.shadow
    differ = rng.binomial(pairs_per_s, disagreement, (runs, 600)).cumsum(1).astype(float)
    pairs: Array = np.arange(1.0, 601.0) * pairs_per_s
    limit = 1 - shadow.agreement
    harmful = log_rate_above(differ, pairs, limit) >= math.log(GUARDS / (1 - shadow.confidence))
    safe = log_rate_below(differ, pairs, limit) >= -math.log(1 - policy.proof)
    safe &= pairs >= shadow.minimum_pairs
    back, on = (np.where(shown, pairs, np.inf).min(1) for shown in (harmful, safe))
    return np.where(back <= on, back, np.inf), np.where(on < back, on, np.inf)
