"""The figures of a candidate compared with the baseline."""

from typing import Literal

from serve.base.record import Record

Latency = Literal["p50", "p95", "p99", "mean"]


class Ratio(Record):
    """A latency of the candidate relative to the baseline's, with its 99 % interval by block bootstrap."""

    figure: Latency
    value: float
    low: float
    high: float


class WeighedEvents(Record):
    """How often requests of candidate and baseline failed or were slow, by the rollout's test."""

    figure: Literal["errors", "over limit"]
    # The counts in words.
    seen: str
    # The ratio of the two rates and its interval; None: unbounded, or no events.
    value: float | None
    low: float | None
    high: float | None
    # Log evidence of harm and of safety, and the level that each must reach.
    harm: float
    harm_at: float
    safe: float
    safe_at: float


class CandidateComparison(Record):
    """A candidate compared with the baseline."""

    baseline: str
    candidate: str
    ratios: tuple[Ratio, ...]
    weighed: tuple[WeighedEvents, ...]
