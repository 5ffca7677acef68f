"""Aggregates the samples of a run into reports on each variant, the timeline and the sender."""

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrik

from loadtests.load_timeline import LoadTimeline, VariantTimeline
from loadtests.report import SenderReport
from loadtests.sending.measurement import Measurement
from loadtests.sending.samples import Samples
from loadtests.variant_report import Interval, VariantReport

# The row for errors on requests that followed the split, for which the variant is not known.
UNKNOWN = "unknown"
LATENCY_CONFIDENCE = 0.95
_WINDOWS = 30


def split_by_variant(samples: Samples, expected: Iterable[str]) -> dict[str, Samples]:
    """Return the samples by variant; samples whose variant is not known are under UNKNOWN."""
    names = dict.fromkeys([*expected, *samples.names])
    variants = {name: samples.of(name) for name in names}
    nobody = samples.where((samples.variant < 0) & (samples.pinned < 0))
    return variants | ({UNKNOWN: nobody} if len(nobody) else {})


def describe(samples: Samples, limit_ms: float | None, answered_by_all: int) -> VariantReport:
    """Summarize the samples of one variant."""
    timed = np.sort(samples.latency_ms[samples.timed])
    right = int(samples.right.sum())
    p50_ms, p95_ms, p99_ms = (estimate_quantile(timed, q) for q in (0.5, 0.95, 0.99))
    return VariantReport(
        requests=len(samples),
        errors=len(samples) - right,
        over_limit=None if limit_ms is None else int((over_limit(samples, limit_ms)).sum()),
        share_served=right / answered_by_all if answered_by_all else 0.0,
        mean_ms=float(timed.mean()) if len(timed) else None,
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        p99_ms=p99_ms,
        curve=_curve(timed),
    )


def over_limit(samples: Samples, limit_ms: float) -> NDArray[np.bool_]:
    """Return a mask of the samples that were later than the limit or never answered."""
    return samples.unanswered | (samples.right & (samples.latency_ms > limit_ms))


def estimate_quantile(values: NDArray[np.float64], q: float) -> Interval | None:
    """Estimate the q-quantile of sorted values, with its interval by order statistics.

    The estimate is one of the values. The number of values below the true quantile is binomial, which gives
    the ranks of the bounds."""
    n = len(values)
    if not n:
        return None
    tail = (1 - LATENCY_CONFIDENCE) / 2
    low, high = _binomial_quantile(tail, n, q), _binomial_quantile(1 - tail, n, q) + 1
    return Interval(
        value=float(values[max(1, math.ceil(q * n)) - 1]),
        low=float(values[low - 1]) if low >= 1 else None,
        high=float(values[high - 1]) if high <= n else None,
    )


def _binomial_quantile(p: float, n: int, q: float) -> int:
    """Return the least k for which Binomial(n, q) is at most k with probability p.

    scipy.stats has this function, too, but takes half a second to import."""
    # bdtrik returns the continuous solution, and rounding may have lifted it above a whole number.
    above: int = math.ceil(bdtrik(p, n, q))
    return above - 1 if above > 0 and bdtr(above - 1, n, q) >= p else above


def _curve(values: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    if not len(values):
        return ()
    steps = int(10 * np.log10(len(values)) + 1e-9)
    quantiles = 1 - 10 ** (-np.arange(steps + 1) / 10)
    latencies = np.quantile(values, quantiles, method="inverted_cdf")
    return tuple((float(q), float(ms)) for q, ms in zip(quantiles, latencies, strict=True))


def make_timeline(variants: Mapping[str, Samples], duration_s: float) -> LoadTimeline | None:
    """Split the run into windows of at least one second. Returns None if the run is shorter than two
    windows."""
    windows = min(_WINDOWS, int(duration_s))
    if windows < 2:
        return None
    edges = np.linspace(0, duration_s, windows + 1)
    opened = np.sort(np.concatenate([samples.sent_s for samples in variants.values()]))
    closed = np.sort(np.concatenate([samples.done_s for samples in variants.values()]))
    # The number in flight is counted just after each send, when it is highest.
    in_flight = np.arange(1, len(opened) + 1) - np.searchsorted(closed, opened)
    of_window = np.searchsorted(opened, edges)
    return LoadTimeline(
        at_s=tuple(edges[1:].tolist()),
        in_flight=tuple(int(in_flight[start:end].max(initial=0)) for start, end in pairwise(of_window)),
        variants={name: _curve_of(samples, edges) for name, samples in variants.items()},
    )


def _curve_of(samples: Samples, edges: NDArray[np.float64]) -> VariantTimeline:
    window = np.searchsorted(edges, samples.intended_s, side="right") - 1
    latencies = [
        np.sort(samples.latency_ms[(window == number) & samples.timed]) for number in range(len(edges) - 1)
    ]
    return VariantTimeline(
        requests=tuple(np.bincount(window, minlength=len(edges) - 1).tolist()),
        errors=tuple(np.bincount(window[~samples.right], minlength=len(edges) - 1).tolist()),
        p50_ms=tuple(_value(values, 0.5) for values in latencies),
        p99_ms=tuple(_value(values, 0.99) for values in latencies),
    )


def describe_sender(measured: Measurement) -> SenderReport:
    """Describe whether the sender was on schedule. The warm-up counts, too, because it uses the same CPU."""
    samples = measured.samples
    lateness = np.sort(samples.lateness_ms)
    opened, closed = np.sort(samples.sent_s), np.sort(samples.done_s)
    in_flight = np.arange(1, len(opened) + 1) - np.searchsorted(closed, opened)
    return SenderReport(
        lateness_p50_ms=_value(lateness, 0.5),
        lateness_p99_ms=_value(lateness, 0.99),
        lateness_max_ms=_value(lateness, 1),
        cpu_s=measured.cpu_s,
        cpu_share=measured.cpu_s / measured.wall_s if measured.wall_s else 0.0,
        in_flight=int(in_flight.max(initial=0)),
        pool_full=measured.pool_full,
    )


def _value(values: NDArray[np.float64], q: float) -> float | None:
    return float(values[max(1, math.ceil(q * len(values))) - 1]) if len(values) else None
