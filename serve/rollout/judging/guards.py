"""Guards of live requests: kinds of events that the candidate must not have more often than the baseline."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from serve.rollout.evidence.evalues import (
    Array,
    log_mismatch,
    log_rate_above,
    log_rate_below,
    log_ratio_above,
    log_ratio_below,
    log_sum,
)
from serve.rollout.evidence.evidence import Events, Pair, Segment
from serve.rollout.evidence.stalls import log_endless, log_more, waits
from serve.rollout.judging.clusters import log_above, log_below
from serve.rollout.judging.counts import UNNOTICED, Counts, Recent, shares_of, trials_of
from serve.rollout.judging.guard_figure import INTERVAL_ALPHA, Figure, tidy
from serve.rollout.state.policy import AccuracyGuard, ErrorGuard, LatencyGuard, QuantileGuard

# The possible ends of an interval of ratios: 10^-3 to 10^3, 20 per factor of 10.
_RATIOS = np.logspace(-3, 3, 121)
_INTERVAL = np.log(2 / INTERVAL_ALPHA)
# A correct split looks broken once in this many rollouts.
_MISMATCH_ODDS = 1000


def harm(guard: ErrorGuard | QuantileGuard | AccuracyGuard, counts: Counts) -> Array:
    """Log evidence that the candidate's rate is above both `harm` times the baseline's and `allowed`, or that
    it stalls more often, or that a stall does not end.

    A rate is harm only if both conditions hold, so its evidence is the smaller of two e-values. Several kinds
    of evidence are combined by a weighted mean of e-values (an e-value again); the rate has half of the
    weight.

    Args:
        guard: the limits of the policy.
        counts: events and requests, [..., segment].

    Returns:
        Log e-values, [...].
    """
    rate = _rate_harm(guard, counts)
    if counts.recent is None or counts.stalls is None:
        return rate
    others = [_recent_harm(guard, counts.recent), log_more(counts.stalls), log_endless(counts.stalls)]
    other = log_sum(np.stack(others, -1)) - math.log(len(others))
    return np.asarray(np.logaddexp(rate, other) - math.log(2))


def _rate_harm(guard: ErrorGuard | QuantileGuard | AccuracyGuard, counts: Counts) -> Array:
    """For the fixed limit, a rate above both `excess` times the baseline's and `rare` is harm as well; the
    two e-values are averaged."""
    events, trials = counts.single
    evidence = np.minimum(_above(counts, guard.harm), log_rate_above(events, trials, guard.allowed))
    if not isinstance(guard, LatencyGuard) or guard.excess is None:
        return evidence
    excess = max(guard.excess, guard.tolerance)
    often = np.minimum(_above(alike(counts), excess), log_rate_above(events, trials, guard.rare))
    return np.asarray(np.logaddexp(evidence, often) - np.log(2))


def _above(counts: Counts, ratio: float) -> Array:
    evidence = log_ratio_above(*counts.noticed, ratio)
    return evidence if counts.keyed is None else evidence + log_above(counts.keyed, ratio)


def _below(counts: Counts, ratio: float) -> Array:
    evidence = log_ratio_below(*counts.drawn, ratio)
    return evidence if counts.keyed is None else evidence + log_below(counts.keyed, ratio)


def _recent_harm(guard: ErrorGuard | QuantileGuard | AccuracyGuard, recent: Recent) -> Array:
    """The evidence since each of the marks, combined."""
    candidate = np.maximum(recent.candidate - UNNOTICED, 0.0)
    both = recent.both - recent.candidate + candidate
    drawn = [candidate / recent.dispersion, both / recent.dispersion, recent.share]
    first, second, share = (each[..., None] for each in drawn)
    rate = log_rate_above(recent.candidate, recent.trials, guard.allowed)
    evidence = np.minimum(log_ratio_above(first, second, share, guard.harm), rate)
    return log_sum(evidence + recent.log_parts)


def safety(guard: ErrorGuard | QuantileGuard | AccuracyGuard, counts: Counts) -> Array:
    """Log evidence that the rate is below `tolerance` times the baseline's, or below `allowed`.

    Either is enough, so the two e-values are averaged. The second one assumes independent requests, so a calm
    period between bursts may pass; the minimum time of a step is meant for this. For the fixed limit, a rate
    below `allowed` must also be below `excess` times the baseline's, unless it is below `rare`.

    Args:
        guard: the limits of the policy.
        counts: events and requests, [..., segment].

    Returns:
        Log e-values, [...].
    """
    events, trials = counts.single
    ratio = _below(counts, guard.tolerance)
    rate = log_rate_below(events, trials, guard.allowed)
    if not isinstance(guard, LatencyGuard) or guard.excess is None:
        return np.asarray(np.logaddexp(ratio, rate) - np.log(2))
    rate = np.minimum(rate, _below(alike(counts), max(guard.excess, guard.tolerance)))
    rare = log_rate_below(events, trials, guard.rare)
    return np.asarray(np.logaddexp(np.logaddexp(ratio, rate), rare) - np.log(3))


def alike(counts: Counts) -> Counts:
    """The counts of segments in which the candidate had at most half of the traffic. The variant with more
    traffic has the longer queue, and a small rate over a limit soon triples."""
    even = counts.shares <= 1 / 2
    return replace(
        counts, candidate=np.where(even, counts.candidate, 0.0), both=np.where(even, counts.both, 0.0)
    )


def watch(
    name: str,
    guard: ErrorGuard | QuantileGuard | AccuracyGuard,
    segments: Sequence[Segment],
    kind: str,
    counts: Counts,
) -> Figure:
    """The result of `guard` for events of this kind, without its thresholds."""
    low, high = _interval(counts)
    ratio = _estimate(counts)
    seen = _seen(segments, kind)
    if math.isfinite(ratio):
        seen += f", {ratio:.3g} times as often [{low:.3g}, {high:.3g}]"
    seen += _stall_said(counts, segments, kind)
    return Figure(
        guard=name,
        seen=seen,
        estimate=tidy(ratio),
        low=tidy(low),
        high=tidy(high),
        harm=tidy(min(float(harm(guard, counts)), 1e6)),
        safe=tidy(min(float(safety(guard, counts)), 1e6)),
        waits=_waiting(counts),
    )


def _waiting(counts: Counts) -> str | None:
    """Why the rollout should not progress although no harm is shown."""
    stalls = counts.stalls
    if stalls is None or not waits(stalls):
        return None
    if stalls.lasted_s > 0:
        return f"the candidate has been stalling for {float(stalls.lasted_s):,.0f} s"
    baseline, candidate = stalls.ended
    return f"the candidate stalled {candidate:.0f} times, the baseline {baseline:.0f} times"


def _stall_said(counts: Counts, segments: Sequence[Segment], kind: str) -> str:
    """Describe the excluded stall with the most events."""
    if counts.worst is None:
        return ""
    events, lasted_s, variant = max(counts.worst.tolist(), key=lambda each: each[0])
    whose = ("baseline", "candidate")[int(variant)]
    total = sum(getattr(getattr(segment, kind), whose) for segment in segments)
    if not events or not total:
        return ""
    share = min(events / total, 1)
    return f"; one burst of {lasted_s:,.0f} s has {share:.0%} of the {whose}'s events and is excluded"


def watch_split(segments: Sequence[Segment]) -> Figure:
    """Test whether the candidate's share of the requests is the configured one. Sticky keys are left out."""
    drawn = [segment for segment in segments if not segment.sticky]
    candidate = np.array([segment.requests.candidate for segment in drawn], float)
    both = np.array([segment.requests.both for segment in drawn], float)
    shares = shares_of(drawn)
    return Figure(
        guard="split",
        seen=f"the candidate got {candidate.sum():,.0f} of {both.sum():,.0f} requests, expected "
        f"{shares @ both:,.0f}",
        harm=tidy(min(float(log_mismatch(candidate, both, shares)), 1e6)),
        harm_at=tidy(math.log(_MISMATCH_ODDS)),
    )


def _seen(segments: Sequence[Segment], kind: str) -> str:
    events, trials = ([getattr(segment, name) for segment in segments] for name in (kind, trials_of(kind)))
    candidate, baseline = (_rate(events, trials, variant) for variant in ("candidate", "baseline"))
    return f"{candidate} against {baseline} of the baseline's"


def _rate(events: Sequence[Events], trials: Sequence[Pair], variant: str) -> str:
    happened = sum(getattr(event, variant) for event in events)
    among = sum(getattr(pair, variant) for pair in trials)
    return f"{happened:,} of {among:,} ({happened / max(among, 1):.2%})"


def _estimate(counts: Counts) -> float:
    """The ratio that predicts the candidate's number of events, as a root."""
    candidate, both, shares = counts.candidate.sum(), counts.both, counts.shares
    informative = (shares > 0) & (shares < 1)
    both, shares = both[informative], shares[informative]
    candidate = counts.candidate[informative].sum()
    if not both.sum() or candidate in (0, both.sum()):
        return 0.0 if both.sum() and not candidate else float("nan")
    # Imported here, because it takes longer to import than everything else that the command line needs.
    from scipy.optimize import brentq

    def beyond(log_ratio: float) -> float:
        return float((both * shares / (shares + (1 - shares) * np.exp(-log_ratio))).sum() - candidate)

    lowest, highest = -20.0, 20.0
    if beyond(lowest) >= 0 or beyond(highest) <= 0:
        return float(np.exp(lowest if beyond(lowest) >= 0 else highest))
    return float(np.exp(brentq(beyond, lowest, highest, xtol=1e-13)))


def _interval(counts: Counts) -> tuple[float, float]:
    """The ratios that are not rejected, at 2.5 % on each side."""
    too_low = _RATIOS[log_ratio_above(*counts.drawn, _RATIOS) >= _INTERVAL]
    too_high = _RATIOS[log_ratio_below(*counts.drawn, _RATIOS) >= _INTERVAL]
    return too_low.max(initial=0.0), too_high.min(initial=np.inf)
