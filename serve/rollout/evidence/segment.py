"""The counts of each variant in one step while one split was in force."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from serve.base.record import Record
from serve.counting.key_counts import KeyCounts
from serve.counting.run_costs import Cost
from serve.counting.sums import Sum, Sums
from serve.rollout.evidence import event_series
from serve.rollout.evidence.calm_rate import calm_rates


class Pair(Sums):
    """One count of each variant."""

    baseline: Sum = 0
    candidate: Sum = 0

    @property
    def both(self) -> int:
        """The sum of both."""
        return self.baseline + self.candidate


class Events(Pair):
    """Bad events of each variant, with the sums over ticks that show whether they came in bursts."""

    # Ticks with an event of the candidate.
    candidate_ticks: Sum = 0
    # Sums over ticks of candidate**2, candidate * both, and both**2.
    candidate_squares: Sum = 0
    products: Sum = 0
    squares: Sum = 0

    @classmethod
    def tick(cls, baseline: int, candidate: int) -> "Events":
        """The events of one tick."""
        return cls.ticks([(baseline, candidate)])

    @classmethod
    def ticks(cls, counts: Sequence[tuple[int, int]]) -> "Events":
        """The events of several ticks, as (baseline, candidate)."""
        return cls(
            baseline=sum(baseline for baseline, _ in counts),
            candidate=sum(candidate for _, candidate in counts),
            candidate_ticks=sum(candidate > 0 for _, candidate in counts),
            candidate_squares=sum(candidate**2 for _, candidate in counts),
            products=sum(candidate * (baseline + candidate) for baseline, candidate in counts),
            squares=sum((baseline + candidate) ** 2 for baseline, candidate in counts),
        )


class Segment(Record):
    """A period in one step with one split in force.

    A request belongs to the segment of the split that *chose* its variant, whenever it ended, and to the
    chosen variant, whichever variant answered. Pinned requests and copies belong to no segment."""

    step: Annotated[int, Field(ge=1)]
    # The candidate's configured share, 0 to 1.
    split: Annotated[float, Field(ge=0, le=1)]
    # True: keys are assigned, not requests, so all requests of a key go to the same variant.
    sticky: bool = False
    started_s: float
    ended_s: float
    requests: Pair = Pair()
    errors: Events = Events()
    # The requests that count for latency; all of them by default.
    timed: Pair = Pair()
    # The requests among them over the fixed limit.
    over_limit: Events = Events()
    # Requests admitted while a limit for this quantile was announced, and the ones among them over it.
    timed_p50: Pair = Pair()
    timed_p95: Pair = Pair()
    timed_p99: Pair = Pair()
    over_p50: Events = Events()
    over_p95: Events = Events()
    over_p99: Events = Events()
    # Labelled requests, and those with a wrong answer.
    labelled: Pair = Pair()
    wrong: Events = Events()
    baseline_cost: Cost = Cost()
    candidate_cost: Cost = Cost()
    # With sticky keys.
    baseline_keys: KeyCounts = KeyCounts()
    candidate_keys: KeyCounts = KeyCounts()
    # Kind of event -> the numbers of a `serve.rollout.evidence.event_series.EventSeries`.
    courses: Mapping[str, tuple[float, ...]] = {}

    @model_validator(mode="before")
    @classmethod
    def _all_timed(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "timed" not in data and "requests" in data:
            return {**data, "timed": data["requests"]}
        return data

    @property
    def key(self) -> tuple[int, float, bool]:
        """Segments with equal keys can be added."""
        return self.step, self.split, self.sticky

    def __add__(self, other: "Segment") -> "Segment":
        assert self.key == other.key, "segments with different splits must stay apart"
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name, field in type(self).model_fields.items()
            if isinstance(field.default, Sums)
        }
        started_s = min(self.started_s, other.started_s)
        ended_s = max(self.ended_s, other.ended_s)
        return self.model_copy(update={**sums, "started_s": started_s, "ended_s": ended_s})

    def with_courses(self, courses: event_series.EventSeries) -> "Segment":
        """A copy with the courses of each kind of event in `TRIALS`, along the first axis."""
        return self.model_copy(update={"courses": dict(zip(TRIALS, event_series.pack(courses), strict=True))})


# Kind of event of live requests -> the requests that could have it.
TRIALS = {
    "errors": "requests",
    "over_limit": "timed",
    "over_p50": "timed_p50",
    "over_p95": "timed_p95",
    "over_p99": "timed_p99",
}


def numbers_of(segment: Segment | None, kind: str) -> tuple[float, ...]:
    """The series of the events of this kind (event_series.py). For old stores, it is approximated from the
    sums."""
    if segment is None or not segment.requests.both:
        return ()
    if (numbers := segment.courses.get(kind)) is not None:
        return numbers
    trials, events = getattr(segment, TRIALS[kind]), getattr(segment, kind)
    requests, counts = (np.array([pair.baseline, pair.candidate], float) for pair in (trials, events))
    seconds, ticks = segment.ended_s - segment.started_s, events.candidate_ticks
    squares = events.candidate_squares, events.products, events.squares
    block = np.array([round(seconds), ticks, events.candidate, events.both, *squares], float)
    return event_series.of_sums(seconds, requests, counts, block)


def courses_of(segment: Segment | None) -> event_series.EventSeries:
    """The courses of all kinds in `TRIALS`, along the first axis; empty courses if there is no segment."""
    return event_series.unpack([numbers_of(segment, kind) for kind in TRIALS])


def together_in_time(before: Segment | None, earlier: Segment) -> event_series.EventSeries:
    """The courses of the segment `before`, if any, added to those of another rollout."""
    return event_series.add(courses_of(before), courses_of(earlier))


def go_on(
    segments: Sequence[Segment], before: Segment | None, tick: Segment, replicas: int
) -> event_series.EventSeries:
    """The courses of the segment `before`, if any, after one more tick."""
    usual = [(each.usual_events, each.usual_requests) for each in map(courses_of, [None, *segments])]
    rates = calm_rates(*(sum(parts, np.zeros(2)) for parts in zip(*usual, strict=True)))
    pairs = [(getattr(tick, trials), getattr(tick, kind)) for kind, trials in TRIALS.items()]
    trials, events = (
        np.array([(pair.baseline, pair.candidate) for pair in kinds], float)
        for kinds in zip(*pairs, strict=True)
    )
    return event_series.step(courses_of(before), trials, events, rates, replicas)
