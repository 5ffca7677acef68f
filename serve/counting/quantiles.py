"""Latency quantiles of a variant over the recent past, and over a longer past without incidents.

A history is a list of a variant's cumulative latency histograms with their times, oldest first."""

from collections.abc import Sequence
from statistics import median

from serve.counting.tally import Histogram

# Milliseconds for p50, p95 and p99; None: not known yet.
Limits = tuple[float | None, float | None, float | None]
NO_LIMITS: Limits = (None, None, None)
History = Sequence[tuple[float, Histogram]]

# The quantiles that are compared between both variants.
QUANTILES = (0.5, 0.95, 0.99)
NAMES = ("p50", "p95", "p99")
# A quantile needs at least this many requests beyond it.
_BEYOND = 10
# The length of the recent past; longer if it has too few requests.
_RECENT_S = 60.0
# Steadiness is measured over blocks of this length, each with at least one request beyond the quantile. Fewer
# than three blocks are not enough.
_BLOCK_S = 60.0
_LEAST_BLOCKS = 3
# The past is steady if two thirds of the blocks are within this factor of the median.
_STEADY = 2.0
_MOST = 2 / 3


def recent_ms(history: History, q: float) -> float | None:
    """The q-quantile over the last minute, or over the shortest longer time with enough requests; None if
    there are not enough."""
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
    """The median of the q-quantiles of the past's blocks, so that an incident in a few blocks has no effect;
    None if there are too few requests, or the past was not steady."""
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
    """The limits to announce: the baseline's quantiles times `times_baseline`, or plus `plus_ms` if that is
    more.

    A variant with more traffic has a longer queue. While the candidate has the larger share, a limit is at
    least the `steady` quantile from the time when the baseline had all traffic. If that is not known, the
    limit is None, because the two variants cannot be compared."""
    limits: list[float | None] = []
    for q, before_ms in zip(QUANTILES, steady, strict=True):
        now_ms = recent_ms(history, q)
        if share > 1 / 2:
            now_ms = None if before_ms is None else max(before_ms, now_ms or 0.0)
        limits.append(None if now_ms is None else max(times_baseline * now_ms, now_ms + plus_ms))
    return limits[0], limits[1], limits[2]


def between(first: Histogram, last: Histogram) -> Histogram:
    """The requests between two readings. Counts that fell belong to gateways that were restarted."""
    latency = Histogram()
    latency.buckets = [max(now - then, 0) for then, now in zip(first.buckets, last.buckets, strict=True)]
    return latency


def _blocks(history: History, q: float) -> list[float]:
    """The quantile of each block; a rest that is too short for a block is ignored."""
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
