"""Compare the candidate in and after the last step with the evidence of the earlier steps. Pure.

In the last step few requests go to the baseline, and afterwards none, so a change with the time of day looks
like a fault of the candidate. Harm therefore means a rate above twice the worst earlier rate. Stalls are
excluded, as in the earlier steps (evidence/event_series.py), and are judged by how long they last
(evidence/stalls.py)."""

import math
from collections.abc import Sequence

import numpy as np

from serve.rollout.evidence import event_series
from serve.rollout.evidence.evalues import log_sum, rate_interval
from serve.rollout.evidence.evidence import TRIALS, Evidence, Segment
from serve.rollout.evidence.time_window import WINDOW_S
from serve.rollout.judging.guard_figure import Figure, tidy
from serve.rollout.state.policy import ErrorGuard, Policy, QuantileGuard
from serve.rollout.state.rollout import Rollout

# The factor between the worst earlier rate and harm, because rates vary by as much with the time of day.
_TIMES = 2.0
# The confidence of the intervals of the earlier rates.
_CONFIDENCE = 0.95
SIDES = ("baseline", "candidate")
# One window multiplies the evidence by at most this, so that an outage of a minute is not harm.
_MOST_ODDS = 16.0
# The guards of this kind, which share the error probability of one.
LATELY = ("errors lately", "latency lately")


def recent_figures(rollout: Rollout, evidence: Evidence) -> list[tuple[Figure, float]]:
    """The figures for the last step and the time since, each with the confidence that its harm must reach,
    and without thresholds."""
    windows = tuple(window for window in evidence.lately if window.whole)
    last = len(rollout.policy.steps)
    before = [segment for segment in evidence.segments if segment.step < last]
    here = [segment for segment in evidence.segments if segment.step == last]
    guards, looks = rollout.policy.guards, looks_of(rollout.policy)
    errors = [(window.errors, window.requests) for window in windows]
    latency = [(window.over_limit, window.timed) for window in windows]
    guarded: list[tuple[str, ErrorGuard | QuantileGuard, str, list[tuple[int, int]]]] = [
        (LATELY[0], guards.errors, "errors", errors),
        (LATELY[1], guards.latency, "over_limit", latency),
    ]
    if not windows or not before:
        return [(Figure(guard=name, seen="no data yet"), guard.confidence) for name, guard, *_ in guarded]
    return [
        (weigh_recent(name, seen, limit_of(kind, guard, before, here), looks), guard.confidence)
        for name, guard, kind, seen in guarded
    ]


def weigh_recent(name: str, seen: Sequence[tuple[int, int]], limit: float, looks: float) -> Figure:
    """Evidence that the recent rate is above `limit`: the sum of bets that begin with each window.

    Each window multiplies a bet's payoff by 1 + (rate - limit) / (2 * limit). If the rate is at most
    `limit`, this is at most 1 on average, whatever the dependence within the window (Waudby-Smith & Ramdas,
    arXiv:2010.09686). The sum over the bets is an e-detector (Shin, Ramdas & Rinaldo, arXiv:2203.03532): over
    `looks` windows it reaches x with a probability of at most `looks` / x, so the evidence is divided by
    `looks`.

    Args:
        name: the guard.
        seen: (events, requests) of each window, oldest first.
        limit: the rate that is no harm, 0 to 1.
        looks: the number of windows in the whole rollout.

    Returns:
        A figure whose text describes the time since the best bet began.
    """
    gains = [
        math.log(min(1 + (events / trials - limit) / (2 * limit), _MOST_ODDS)) if trials else 0.0
        for events, trials in seen
    ]
    # The payoff of the bet that began with each window.
    payoffs = np.cumsum(gains[::-1])[::-1]
    start = int(payoffs.argmax())
    events, trials = (sum(counts) for counts in zip(*seen[start:], strict=True))
    rate, minutes = events / max(trials, 1), (len(seen) - start) * WINDOW_S / 60
    return Figure(
        guard=name,
        seen=f"{events:,} of {trials:,} ({rate:.2%}) in the last {minutes:g} min, allowed up to {limit:.2%} "
        "by the earlier steps",
        estimate=tidy(rate / limit),
        harm=tidy(float(log_sum(payoffs)) - math.log(looks)),
    )


def limit_of(
    kind: str, guard: ErrorGuard | QuantileGuard, before: Sequence[Segment], here: Sequence[Segment]
) -> float:
    """The highest rate that is no harm: from both variants' earlier rates, and the baseline's present
    rate."""
    rates = [_interval(kind, before, side)[1] for side in SIDES]
    return max(_TIMES, guard.tolerance) * max(*rates, _interval(kind, here, "baseline")[0]) + guard.allowed


def _interval(kind: str, segments: Sequence[Segment], side: str) -> tuple[float, float]:
    """The interval of one variant's rate; (0, 0) if it had no requests."""
    seen = [_seen(kind, segment, side) for segment in segments]
    happened, trials = (sum(counts) for counts in zip(*seen, strict=True)) if seen else (0.0, 0.0)
    return rate_interval(happened, trials, 1 - _CONFIDENCE) if trials else (0.0, 0.0)


def _seen(kind: str, segment: Segment, side: str) -> tuple[float, float]:
    """One variant's events and requests, without stalls if these are known."""
    if numbers := segment.courses.get(kind, ()):
        series, variant = event_series.unpack([numbers]), SIDES.index(side)
        return float(series.events[0, variant]), float(series.requests[0, variant])
    return getattr(getattr(segment, kind), side), getattr(getattr(segment, TRIALS[kind]), side)


def looks_of(policy: Policy) -> float:
    """The largest possible number of windows."""
    return max((policy.maximum_s + policy.watch_s) / WINDOW_S, 1.0)
