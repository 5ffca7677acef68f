"""What a correct load tester must report of a known server: bounds with their derivations.

Lower bounds hold on any machine, because delays only make answers later. Upper bounds have room for a
machine that other programs share; CHANCE is the probability that the random arrivals alone violate a
bound."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, poisson

CHANCE = 1e-6
# An overloaded machine may add this much to a latency; a wrong unit would add more.
SLACK_MS = 10_000.0
_RUNS = 2000


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Both ends belong to it."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def arrivals(rate_per_s: float, duration_s: float) -> Bounds:
    """How many requests a Poisson stream sends: the quantiles of its count."""
    low, high = poisson.ppf([CHANCE / 2, 1 - CHANCE / 2], rate_per_s * duration_s)
    return Bounds(low=float(low), high=float(high))


def events(share: float, requests: int) -> Bounds:
    """How many of `requests` meet what befalls each with probability `share`, independently: binomial."""
    low, high = binom.ppf([CHANCE / 2, 1 - CHANCE / 2], requests, share)
    return Bounds(low=float(low), high=float(high))


def latency_ms(service_ms: float) -> Bounds:
    """A quantile of requests that take `service_ms` side by side: no answer comes earlier."""
    return Bounds(low=service_ms, high=service_ms + SLACK_MS)


def stalled_p99_ms(rate_per_s: float, duration_s: float, stall_s: float) -> float:
    """Return a lower bound of the p99 when the server stalls once, for `stall_s`.

    A request that arrives u seconds after the stall began waits stall_s - u. The requests of the first
    stall_s - w seconds wait more than w; their number is Poisson with the mean rate * (stall_s - w). The
    p99 is at least w if they are more than 1 % of all requests, whose number is Poisson, too. The bound is
    the largest w at which both hold, except with probability CHANCE. A tester that waits for an answer
    before it sends again sees one slow request per user instead, which does not reach the p99 of more than
    100 requests."""
    needed = math.floor(arrivals(rate_per_s, duration_s).high / 100) + 1
    waits = np.linspace(0, stall_s, 1001)
    too_few = poisson.cdf(needed - 1, rate_per_s * (stall_s - waits))
    assert too_few[0] <= CHANCE, "too few requests, or too long a run, for the stall to show in its p99"
    return float(waits[too_few <= CHANCE][-1] * 1000)


def queue_mean_ms(rate_per_s: float, per_s: float, duration_s: float) -> Bounds:
    """The mean latency of Poisson arrivals before one worker that takes exactly 1 / per_s: M/D/1.

    In the long run it is service * (1 + rho / (2 * (1 - rho))), Pollaczek and Khinchine. A short run that
    begins with an empty queue strays from that, so the bounds are the least and the greatest mean of _RUNS
    simulated runs, a tenth further out."""
    means = simulate_queue(rate_per_s, per_s, duration_s).mean(axis=1) * 1000
    return Bounds(low=float(means.min()) * 0.9, high=float(means.max()) * 1.1 + SLACK_MS)


def simulate_queue(rate_per_s: float, per_s: float, duration_s: float) -> NDArray[np.float64]:
    """Latencies in seconds, shape [run, request]; Lindley's recursion, unrolled: request k is done at
    max over j <= k of (arrival j + (k - j + 1) * service)."""
    requests = round(rate_per_s * duration_s)
    rng = np.random.default_rng(0)
    came = np.cumsum(rng.exponential(1 / rate_per_s, (_RUNS, requests)), axis=1)
    served = np.arange(requests) / per_s
    begun = np.maximum.accumulate(came - served, axis=1) + served
    return begun + 1 / per_s - came


def capacity_per_s(per_s: float) -> Bounds:
    """The highest rate that a server of exactly `per_s` can be said to bear. Above it answers pile up without
    end; below it evenly sent requests do not wait. It is searched as finely as a twentieth, and one more
    below is for a machine that now and then stands still."""
    return Bounds(low=per_s / 1.05**2, high=per_s * 1.05)
