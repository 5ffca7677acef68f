"""Figures: from the samples of a run to what is said of each variant, of the time, and of the sender."""

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrik

from loadtests.report import CapacityCurve, Interval, LoadTimeline, SenderReport, VariantReport
from loadtests.sending.measurement import Measurement
from loadtests.sending.samples import Samples

# The row of errors on requests that followed the split: nobody can say whose they are.
UNKNOWN = "unknown"
LATENCY_CONFIDENCE = 0.95
_WINDOWS = 30


def split_by_variant(samples: Samples, expected: Iterable[str]) -> dict[str, Samples]:
    """The samples of each variant; those that nobody can be blamed for are UNKNOWN's."""
    names = dict.fromkeys([*expected, *samples.names])
    variants = {name: samples.of(name) for name in names}
    nobody = samples.where((samples.variant < 0) & (samples.pinned < 0))
    return variants | ({UNKNOWN: nobody} if len(nobody) else {})


def describe(samples: Samples, limit_ms: float | None, answered_by_all: int) -> VariantReport:
    """What is to be said of one variant's samples."""
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
    """Which of them were later than the limit, or never answered."""
    return samples.unanswered | (samples.right & (samples.latency_ms > limit_ms))


def estimate_quantile(values: NDArray[np.float64], q: float) -> Interval | None:
    """The q-quantile of sorted values, a value that was measured, with its interval by order statistics:
    the number of values below the true one is binomial."""
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
    """The least k at which Binomial(n, q) is at most k with probability p. scipy.stats has it, too, and takes
    half a second to import."""
    # The k of the continuous extension, which rounding may have lifted above a whole one.
    above: int = math.ceil(bdtrik(p, n, q))
    return above - 1 if above > 0 and bdtr(above - 1, n, q) >= p else above


def _curve(values: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    if not len(values):
        return ()
    steps = int(10 * np.log10(len(values)) + 1e-9)
    quantiles = 1 - 10 ** (-np.arange(steps + 1) / 10)
    found = np.quantile(values, quantiles, method="inverted_cdf")
    return tuple((float(q), float(ms)) for q, ms in zip(quantiles, found, strict=True))


def make_timeline(variants: Mapping[str, Samples], duration_s: float) -> LoadTimeline | None:
    """The run in windows of at least a second; None: it was shorter than two."""
    windows = min(_WINDOWS, int(duration_s))
    if windows < 2:
        return None
    edges = np.linspace(0, duration_s, windows + 1)
    opened = np.sort(np.concatenate([samples.sent_s for samples in variants.values()]))
    closed = np.sort(np.concatenate([samples.done_s for samples in variants.values()]))
    # Just after each request was sent, which is when there are most.
    in_flight = np.arange(1, len(opened) + 1) - np.searchsorted(closed, opened)
    of_window = np.searchsorted(opened, edges)
    return LoadTimeline(
        at_s=tuple(edges[1:].tolist()),
        in_flight=tuple(int(in_flight[start:end].max(initial=0)) for start, end in pairwise(of_window)),
        variants={name: _curve_of(samples, edges) for name, samples in variants.items()},
    )


def _curve_of(samples: Samples, edges: NDArray[np.float64]) -> CapacityCurve:
    window = np.searchsorted(edges, samples.intended_s, side="right") - 1
    latencies = [
        np.sort(samples.latency_ms[(window == number) & samples.timed]) for number in range(len(edges) - 1)
    ]
    return CapacityCurve(
        requests=tuple(np.bincount(window, minlength=len(edges) - 1).tolist()),
        errors=tuple(np.bincount(window[~samples.right], minlength=len(edges) - 1).tolist()),
        p50_ms=tuple(_value(values, 0.5) for values in latencies),
        p99_ms=tuple(_value(values, 0.99) for values in latencies),
    )


def describe_sender(measured: Measurement) -> SenderReport:
    """Whether it kept its promise, warm-up included: it has the same CPU to do it with."""
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
