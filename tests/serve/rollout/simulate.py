"""Many simulated rollouts at once with seeded traffic: what the guards do to good and to bad candidates.

The sums and the e-values are those of serve/rollout; only the loop over rollouts uses arrays instead of
objects (`test_simulation.py` compares the two). One tick is one second."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from serve.rollout.evidence import event_series
from serve.rollout.evidence.calm_rate import calm_rates
from serve.rollout.evidence.evalues import Array, log_rate_above, log_rate_below
from serve.rollout.evidence.stalls import waits
from serve.rollout.judging.cost import contrast, log_cheaper
from serve.rollout.judging.counts import Counts, counts_in
from serve.rollout.judging.guards import harm, safety
from serve.rollout.state.policy import ErrorGuard, Policy, QuantileGuard
from tests.serve.rollout.keeper_clock import keeper_clock
from tests.serve.rollout.traffic import Scenario, Traffic, Truths, Whole

# A rollout with a shadow has five guards: errors, latency, the shadow's pairs and slices, and the watch of
# the last step. There are four of latency, which share the odds of one.
GUARDS, LATENCIES = 5, 4
_MOST_BLOCKS = 32
SomeRuns = TypeVar("SomeRuns", bound="Runs")


@dataclass
class Runs:
    """The state of each run; arrays [run], and the sums [sum, run, step]."""

    scenario: Scenario
    policy: Policy
    rng: np.random.Generator
    count: int
    step: Whole = field(init=False)
    # -1 if it has not happened.
    rolled_back_s: Whole = field(init=False)
    done_s: Whole = field(init=False)

    def __post_init__(self) -> None:
        self.traffic = Traffic(self.scenario, self.rng, self.count)
        self.shares = np.array(self._splits())
        last = len(self.policy.steps)
        self.settle_s = np.array(
            [self.policy.settle_at(min(step, last)) for step in range(1, len(self.shares) + 1)]
        )
        shape = (self.count, len(self.shares))
        self.requests = np.zeros((2, *shape))
        # The candidate's requests and errors, since the change if there is one.
        self.errors_met = np.zeros(self.count, np.int64)
        # For each kind the event series of the current step, and those of the earlier steps.
        self.courses = {kind: event_series.begin(self.count) for _, kind in self.pairs}
        self.before = {kind: event_series.begin(*shape) for _, kind in self.pairs}
        # The runs of this step, in blocks of time: [run, variant, block, (runs, logs, ms)].
        self.costs = np.zeros((self.count, 2, _MOST_BLOCKS, 3))
        self.block_s = np.ones(self.count, np.int64)
        self.step = np.zeros(self.count, np.int64)
        self.entered_s = np.zeros(self.count, np.int64)
        self.rolled_back_s = np.full(self.count, -1)
        self.done_s = np.full(self.count, -1)
        self.keeper_s = keeper_clock(self.scenario)

    @property
    def pairs(self) -> tuple[tuple[ErrorGuard | QuantileGuard, str], ...]:
        """Return the guards, each with the count that it judges."""
        return (self.policy.guards.errors, "errors"), (self.policy.guards.latency, "over_limit")

    @property
    def alive(self) -> Whole:
        """The runs that are not over."""
        return np.flatnonzero((self.rolled_back_s < 0) & (self.done_s < 0))

    def tick(self, now_s: int) -> dict[str, NDArray[Any]]:
        """Simulate a second of traffic for the runs that are alive, then judge. Returns the counts."""
        alive, scenario = self.alive, self.scenario
        began_s = now_s - scenario.tick_s
        counted = self._draw(alive, now_s, began_s - self.entered_s[alive].astype(float))
        # Latency and cost are not judged while a step settles.
        lasted_s = self.keeper_s(began_s) - self.keeper_s(self.entered_s[alive])
        settled = lasted_s >= self.settle_s[self.step[alive]]
        self.requests[:, alive, self.step[alive]] += counted["requests"]
        for _, kind in self.pairs:
            if kind != "errors":
                counted[kind] = counted[kind] * settled
                timed = counted.get(f"timed_{kind}", counted["requests"])
                counted[f"timed_{kind}"] = timed * settled
            trials = counted.get(f"timed_{kind}", counted["requests"])
            self._go_on(kind, alive, trials.T.astype(float), counted[kind].T.astype(float))
        self._run(alive[settled], counted["requests"][:, settled], counted["ms"][:, settled], now_s)
        self.errors_met[alive] += counted["errors"][1] * (now_s > (scenario.change_s or 0))
        if now_s % scenario.look_at(now_s) == 0:
            self._look(alive, now_s)
        return counted

    def _splits(self) -> list[float]:
        if self.scenario.split is not None:
            return [self.scenario.split]
        return [self.policy.share_at(step) for step in range(1, len(self.policy.steps) + 1)]

    def _draw(self, alive: Whole, now_s: int, since_s: Array) -> dict[str, NDArray[Any]]:
        """Requests, events and milliseconds a run [variant, run] of one second."""
        return self.traffic.draw(now_s, alive, self.shares[self.step[alive]], since_s)

    def _go_on(self, kind: str, alive: Whole, requests: Array, events: Array) -> None:
        now, before = self.courses[kind], self.before[kind]
        usual = [
            getattr(now, name) + getattr(before, name).sum(1) for name in ("usual_events", "usual_requests")
        ]
        if len(alive) == self.count:
            rates = calm_rates(*usual)
            self.courses[kind] = event_series.step(now, requests, events, rates, self.scenario.replicas)
            return
        mine = event_series.EventSeries(*(part[alive] for part in now))
        rates = calm_rates(*(part[alive] for part in usual))
        after = event_series.step(mine, requests, events, rates, self.scenario.replicas)
        for part, value in zip(now, after, strict=True):
            part[alive] = value

    def _run(self, runs: Whole, requests: Whole, ms: Array, now_s: int) -> None:
        """Add the runs of this second; if there are too many blocks, merge them in pairs."""
        block = (now_s - self.scenario.tick_s - self.entered_s[runs]) // self.block_s[runs]
        full = runs[block >= _MOST_BLOCKS]
        pairs = self.costs[full].reshape(-1, 2, _MOST_BLOCKS // 2, 2, 3).sum(3)
        self.costs[full] = np.concatenate([pairs, np.zeros_like(pairs)], 2)
        self.block_s[full] *= 2
        block = (now_s - self.scenario.tick_s - self.entered_s[runs]) // self.block_s[runs]
        cell = np.stack([requests, requests * np.log(ms), requests * ms], -1)
        self.costs[runs, :, block] += np.moveaxis(cell, 0, 1)

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

    def _due(self, alive: Whole, now_s: int) -> Truths:
        minimum_s = np.array([step.minimum_s for step in self.policy.steps])
        minimum = np.array([step.minimum_requests for step in self.policy.steps])
        step = self.step[alive]
        stayed_s = self.keeper_s(now_s) - self.keeper_s(self.entered_s[alive])
        long_enough = stayed_s >= minimum_s[step]
        return np.asarray(long_enough & (self.requests[:, alive, step].sum(0) >= minimum[step]))

    def _proven(
        self,
        runs: Whole,
        counts: dict[str, Counts],
        ready: Whole,
    ) -> Truths:
        """Return whether nothing is left to prove before the next step."""
        following = np.append([step.share for step in self.policy.steps], 1.0)[self.step[runs] + 1]
        needed = following > self.policy.proof_above
        least = -math.log(1 - self.policy.proof)
        # The lower cost must be shown before the last step, and not in it.
        proven = (self._cost_evidence(runs) >= least) | (self.step[runs] == len(self.shares) - 1)
        for guard, kind in self.pairs:
            proven &= safety(guard, _of(counts[kind], ready)) >= least
        return np.asarray(~needed | proven)

    def _cost_evidence(self, runs: Whole) -> Array:
        cells = self.costs[runs][..., None, :]
        found = contrast(cells[..., 0], cells[..., 1], cells[..., 2], np.ones(1))
        return log_cheaper(found, self.block_s[runs].astype(float), self.policy.cheaper_by or 0.0)[1]

    def _promote(self, runs: Whole, now_s: int) -> None:
        last = self.step[runs] == len(self.shares) - 1
        self.done_s[runs[last]] = now_s
        goes_on = runs[~last]
        for kind, now in self.courses.items():
            for before, part in zip(self.before[kind], now, strict=True):
                before[goes_on, self.step[goes_on]] = part[goes_on]
                part[goes_on] = 0
            # A stall ends with its step.
            self.before[kind].alone[goes_on, self.step[goes_on]] = 0
        self.step[goes_on] += 1
        self.entered_s[goes_on] = now_s
        self.costs[goes_on] = 0
        self.block_s[goes_on] = 1

    def _counts(self, alive: Whole, kind: str) -> Counts:
        courses = event_series.EventSeries(*(part[alive] for part in self.before[kind]))
        at = (np.arange(len(alive)), self.step[alive])
        for part, now in zip(courses, self.courses[kind], strict=True):
            part[at] = now[alive]
        stall_s = self.policy.guards.stall_s
        return counts_in(courses, self.shares, self.step[alive], stall_s, self.scenario.replicas)


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


def run(simulated: SomeRuns) -> SomeRuns:
    """The same rollouts, each gone on with until it is over or the time is."""
    scenario = simulated.scenario
    for now_s in range(scenario.tick_s, scenario.seconds + 1, scenario.tick_s):
        if not len(simulated.alive):
            break
        simulated.tick(now_s)
    return simulated


def simulate(scenario: Scenario, policy: Policy, *, runs: int, seed: int) -> Runs:
    """`runs` rollouts of `scenario`."""
    return run(Runs(scenario, policy, np.random.default_rng(seed), runs))


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
