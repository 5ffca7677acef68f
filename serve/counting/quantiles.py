"""Quantiles: a variant's latency over the recent past, and over a past without its incidents. Pure.

A history is a variant's latencies so far at several times, oldest first; they only grow."""

from collections.abc import Sequence
from statistics import median

from serve.counting.tally import Histogram

# Milliseconds for the p50, the p95 and the p99; None: it is not known yet.
Limits = tuple[float | None, float | None, float | None]
NO_LIMITS: Limits = (None, None, None)
History = Sequence[tuple[float, Histogram]]

# What is compared of both variants at the same time.
QUANTILES = (0.5, 0.95, 0.99)
NAMES = ("p50", "p95", "p99")
# A quantile rests on so many requests beyond it.
_BEYOND = 10
# The recent past is so long, and longer where that is too few requests.
_RECENT_S = 60.0
# What is steady is steady over blocks so long, each with a request or more beyond the quantile; fewer blocks
# than three say nothing.
_BLOCK_S = 60.0
_LEAST_BLOCKS = 3
# Two thirds of them lie within this factor of the middle one.
_STEADY = 2.0
_MOST = 2 / 3


def recent_ms(history: History, q: float) -> float | None:
    """The q-quantile over the last minute, or over as much more as it takes to know it; None: there is not
    enough."""
    if len(history) < 2:
        return None
    end_s, last = history[-1]
    for at_s, first in reversed(history[:-1]):
        if end_s - at_s < _RECENT_S and at_s > history[0][0]:
            continue
        latency = between(first, last)
        if latency.count * (1 - q) >= _BEYOND - 1e-9:
            return latency.quantile_ms(q)
    return None


def steady_ms(history: History, q: float) -> float | None:
    """The middle one of the q-quantiles of the past's blocks, so that an incident in a few of them counts for
    nothing; None: there is not enough, or it was not steady."""
    if len(history) < 2:
        return None
    whole = between(history[0][1], history[-1][1])
    if whole.count * (1 - q) < _BEYOND - 1e-9:
        return None
    blocks = _blocks(history, q)
    middle = median(blocks) if blocks else 0.0
    alike = sum(middle / _STEADY <= block <= middle * _STEADY for block in blocks)
    return middle if len(blocks) >= _LEAST_BLOCKS and alike >= _MOST * len(blocks) else None


def limits_of(
    history: History, steady: Limits, share: float, *, times_baseline: float, plus_ms: float
) -> Limits:
    """The limits to announce from now on: so many times the baseline's quantiles, or so much more.

    A variant with more of the traffic waits longer in its queue. While the candidate has the larger part, a
    limit follows the `steady` quantile too, of when the baseline had it all, whichever is the larger; it is
    None where that is not known, for then nothing is alike."""
    limits: list[float | None] = []
    for q, before_ms in zip(QUANTILES, steady, strict=True):
        now_ms = recent_ms(history, q)
        if share > 1 / 2:
            now_ms = None if before_ms is None else max(before_ms, now_ms or 0.0)
        limits.append(None if now_ms is None else max(times_baseline * now_ms, now_ms + plus_ms))
    return limits[0], limits[1], limits[2]


def between(first: Histogram, last: Histogram) -> Histogram:
    """What came in between; counts that fell are those of gateways that were started anew."""
    latency = Histogram()
    latency.buckets = [max(now - then, 0) for then, now in zip(first.buckets, last.buckets, strict=True)]
    return latency


def _blocks(history: History, q: float) -> list[float]:
    """The quantile of each block; what is left at the end is too short for one."""
    quantiles: list[float] = []
    start_s, first = history[0]
    for at_s, now in history[1:]:
        latency = between(first, now)
        if at_s - start_s >= _BLOCK_S - 1e-9 and latency.count * (1 - q) >= 1 - 1e-9:
            quantile = latency.quantile_ms(q)
            assert quantile is not None
            quantiles.append(quantile)
            start_s, first = at_s, now
    return quantiles
