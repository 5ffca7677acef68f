"""What the error guard does with sticky keys: python -m tests.serve.rollout.table --only keys

Users, requests and failures are drawn here one by one, independently of the code under test. The sums by
bucket are arrays (`test_keys_table.py` compares them with those of `Evidence`)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from serve.base.routing import BUCKETS
from serve.rollout.evidence import event_series
from serve.rollout.evidence.calm_rate import calm_rates
from serve.rollout.evidence.evalues import Array
from serve.rollout.evidence.stalls import waits
from serve.rollout.judging.clusters import compare
from serve.rollout.judging.counts import Counts, counts_in
from serve.rollout.judging.guards import harm, safety
from serve.rollout.state.policy import Policy
from tests.serve.rollout.requirements import Cell, Found, Requirement, median_said
from tests.serve.rollout.simulate import GUARDS

# The runs that are compared at a time; more do not fit into a processor's cache.
_AT_ONCE = 5
# How often a failed request is tried again, and the probability that it fails again.
_TRIES, _FAILS_AGAIN = 3, 0.8

POLICY = Policy()
Truths = NDArray[np.bool_]
Whole = NDArray[np.int64]
# The failure rates of each user, drawn for a shape [run, user].
Rates = Callable[[np.random.Generator, tuple[int, int]], Array]
# The failure rates of a candidate with twice the errors, drawn for those of the baseline.
Worse = Callable[[np.random.Generator, Array], Array]


def few(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """One user in a hundred always fails, the others once in a thousand requests."""
    return np.asarray(np.where(rng.random(shape) < 0.01, 1.0, 0.001))


def apart(mean: float) -> Rates:
    """Lognormal between users, with a deviation of 1 in logs."""
    return lambda rng, shape: np.asarray(np.minimum(mean * rng.lognormal(-0.5, 1.0, shape), 1.0))


def twice(_rng: np.random.Generator, rates: Array) -> Array:
    """Each user fails twice as often."""
    return np.minimum(2 * rates, 1.0)


def as_many_more(rng: np.random.Generator, rates: Array) -> Array:
    """Double the rates, and let a further 1 % of the users always fail."""
    return np.asarray(np.where(rng.random(rates.shape) < 0.01, 1.0, np.minimum(2 * rates, 1.0)))


def spread(_rng: np.random.Generator, rates: Array) -> Array:
    """The failures that come on top are anybody's."""
    return np.asarray(np.minimum(rates + rates.mean(), 1.0))


@dataclass(frozen=True, kw_only=True)
class Population:
    """Users whose keys stick."""

    name: str
    users: int
    # Whether the traffic of users falls with their rank, or is equal.
    zipf: bool
    fails: Rates
    # None if the candidate is as good as the baseline.
    worse: Worse | None = None
    # Whether users retry failed requests.
    retries: bool = False
    # How long gateways have counted keys before the rollout.
    past_s: float = 3600.0
    requests_per_s: float = 100.0
    seconds: int = 1800
    look_every_s: int = 5


class KeyedRuns:
    """Rollouts of one such population, through all steps of the default policy; arrays [run]. Cost is taken
    as shown, so that nothing but the errors holds them."""

    def __init__(self, population: Population, rng: np.random.Generator, count: int) -> None:
        self.population, self.rng, self.count = population, rng, count
        self.shares = np.array([POLICY.share_at(step + 1) for step in range(len(POLICY.steps))])
        shape = (count, population.users)
        self.points = rng.random(shape)
        self.fails = np.repeat(population.fails(rng, shape)[None], 2, 0)
        if population.worse is not None:
            self.fails[1] = population.worse(rng, self.fails[0])
        traffic = np.arange(1, population.users + 1) ** -float(population.zipf)
        self._traffic = traffic.cumsum() / traffic.sum()
        self.step = np.zeros(count, np.int64)
        self.entered_s = np.zeros(count, np.int64)
        # -1 if it has not happened.
        self.rolled_back_s = np.full(count, -1)
        self.done_s = np.full(count, -1)
        self.courses = event_series.begin(count, len(self.shares))
        # Requests and failures [2, run, variant, segment, bucket]; the first segment is the time before the
        # rollout.
        self.keys = np.zeros((2, count, 2, len(self.shares) + 1, BUCKETS), np.int32)
        self._recall(traffic / traffic.sum())

    @property
    def alive(self) -> Whole:
        """The runs that are not over."""
        return np.flatnonzero((self.rolled_back_s < 0) & (self.done_s < 0))

    def tick(self, now_s: int) -> None:
        """One second of traffic for the runs that are alive, and a look where it is time for one."""
        alive = self.alive
        self.drawn = run, mine, bucket, failed = self._draw(alive)
        requests, events = (
            np.bincount(2 * run[which] + mine[which], minlength=2 * self.count).reshape(-1, 2)[alive]
            for which in (slice(None), failed)
        )
        self._go_on((alive, self.step[alive]), requests.astype(float), events.astype(float))
        # Keys are not counted during a stall, which has nothing to do with keys.
        steady: Truths = np.asarray((self.courses.lasted == 0).all((-1, -2)))
        for place, which in enumerate((steady[run], steady[run] & failed)):
            at = (run[which], mine[which], self.step[run[which]] + 1, bucket[which])
            np.add.at(self.keys[place], at, 1)
        if now_s % self.population.look_every_s == 0:
            for first in range(0, len(alive), _AT_ONCE):
                self._look(alive[first : first + _AT_ONCE], now_s)

    def counts(self, runs: Whole) -> Counts:
        """Return the counts that the guard gets for these runs."""
        courses = event_series.EventSeries(*(part[runs] for part in self.courses))
        counts = counts_in(courses, 0 * self.shares, self.step[runs], POLICY.guards.stall_s)
        seen = self.step[runs].max() + 2
        requests, events = self.keys[:, runs, :, :seen].astype(float)
        return replace(counts, keyed=compare(requests, events, np.array([0.0, *self.shares])[:seen]))

    def _recall(self, traffic: Array) -> None:
        """What the baseline's gateways have counted before the rollout."""
        rng, population = self.rng, self.population
        buckets = (self.points * BUCKETS).astype(int)
        requests = rng.poisson(traffic * population.requests_per_s * population.past_s, self.points.shape)
        errors = rng.binomial(requests, self.fails[0])
        tried = errors
        for _ in range(_TRIES if population.retries else 0):
            again = rng.binomial(tried, _FAILS_AGAIN)
            requests, errors, tried = requests + tried, errors + again, again
        for run in range(self.count):
            for place, numbers in enumerate((requests, errors)):
                self.keys[place, run, 0, 0] = np.bincount(buckets[run], numbers[run], BUCKETS)

    def _draw(self, alive: Whole) -> tuple[Whole, Whole, Whole, Truths]:
        """Draw the run, the variant, the bucket and the failure of each request of a second."""
        rng = self.rng
        run = np.repeat(alive, rng.poisson(self.population.requests_per_s, len(alive)))
        user = np.searchsorted(self._traffic, rng.random(len(run)))
        point = self.points[run, user]
        mine = (point < self.shares[self.step[run]]).astype(np.int64)
        failed: Truths = np.asarray(rng.random(len(run)) < self.fails[mine, run, user])
        every, place, again = [np.arange(len(run))], np.flatnonzero(failed), [failed]
        for _ in range(_TRIES if self.population.retries else 0):
            still = rng.random(len(place)) < _FAILS_AGAIN
            every.append(place)
            again.append(still)
            place = place[still]
        place = np.concatenate(every)
        bucket = (point[place] * BUCKETS).astype(np.int64)
        return run[place], mine[place], bucket, np.concatenate(again)

    def _go_on(self, at: tuple[Whole, Whole], requests: Array, events: Array) -> None:
        usual = (self.courses.usual_events[at[0]].sum(1), self.courses.usual_requests[at[0]].sum(1))
        now = event_series.EventSeries(*(part[at] for part in self.courses))
        after = event_series.step(now, requests, events, calm_rates(*usual))
        for part, value in zip(self.courses, after, strict=True):
            part[at] = value

    def _look(self, runs: Whole, now_s: int) -> None:
        guard, counts = POLICY.guards.errors, self.counts(runs)
        evidence = harm(guard, counts)
        harmful = evidence >= math.log(GUARDS / (1 - guard.confidence))
        self.rolled_back_s[runs[harmful]] = now_s
        assert counts.stalls is not None
        step, least = self.step[runs], -math.log(1 - POLICY.proof)
        following = np.append([each.share for each in POLICY.steps], 1.0)[step + 1]
        proven = (following <= POLICY.proof_above) | (safety(guard, counts) >= least)
        long_enough = (
            now_s - self.entered_s[runs] >= np.array([each.minimum_s for each in POLICY.steps])[step]
        )
        goes_on = long_enough & proven & (evidence < least) & ~harmful & ~waits(counts.stalls)
        last = step == len(self.shares) - 1
        self.done_s[runs[goes_on & last]] = now_s
        self.step[runs[goes_on & ~last]] += 1
        self.entered_s[runs[goes_on & ~last]] = now_s
        self.courses.alone[runs[goes_on & ~last]] = 0


POPULATIONS = (
    Population(name="2,000 users, 1 % of them always fail", users=2000, zipf=False, fails=few),
    Population(name="2,000 users by Zipf's law, 2 %", users=2000, zipf=True, fails=apart(0.02)),
    Population(name="100 business customers by Zipf's law, 1 %", users=100, zipf=True, fails=apart(0.01)),
    Population(
        name="2,000 users who try again, 2 %", users=2000, zipf=False, fails=apart(0.02), retries=True
    ),
)


def simulate_keys(population: Population, *, runs: int, seed: int) -> KeyedRuns:
    """`runs` rollouts, each until it is over or the time is."""
    simulated = KeyedRuns(population, np.random.default_rng(seed), runs)
    for now_s in range(1, population.seconds + 1):
        if not len(simulated.alive):
            break
        simulated.tick(now_s)
    return simulated


def find(population: Population, runs: int) -> Found:
    """How the rollouts of one population end."""
    ended = simulate_keys(population, runs=runs, seed=11)
    back, done = (seconds[seconds >= 0] for seconds in (ended.rolled_back_s, ended.done_s))
    said = filter(None, [median_said(back, "back"), median_said(done, "promoted")])
    return Found(runs, {"rolled back": len(back), "promoted": len(done)}, "; ".join(said))


def keys_cells(fast: bool) -> Iterator[Cell]:
    """Each population, equal and with twice the errors, with an hour of past and, unless it is fast, without.
    Without one nothing is asked but that none is promoted that is bad."""
    never_on = Requirement("promoted", at_most=0.01)
    for population, past_s in product(POPULATIONS, (3600.0,) if fast else (3600.0, 0.0)):
        kinds: tuple[Worse | None, ...] = (None, twice)
        if population.fails is few:
            kinds = (None, as_many_more, spread)
        for worse in kinds:
            asked: tuple[Requirement, ...] = (Requirement("rolled back", at_most=0.01),)
            if worse is not None:
                asked = (never_on, Requirement("rolled back", at_least=0.99)) if past_s else (never_on,)
            kind = "equal" if worse is None else f"twice the errors ({worse.__name__})"
            scenario = replace(population, worse=worse, past_s=past_s, look_every_s=60 if fast else 5)
            yield Cell(
                group="keys",
                name=f"{population.name}; {kind}; {past_s / 60:g} min of past",
                asked=asked,
                find=partial(find, scenario),
                runs=10 if fast else 1000,
            )
