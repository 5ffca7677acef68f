"""Evidence: the sums that a verdict is computed from, stored so that it can be recomputed."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from serve.record import Record
from serve.rollout import course
from serve.rollout.keys import Keys
from serve.rollout.matched import Matched
from serve.rollout.runs import Cost as Cost  # noqa: PLC0414  who reads evidence finds all of it here
from serve.rollout.stretch import Stretch
from serve.rollout.sums import Sum, Sums, Total


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


class Moments(Sums):
    """How many figures, their sum, and the sum of their squares."""

    count: Sum = 0
    total: float = 0.0
    squares: Total = 0.0


class Drop(StrEnum):
    """Why a copy was dropped."""

    # The shadow's queue was full.
    FULL = "full"
    # The shadow was not up.
    DOWN = "down"
    # Live requests were waiting, which come first.
    BUSY = "busy"
    # A fault of the server.
    FAULT = "fault"


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
    # How the events of a kind fell in time: the numbers of a `serve.rollout.course.Course`.
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


# Kind of event of live requests -> the requests that it could have happened to.
TRIALS = {
    "errors": "requests",
    "over_limit": "timed",
    "over_p50": "timed_p50",
    "over_p95": "timed_p95",
    "over_p99": "timed_p99",
}


class Clusters(Sums):
    """Pairs by the request that they came in, because rows of one request are alike."""

    requests: Sum = 0
    # Of these, requests with a pair that differs.
    differing: Sum = 0
    # Per request: the pairs that differ squared, times all its pairs, and all its pairs squared.
    differ_squares: Sum = 0
    products: Sum = 0
    squares: Sum = 0


class Comparison(Record):
    """Candidate and baseline on the same inputs. Where a pair has several outputs, the worst one counts."""

    pairs: Sum = 0
    # Pairs that differ: another top answer, too low a cosine, too large a difference, or no answer at all.
    disagreements: Sum = 0
    # Of these, pairs in which the candidate failed where the baseline did not.
    failures: Sum = 0
    clusters: Clusters = Clusters()
    # Over requests: of each the mean over its pairs.
    cosine: Moments = Moments()
    # Of the candidate's distribution from the baseline's, in nats.
    kl: Moments = Moments()
    largest_difference: Total = 0.0

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, data: Any) -> Any:
        """Where no requests are told, as in what was stored before they were, each pair came alone."""
        if not isinstance(data, Mapping) or "clusters" in data:
            return data
        pairs, differ = data.get("pairs", 0), data.get("disagreements", 0)
        alone = {"requests": pairs, "differing": differ, "squares": pairs}
        return {**data, "clusters": alone | {"differ_squares": differ, "products": differ}}

    def __add__(self, other: "Comparison") -> "Comparison":
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in type(self).model_fields
            if name != "largest_difference"
        }
        largest_difference = max(self.largest_difference, other.largest_difference)
        return Comparison(**sums, largest_difference=largest_difference)


class Carried(Record):
    """What earlier rollouts of the same two versions have seen."""

    segments: tuple[Segment, ...] = ()
    shadow: Comparison = Comparison()
    outputs: Mapping[str, Comparison] = {}
    slices: Mapping[str, Comparison] = {}
    matched: Mapping[int, Matched] = {}
    classes: Sum = 0
    deaths: Pair = Pair()
    # What keys did at the baseline before the first of these rollouts, and in them before the first step.
    before: Keys = Keys()
    past: Keys = Keys()


class Evidence(Record):
    """All of one rollout so far: one segment for each split that was in force, in order."""

    segments: tuple[Segment, ...] = ()
    # Of the candidate in the last step and since, the newest stretches, in order.
    lately: tuple[Stretch, ...] = ()
    shadow: Comparison = Comparison()
    # The same by output, and by the slice that a request named.
    outputs: Mapping[str, Comparison] = {}
    slices: Mapping[str, Comparison] = {}
    # Labels of requests of the shadow, by the class that they say, of so many that an answer may say.
    matched: Mapping[int, Matched] = {}
    classes: Sum = 0
    # Rows of copies that were dropped, because the shadow could not keep up or was not there; and by why.
    dropped: Sum = 0
    drops: Mapping[Drop, Sum] = {}
    # Gateways that died while the variant ran in their own process.
    deaths: Pair = Pair()
    # What keys did at the baseline before the rollout: nothing is known of limits.
    before: Keys = Keys()
    # And in the rollout before the first step.
    past: Keys = Keys()
    # Gateway -> the number of its last sheet that is in here.
    sheets: Mapping[str, int] = {}
    # None: nothing that was seen earlier counts here.
    carried: Carried | None = None

    @property
    def known(self) -> "Evidence":
        """This together with what was carried."""
        if self.carried is None:
            return self
        whole = self.model_copy(
            update={
                "carried": None,
                "shadow": self.shadow + self.carried.shadow,
                "outputs": _together(self.outputs, self.carried.outputs),
                "slices": _together(self.slices, self.carried.slices),
                "matched": _add_up(self.matched, self.carried.matched),
                "classes": max(self.classes, self.carried.classes),
                "deaths": self.deaths + self.carried.deaths,
                # The same hour may lie before each of two rollouts.
                "before": self.carried.before if self.carried.before.buckets else self.before,
                "past": self.past + self.carried.past,
            }
        )
        for segment in self.carried.segments:
            whole = whole.with_tick(segment)
        return whole

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if len({segment.key for segment in self.segments}) < len(self.segments):
            raise ValueError("two segments of the same split; add them up, so that cuts in time mean nothing")
        return self

    def with_tick(self, tick: Segment) -> "Evidence":
        """This and what happened in `tick`."""
        segments = {segment.key: segment for segment in self.segments}
        before = segments.get(tick.key)
        after = tick if before is None else before + tick
        if tick.courses:
            # It is more than a tick: what another rollout has seen.
            courses = {kind: _together_in_time(kind, before, tick) for kind in tick.courses}
            after = after.model_copy(update={"courses": courses})
        elif tick.requests.both:
            courses = {kind: _go_on(kind, self.segments, before, tick) for kind in TRIALS}
            after = after.model_copy(update={"courses": courses})
            if any(course.unpack(numbers).lasted.any() for numbers in courses.values()):
                # What happens to all keys of a variant at once is no property of the keys.
                kept = tick if before is None else before
                keys = {"baseline_keys": kept.baseline_keys, "candidate_keys": kept.candidate_keys}
                after = after.model_copy(update=keys)
        segments[tick.key] = after
        return self.model_copy(update={"segments": tuple(segments[key] for key in sorted(segments))})


def _together_in_time(kind: str, before: Segment | None, earlier: Segment) -> tuple[float, ...]:
    mine = course.unpack(() if before is None else before.courses.get(kind, ()))
    return course.pack(course.add(mine, course.unpack(earlier.courses[kind])))


def _go_on(
    kind: str, segments: Sequence[Segment], before: Segment | None, tick: Segment
) -> tuple[float, ...]:
    """The course of one kind of event in the segment `before`, if there is one, after the tick as well."""
    courses = [course.unpack(segment.courses.get(kind, ())) for segment in segments]
    usual = [sum(each.usual_events for each in courses), sum(each.usual_requests for each in courses)]
    rates = course.calm_rates(*(np.zeros(2) + part for part in usual))
    trials, events = getattr(tick, TRIALS[kind]), getattr(tick, kind)
    mine = course.unpack(() if before is None else before.courses.get(kind, ()))
    requests, counts = (np.array([pair.baseline, pair.candidate], float) for pair in (trials, events))
    return course.pack(course.step(mine, requests, counts, rates))


def _add_up(one: Mapping[int, Matched], other: Mapping[int, Matched]) -> Mapping[int, Matched]:
    return {key: one.get(key, Matched()) + other.get(key, Matched()) for key in sorted({*one, *other})}


def _together(one: Mapping[str, Comparison], other: Mapping[str, Comparison]) -> Mapping[str, Comparison]:
    return {key: one.get(key, Comparison()) + other.get(key, Comparison()) for key in sorted({*one, *other})}
