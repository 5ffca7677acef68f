"""Latency: whether the candidate's requests take longer than the baseline's at the same time. Pure.

The baseline's p50, p95 and p99 of the last minutes, times what the policy tolerates, are announced as limits,
and each request is held against those in force when it was admitted. So the limit of a request is known
before its latency is, and given the limit it is chance alone which of two equal variants a request over it
went to: the labels are exchangeable, whatever the limit is, and whatever slows both down together.
That makes the comparison of rates exact at every look (conditional on a predictable limit; extends Lindon &
Malek, arXiv:2011.03567). That more than 1 - q of the candidate's requests are over says that its q-quantile
is above the limit, which is how Howard & Ramdas, arXiv:1906.09712, bound a quantile.

Beside them stands one limit that is fixed before the first step."""

from collections.abc import Iterable, Sequence

from serve.counting.quantiles import NAMES, QUANTILES
from serve.rollout.evidence.evidence import Pair, Segment
from serve.rollout.judging.watched import Watched
from serve.rollout.state.policy import LatencyGuard
from serve.rollout.state.rollout import Rollout

# The guards of latency, which share the odds of one.
LATENCIES = ("latency", *NAMES)
# In units of the requests that it takes to see one beyond the quantile: what two equal variants need, half of
# the requests each, to be shown safe against limits at 1.25 times the baseline's quantiles.
_NEEDED = 60
# The limit that stays asks for a comparison of the two rates, which are some quarter of what is allowed.
_NEEDED_TO_COMPARE = 400
_NO_LIMIT = "no fixed limit: the baseline's quantile was not known, or not steady, before the first step"


def watch_latencies(rollout: Rollout, segments: Sequence[Segment]) -> list[Watched]:
    """The limit that stays, then those of the quantiles."""
    guard = rollout.policy.guards.latency
    stays = Watched(
        name="latency",
        guard=guard,
        kind="over_limit",
        unknown=_NO_LIMIT if rollout.limit_ms is None else "",
        asked=guard.limit_ms is not None or _in_reach(rollout, segments, _NEEDED_TO_COMPARE / guard.allowed),
    )
    return [stays, *(_quantile(rollout, segments, name, q) for name, q in zip(NAMES, QUANTILES, strict=True))]


def nothing_known(watched: Iterable[Watched]) -> bool:
    """Whether nothing could be said of latency so far."""
    return all(each.unknown for each in watched if each.name in LATENCIES)


def _quantile(rollout: Rollout, segments: Sequence[Segment], name: str, q: float) -> Watched:
    guard: LatencyGuard = rollout.policy.guards.latency
    trials: list[Pair] = [getattr(segment, f"timed_{name}") for segment in segments]
    return Watched(
        name=name,
        guard=guard.at(q),
        kind=f"over_{name}",
        said=f"over {guard.times_baseline:g} times the baseline's {name}: ",
        unknown="" if any(pair.both for pair in trials) else f"the baseline's {name} is not known yet",
        asked=_in_reach(rollout, segments, _NEEDED / (1 - q)),
    )


def _in_reach(rollout: Rollout, segments: Sequence[Segment], needed: float) -> bool:
    """Whether so many requests come in the policy's time, as often as they came so far."""
    if not segments:
        return True
    came_s = max(segment.ended_s for segment in segments) - min(segment.started_s for segment in segments)
    requests = sum(segment.requests.both for segment in segments)
    return requests * rollout.policy.maximum_s >= needed * came_s
