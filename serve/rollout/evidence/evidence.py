"""The sums that a verdict is computed from; they are stored, so it can be computed again."""

from collections.abc import Mapping
from typing import Self

from pydantic import model_validator

from serve.base.record import Record

# All parts of the evidence can be imported from here.
from serve.counting.comparison import Clusters as Clusters  # noqa: PLC0414
from serve.counting.comparison import Comparison as Comparison  # noqa: PLC0414
from serve.counting.comparison import Moments as Moments  # noqa: PLC0414
from serve.counting.key_counts import KeyCounts
from serve.counting.run_costs import Cost as Cost  # noqa: PLC0414
from serve.counting.shadow_results import Drop as Drop  # noqa: PLC0414
from serve.counting.sums import Sum
from serve.rollout.evidence.judged_time import JudgedTime
from serve.rollout.evidence.matched_pairs import MatchedPairs
from serve.rollout.evidence.segment import TRIALS as TRIALS  # noqa: PLC0414
from serve.rollout.evidence.segment import Events as Events  # noqa: PLC0414
from serve.rollout.evidence.segment import Pair as Pair  # noqa: PLC0414
from serve.rollout.evidence.segment import Segment as Segment  # noqa: PLC0414
from serve.rollout.evidence.segment import courses_of, go_on, together_in_time
from serve.rollout.evidence.time_window import TimeWindow


class Carried(Record):
    """The evidence of earlier rollouts of the same two versions."""

    segments: tuple[Segment, ...] = ()
    shadow: Comparison = Comparison()
    outputs: Mapping[str, Comparison] = {}
    slices: Mapping[str, Comparison] = {}
    matched: Mapping[int, MatchedPairs] = {}
    classes: Sum = 0
    deaths: Pair = Pair()
    # Counts of keys at the baseline before the first of these rollouts, and in them before the first step.
    before: KeyCounts = KeyCounts()
    past: KeyCounts = KeyCounts()


class Evidence(Record):
    """The evidence of one rollout: one segment for each split that was in force, in order."""

    segments: tuple[Segment, ...] = ()
    # The newest time windows of the candidate since the start of the last step, in order.
    lately: tuple[TimeWindow, ...] = ()
    shadow: Comparison = Comparison()
    # The same by output, and by slice.
    outputs: Mapping[str, Comparison] = {}
    slices: Mapping[str, Comparison] = {}
    # Labels of copied requests, by class; `classes` is the number of classes that answers may have.
    matched: Mapping[int, MatchedPairs] = {}
    classes: Sum = 0
    # Dropped rows of copies, in total and by reason.
    dropped: Sum = 0
    drops: Mapping[Drop, Sum] = {}
    # Gateways that died while the variant ran in their process.
    deaths: Pair = Pair()
    # Counts of keys at the baseline before the rollout, without latency limits.
    before: KeyCounts = KeyCounts()
    # Counts of keys in the rollout before the first step.
    past: KeyCounts = KeyCounts()
    # Gateway -> the number of its last count delta that is included; older stores have it under this name.
    sheets: Mapping[str, int] = {}
    # None: no earlier evidence counts.
    carried: Carried | None = None
    # How long a keeper has judged; None: stored before this was counted.
    looked: JudgedTime | None = None

    def elapsed_s(self, started_s: float, now_s: float) -> float:
        """How long a rollout with this start has been judged."""
        return now_s - started_s if self.looked is None else self.looked.whole_s

    def stayed_s(self, entered_s: float, now_s: float) -> float:
        """How long it has been judged in the phase with this start."""
        if self.looked is None:
            return now_s - entered_s
        return self.looked.here_s if self.looked.entered_s == entered_s else 0.0

    @property
    def known(self) -> "Evidence":
        """This evidence together with the carried evidence."""
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
                # The same hour may lie before both rollouts.
                "before": self.carried.before if self.carried.before.buckets else self.before,
                "past": self.past + self.carried.past,
            }
        )
        for segment in self.carried.segments:
            whole = whole.with_tick(segment.with_courses(courses_of(segment)))
        return whole

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if len({segment.key for segment in self.segments}) < len(self.segments):
            raise ValueError(
                "two segments have the same split; add them up, so that the order does not matter"
            )
        return self

    @property
    def size(self) -> int:
        """The number of requests and pairs."""
        return self.shadow.pairs + sum(segment.requests.both for segment in self.segments)

    def with_tick(self, tick: Segment, replicas: int = 1) -> "Evidence":
        """Add the counts of `tick`, for variants with this number of replicas each."""
        segments = {segment.key: segment for segment in self.segments}
        before = segments.get(tick.key)
        after = tick if before is None else before + tick
        if tick.courses:
            # It is the segment of another rollout, not a single tick.
            after = after.with_courses(together_in_time(before, tick))
        elif tick.requests.both:
            courses = go_on(self.segments, before, tick, replicas)
            after = after.with_courses(courses)
            if courses.lasted.any():
                # A stall hits all keys of a variant at once, so it says nothing about keys.
                kept = tick if before is None else before
                keys = {"baseline_keys": kept.baseline_keys, "candidate_keys": kept.candidate_keys}
                after = after.model_copy(update=keys)
        segments[tick.key] = after
        return self.model_copy(update={"segments": tuple(segments[key] for key in sorted(segments))})


def _add_up(one: Mapping[int, MatchedPairs], other: Mapping[int, MatchedPairs]) -> Mapping[int, MatchedPairs]:
    return {
        key: one.get(key, MatchedPairs()) + other.get(key, MatchedPairs()) for key in sorted({*one, *other})
    }


def _together(one: Mapping[str, Comparison], other: Mapping[str, Comparison]) -> Mapping[str, Comparison]:
    return {key: one.get(key, Comparison()) + other.get(key, Comparison()) for key in sorted({*one, *other})}
