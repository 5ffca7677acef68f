"""Watching: the candidate in the last step and after it, against what was seen in the steps before. Pure.

At most a few requests still go to the baseline, and after the last step none: nothing tells the candidate's
faults from the hour's. So more than a little must be wrong: the rate must be above twice the worse of the
earlier ones. Stalls are set apart, as in the earlier steps (evidence/course.py): they are
judged by how long they last (evidence/stalls.py)."""

import math
from collections.abc import Sequence

import numpy as np

from serve.rollout.evidence import course
from serve.rollout.evidence.evalues import log_sum, rate_interval
from serve.rollout.evidence.evidence import TRIALS, Evidence, Segment
from serve.rollout.evidence.stretch import STRETCH_S
from serve.rollout.judging.guard_figure import Figure, tidy
from serve.rollout.state.policy import ErrorGuard, Policy, QuantileGuard
from serve.rollout.state.rollout import Rollout

# The rate that is still no harm, as a multiple of the worse of the earlier ones: hours differ by as much.
_TIMES = 2.0
# How sure the ends of the earlier rates' intervals are.
_CONFIDENCE = 0.95
SIDES = ("baseline", "candidate")
# One stretch alone multiplies the odds by at most this: an outage of a minute shows no harm.
_MOST_ODDS = 16.0
# The guards of this kind, which share the odds of one.
LATELY = ("errors lately", "latency lately")


def watch_lately(rollout: Rollout, evidence: Evidence) -> list[tuple[Figure, float]]:
    """What is found in the last step and since, each with how sure harm must be; what it must reach is still
    open. Nothing before it has lasted for a stretch."""
    stretches = tuple(stretch for stretch in evidence.lately if stretch.whole)
    last = len(rollout.policy.steps)
    before = [segment for segment in evidence.segments if segment.step < last]
    here = [segment for segment in evidence.segments if segment.step == last]
    guards, looks = rollout.policy.guards, looks_of(rollout.policy)
    errors = [(stretch.errors, stretch.requests) for stretch in stretches]
    latency = [(stretch.over_limit, stretch.timed) for stretch in stretches]
    watched: list[tuple[str, ErrorGuard | QuantileGuard, str, list[tuple[int, int]]]] = [
        (LATELY[0], guards.errors, "errors", errors),
        (LATELY[1], guards.latency, "over_limit", latency),
    ]
    if not stretches or not before:
        return [(Figure(guard=name, seen="nothing yet"), guard.confidence) for name, guard, *_ in watched]
    return [
        (weigh_lately(name, seen, limit_of(kind, guard, before, here), looks), guard.confidence)
        for name, guard, kind, seen in watched
    ]


def weigh_lately(name: str, seen: Sequence[tuple[int, int]], limit: float, looks: float) -> Figure:
    """Evidence for "the rate of late is above `limit`": all bets on it, one that begins with each stretch.

    Each stretch multiplies a bet's payoff by 1 + (rate - limit) / (2 * limit). While the rate is at most
    `limit` that is 1 on average, whatever goes together within the stretch (Waudby-Smith & Ramdas,
    arXiv:2010.09686). The sum over the bets is an e-detector (Shin, Ramdas & Rinaldo, arXiv:2203.03532): over
    `looks` stretches it reaches x with probability `looks` / x at most, so its odds are divided by as many.
    Told is what came since the best of them began."""
    gains = [
        math.log(min(1 + (events / trials - limit) / (2 * limit), _MOST_ODDS)) if trials else 0.0
        for events, trials in seen
    ]
    # Of the bet that began with each stretch.
    payoffs = np.cumsum(gains[::-1])[::-1]
    start = int(payoffs.argmax())
    events, trials = (sum(counts) for counts in zip(*seen[start:], strict=True))
    rate, minutes = events / max(trials, 1), (len(seen) - start) * STRETCH_S / 60
    return Figure(
        guard=name,
        seen=f"{events:,} of {trials:,} ({rate:.2%}) in the last {minutes:g} min, where by the steps before "
        f"up to {limit:.2%} are no harm",
        estimate=tidy(rate / limit),
        harm=tidy(float(log_sum(payoffs)) - math.log(looks)),
    )


def limit_of(
    kind: str, guard: ErrorGuard | QuantileGuard, before: Sequence[Segment], here: Sequence[Segment]
) -> float:
    """The rate that is no harm: by what either variant may have had before, or the baseline must have now."""
    rates = [_interval(kind, before, side)[1] for side in SIDES]
    return max(_TIMES, guard.tolerance) * max(*rates, _interval(kind, here, "baseline")[0]) + guard.allowed


def _interval(kind: str, segments: Sequence[Segment], side: str) -> tuple[float, float]:
    """The rates that one variant may have, as seen; (0, 0): it had no requests."""
    seen = [_seen(kind, segment, side) for segment in segments]
    happened, trials = (sum(counts) for counts in zip(*seen, strict=True)) if seen else (0.0, 0.0)
    return rate_interval(happened, trials, 1 - _CONFIDENCE) if trials else (0.0, 0.0)


def _seen(kind: str, segment: Segment, side: str) -> tuple[float, float]:
    """One variant's events and requests outside of stalls, where it is known which those are."""
    if numbers := segment.courses.get(kind, ()):
        found, variant = course.unpack([numbers]), SIDES.index(side)
        return float(found.events[0, variant]), float(found.requests[0, variant])
    return getattr(getattr(segment, kind), side), getattr(getattr(segment, TRIALS[kind]), side)


def looks_of(policy: Policy) -> float:
    """How many stretches there are at most."""
    return max((policy.maximum_s + policy.watch_s) / STRETCH_S, 1.0)
