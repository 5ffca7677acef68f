"""Test whether the candidate's requests take longer than the baseline's at the same time. Pure.

The baseline's recent p50, p95 and p99, times the policy's tolerance, are announced as limits. Each request is
compared with the limits that were in force when it was admitted, so its limit is known before its latency.
Given the limit, chance alone decides which of two equal variants gets a request over it: the labels are
exchangeable, whatever the limit is, and whatever slows both variants down. The comparison of rates is
therefore exact at every look (conditional on a predictable limit; extends Lindon & Malek, arXiv:2011.03567).
If more than 1 - q of the candidate's requests are over the limit, its q-quantile is above it, as Howard &
Ramdas, arXiv:1906.09712, bound a quantile.

In addition, one limit is fixed before the first step."""

from collections.abc import Iterable, Sequence

from serve.counting.quantiles import NAMES, QUANTILES
from serve.rollout.evidence.evidence import Pair, Segment
from serve.rollout.judging.guarded_metric import GuardedMetric
from serve.rollout.state.policy import LatencyGuard
from serve.rollout.state.rollout import Rollout

# The guards of latency, which share the error probability of one.
LATENCIES = ("latency", *NAMES)
# How many requests beyond the quantile two equal variants with equal shares need to be shown to be safe, with
# limits at 1.25 times the baseline's quantiles.
_NEEDED = 60
# For the fixed limit, both rates must be compared, and they are about a quarter of what is allowed.
_NEEDED_TO_COMPARE = 400
_NO_LIMIT = "no fixed limit: the baseline's quantile was not known, or not steady, before the first step"


def watch_latencies(rollout: Rollout, segments: Sequence[Segment]) -> list[GuardedMetric]:
    """The guard of the fixed limit, then those of the quantiles."""
    guard = rollout.policy.guards.latency
    stays = GuardedMetric(
        name="latency",
        guard=guard,
        kind="over_limit",
        unknown_reason=_NO_LIMIT if rollout.limit_ms is None else "",
        needs_proof=guard.limit_ms is not None
        or _in_reach(rollout, segments, _NEEDED_TO_COMPARE / guard.allowed),
    )
    return [stays, *(_quantile(rollout, segments, name, q) for name, q in zip(NAMES, QUANTILES, strict=True))]


def without_data(metrics: Iterable[GuardedMetric]) -> bool:
    """Whether nothing is known about latency so far."""
    return all(metric.unknown_reason for metric in metrics if metric.name in LATENCIES)


def _quantile(rollout: Rollout, segments: Sequence[Segment], name: str, q: float) -> GuardedMetric:
    guard: LatencyGuard = rollout.policy.guards.latency
    trials: list[Pair] = [getattr(segment, f"timed_{name}") for segment in segments]
    return GuardedMetric(
        name=name,
        guard=guard.at(q),
        kind=f"over_{name}",
        description=f"over {guard.times_baseline:g} times the baseline's {name}: ",
        unknown_reason="" if any(pair.both for pair in trials) else f"the baseline's {name} is not known yet",
        needs_proof=_in_reach(rollout, segments, _NEEDED / (1 - q)),
    )


def _in_reach(rollout: Rollout, segments: Sequence[Segment], needed: float) -> bool:
    """Whether this many requests come within the policy's time, at the present rate."""
    if not segments:
        return True
    came_s = max(segment.ended_s for segment in segments) - min(segment.started_s for segment in segments)
    requests = sum(segment.requests.both for segment in segments)
    return requests * rollout.policy.maximum_s >= needed * came_s
