"""Watching: the candidate in the last step and after it, against what was seen in the steps before. Pure.

At most a few requests still go to the baseline, and after the last step none: nothing tells the candidate's
faults from the hour's. So more than a little must be wrong: the rate must be above twice the worse of the
earlier ones, and for longer than the stall of a host lasts."""

import math
from collections.abc import Sequence

from serve.rollout.evidence import Events, Evidence, Pair, Segment
from serve.rollout.figure import Figure, tidy
from serve.rollout.policy import ErrorGuard, Policy, QuantileGuard
from serve.rollout.rollout import Rollout
from serve.rollout.sequential import rate_interval
from serve.rollout.stretch import STRETCH_S

# The rate that is still no harm, as a multiple of the worse of the earlier ones: hours differ by as much.
_TIMES = 2.0
# How sure the ends of the earlier rates' intervals are.
_CONFIDENCE = 0.95
# One stretch alone multiplies the odds by at most this: an outage of a minute shows no harm.
_MOST_ODDS = 16.0
_GUARDS = 2


def watch_lately(rollout: Rollout, evidence: Evidence) -> tuple[Figure, ...]:
    """What is found in the last step and since; nothing before it has lasted for a stretch."""
    stretches = tuple(stretch for stretch in evidence.lately if stretch.whole)
    last = len(rollout.policy.steps)
    before = [segment for segment in evidence.segments if segment.step < last]
    if not stretches or not before:
        return ()
    here = [segment for segment in evidence.segments if segment.step == last]
    guards, looks = rollout.policy.guards, _looks(rollout.policy)
    errors = [(stretch.errors, stretch.requests) for stretch in stretches]
    latency = [(stretch.over_limit, stretch.timed) for stretch in stretches]
    return (
        _weigh("errors", guards.errors, errors, _limit("errors", guards.errors, before, here), looks),
        _weigh("latency", guards.latency, latency, _limit("over_limit", guards.latency, before, here), looks),
    )


def _weigh(
    name: str, guard: ErrorGuard | QuantileGuard, seen: Sequence[tuple[int, int]], limit: float, looks: float
) -> Figure:
    """Evidence for "the rate of late is above `limit`": the best bet on it that began with any stretch.

    Each stretch multiplies a bet's payoff by 1 + (rate - limit) / (2 * limit). While the rate is at most
    `limit` that is 1 on average, whatever goes together within the stretch (Waudby-Smith & Ramdas,
    arXiv:2010.09686). The best of those begun since the first is an e-detector (Shin, Ramdas & Rinaldo,
    arXiv:2203.03532): over `looks` stretches it reaches x with probability `looks` / x at most."""
    gains = [
        math.log(min(1 + (events / trials - limit) / (2 * limit), _MOST_ODDS)) if trials else 0.0
        for events, trials in seen
    ]
    best, start, total = 0.0, 0, 0.0
    for place in reversed(range(len(gains))):
        total += gains[place]
        if total > best:
            best, start = total, place
    events, trials = (sum(counts) for counts in zip(*seen[start:], strict=True))
    rate, minutes = events / max(trials, 1), (len(seen) - start) * STRETCH_S / 60
    return Figure(
        guard=f"{name} lately",
        seen=f"{events:,} of {trials:,} ({rate:.2%}) in the last {minutes:g} min, where by the steps before "
        f"up to {limit:.2%} are no harm",
        estimate=tidy(rate / limit),
        harm=tidy(best),
        harm_at=tidy(math.log(looks * _GUARDS / (1 - guard.confidence))),
    )


def _limit(
    kind: str, guard: ErrorGuard | QuantileGuard, before: Sequence[Segment], here: Sequence[Segment]
) -> float:
    """The rate that is no harm: by what either variant may have had before, or the baseline must have now."""
    rates = [_interval(kind, before, side)[1] for side in Pair.model_fields]
    return max(_TIMES, guard.tolerance) * max(*rates, _interval(kind, here, "baseline")[0]) + guard.allowed


def _interval(kind: str, segments: Sequence[Segment], side: str) -> tuple[float, float]:
    """The rates that one variant may have, as seen; (0, 0): it had no requests."""
    events: list[Events] = [getattr(segment, kind) for segment in segments]
    among = [segment.requests if kind == "errors" else segment.timed for segment in segments]
    trials = sum(getattr(pair, side) for pair in among)
    happened = sum(getattr(event, side) for event in events)
    return rate_interval(happened, trials, 1 - _CONFIDENCE) if trials else (0.0, 0.0)


def _looks(policy: Policy) -> float:
    """How many stretches there are at most."""
    return max((policy.maximum_s + policy.watch_s) / STRETCH_S, 1.0)
