"""Segment: what was counted in one step while one split was in force, of each variant."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from serve.base.record import Record
from serve.counting.keys import Keys
from serve.counting.runs import Cost
from serve.counting.sums import Sum, Sums
from serve.rollout.evidence import course
from serve.rollout.evidence.calm import calm_rates


class Pair(Sums):
    """One count of each variant."""

    baseline: Sum = 0
    candidate: Sum = 0

    @property
    def both(self) -> int:
        """The two together."""
        return self.baseline + self.candidate


class Events(Pair):
    """Something bad of each variant, and over the ticks the sums that tell whether it came in bursts."""

    # Ticks with an event of the candidate.
    candidate_ticks: Sum = 0
    # Per tick: the candidate's events squared, times those of both, and those of both squared.
    candidate_squares: Sum = 0
    products: Sum = 0
    squares: Sum = 0

    @classmethod
    def tick(cls, baseline: int, candidate: int) -> "Events":
        """What happened in one tick."""
        return cls.ticks([(baseline, candidate)])

    @classmethod
    def ticks(cls, counts: Sequence[tuple[int, int]]) -> "Events":
        """What happened in several ticks, by how often to the baseline and to the candidate."""
        return cls(
            baseline=sum(baseline for baseline, _ in counts),
            candidate=sum(candidate for _, candidate in counts),
            candidate_ticks=sum(candidate > 0 for _, candidate in counts),
            candidate_squares=sum(candidate**2 for _, candidate in counts),
            products=sum(candidate * (baseline + candidate) for baseline, candidate in counts),
            squares=sum((baseline + candidate) ** 2 for baseline, candidate in counts),
        )


class Segment(Record):
    """A stretch of time in one step, with one split in force.

    A request belongs to the segment of the split under which it was *chosen*, whenever it ended, and to the
    variant that was chosen, whoever answered. Pinned and shadowed requests belong to none."""

    step: Annotated[int, Field(ge=1)]
    # The candidate's share asked, 0 to 1.
    split: Annotated[float, Field(ge=0, le=1)]
    # True: keys were drawn, not requests; one key's requests all go the same way.
    sticky: bool = False
    started_s: float
    ended_s: float
    requests: Pair = Pair()
    errors: Events = Events()
    # Of the requests, those that count for latency; all of them, unless it is said.
    timed: Pair = Pair()
    # Of these, those over the limit that stays.
    over_limit: Events = Events()
    # Requests that were admitted while a limit for this quantile was announced, and of these those over it.
    timed_p50: Pair = Pair()
    timed_p95: Pair = Pair()
    timed_p99: Pair = Pair()
    over_p50: Events = Events()
    over_p95: Events = Events()
    over_p99: Events = Events()
    # By the feedback on these requests, whenever it came.
    labelled: Pair = Pair()
    wrong: Events = Events()
    baseline_cost: Cost = Cost()
    candidate_cost: Cost = Cost()
    # Where keys stick.
    baseline_keys: Keys = Keys()
    candidate_keys: Keys = Keys()
    # How the events of a kind fell in time: the numbers of a `serve.rollout.evidence.course.Course`.
    courses: Mapping[str, tuple[float, ...]] = {}

    @model_validator(mode="before")
    @classmethod
    def _all_timed(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "timed" not in data and "requests" in data:
            return {**data, "timed": data["requests"]}
        return data

    @property
    def key(self) -> tuple[int, float, bool]:
        """What two segments must share for their sums to be added."""
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

    def with_courses(self, courses: course.Course) -> "Segment":
        """This, with the courses of each kind of event in `TRIALS`, along the first axis."""
        return self.model_copy(update={"courses": dict(zip(TRIALS, course.pack(courses), strict=True))})


# Kind of event of live requests -> the requests that it could have happened to.
TRIALS = {
    "errors": "requests",
    "over_limit": "timed",
    "over_p50": "timed_p50",
    "over_p95": "timed_p95",
    "over_p99": "timed_p99",
}


def numbers_of(segment: Segment | None, kind: str) -> tuple[float, ...]:
    """How the events of this kind fell in time (course.py). Old stores did not keep it: there, from their
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
    return course.of_sums(seconds, requests, counts, block)


def courses_of(segment: Segment | None) -> course.Course:
    """Those of each kind of event in `TRIALS`, along the first axis; None: none has begun."""
    return course.unpack([numbers_of(segment, kind) for kind in TRIALS])


def together_in_time(before: Segment | None, earlier: Segment) -> course.Course:
    """The courses in the segment `before`, if there is one, and in one of another rollout."""
    return course.add(courses_of(before), courses_of(earlier))


def go_on(segments: Sequence[Segment], before: Segment | None, tick: Segment, replicas: int) -> course.Course:
    """The courses in the segment `before`, if there is one, after the tick as well."""
    usual = [(each.usual_events, each.usual_requests) for each in map(courses_of, [None, *segments])]
    rates = calm_rates(*(sum(parts, np.zeros(2)) for parts in zip(*usual, strict=True)))
    pairs = [(getattr(tick, trials), getattr(tick, kind)) for kind, trials in TRIALS.items()]
    trials, events = (
        np.array([(pair.baseline, pair.candidate) for pair in kinds], float)
        for kinds in zip(*pairs, strict=True)
    )
    return course.step(courses_of(before), trials, events, rates, replicas)
