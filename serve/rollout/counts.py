"""Counts: the events of one kind in all that was seen, as the arrays that guards weigh."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from serve.rollout import blocks, clusters, course, marks
from serve.rollout.evidence import TRIALS, Events, Evidence, Pair, Segment
from serve.rollout.keys import Keys
from serve.rollout.sequential import Array, Bursts, dispersion
from serve.rollout.stalls import Stalls
from serve.routing import BUCKETS

# So many events of the candidate a stall may have before it is noticed.
UNNOTICED = 3.0


@dataclass(frozen=True, kw_only=True)
class Recent:
    """Events since each mark in the segment that runs, and its part of the odds. Shapes: [..., mark]."""

    candidate: Array
    both: Array
    share: Array
    trials: Array
    dispersion: Array
    log_parts: Array


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Events of one kind. Shapes: [..., segment], `shares` [..., segment], `trials` [...]."""

    candidate: Array
    both: Array
    shares: Array
    # The candidate's requests that could have become one.
    trials: Array
    dispersion: Array
    # Where requests stuck to keys; None: nowhere.
    keyed: clusters.Keyed | None = None
    # Where the course in time was kept; None: it was not.
    recent: Recent | None = None
    stalls: Stalls | None = None

    @property
    def drawn(self) -> tuple[Array, Array, Array]:
        """The events as draws of a label: the candidate's, both's, and the shares they were drawn with."""
        return self.candidate / self.dispersion, self.both / self.dispersion, self.shares

    @property
    def noticed(self) -> tuple[Array, Array, Array]:
        """The same without as many of the candidate's as a stall has before it is noticed."""
        if self.stalls is None:
            return self.drawn
        total = np.maximum(self.candidate.sum(-1, keepdims=True), UNNOTICED)
        candidate = self.candidate * (1 - UNNOTICED / total)
        both = self.both - self.candidate + candidate
        return candidate / self.dispersion, both / self.dispersion, self.shares


def counts_of(evidence: Evidence, kind: str, stall_s: float) -> Counts:
    """The events of this kind; a stall lasts `stall_s` on average at most."""
    segments = evidence.segments
    if kind not in TRIALS or not any(segment.courses for segment in segments):
        return _plain_counts(segments, kind)
    courses = [course.unpack(segment.courses.get(kind, ())) for segment in segments]
    events = np.array([each.events for each in courses])
    requests = np.array([each.requests for each in courses])
    # Labels of requests that stuck to keys were not drawn one by one: their keys are compared instead.
    shares = np.array([0.0 if segment.sticky else segment.split for segment in segments])
    together = blocks.dispersion(np.array([each.blocks for each in courses]))
    ended = sum((each.stalls for each in courses), np.zeros(2))
    lasted = max(float(each.alone[1]) for each in courses)
    return Counts(
        candidate=events[:, 1],
        both=events.sum(-1),
        shares=shares,
        trials=requests[:, 1].sum(),
        dispersion=together,
        keyed=_keyed_of(evidence, kind),
        recent=_recent_of(segments[-1], courses[-1], shares[-1], together[-1]),
        stalls=Stalls(ended, np.array(lasted), stall_s),
    )


def _recent_of(segment: Segment, last: course.Course, share: float, together: float) -> Recent:
    """Since the marks of the segment that runs."""
    sums = np.append(last.events, last.requests[1])
    window, log_parts = marks.since(last.marks, sums)
    return Recent(
        candidate=window[:, 1],
        both=window[:, 0] + window[:, 1],
        share=np.full(len(window), share),
        trials=window[:, 2],
        dispersion=np.full(len(window), together),
        log_parts=log_parts,
    )


def _plain_counts(segments: Sequence[Segment], kind: str) -> Counts:
    """Where only sums over ticks were kept: of feedback, and of what somebody else counted."""
    events: list[Events] = [getattr(segment, kind) for segment in segments]
    trials: list[Pair] = [getattr(segment, trials_of(kind)) for segment in segments]
    candidate = np.array([event.candidate for event in events], float)
    both = np.array([event.both for event in events], float)
    sums = (
        [getattr(event, name) for event in events]
        for name in ("candidate_ticks", "candidate_squares", "products", "squares")
    )
    return Counts(
        candidate=candidate,
        both=both,
        shares=shares_of(segments),
        trials=np.array(sum(pair.candidate for pair in trials), float),
        dispersion=dispersion(candidate, both, Bursts(*(np.array(each, float) for each in sums))),
    )


def trials_of(kind: str) -> str:
    """What the events of this kind are counted among."""
    return TRIALS.get(kind, "labelled")


def _keyed_of(evidence: Evidence, kind: str) -> clusters.Keyed | None:
    """Where requests stuck to keys, the two variants by their keys; None: nowhere."""
    segments = [segment for segment in evidence.segments if segment.sticky]
    if not segments:
        return None
    sides = [[evidence.past, *(segment.baseline_keys for segment in segments)]]
    sides.append([Keys(), *(segment.candidate_keys for segment in segments)])
    requests, events = (
        np.array([[_by_bucket(getattr(keys, part)) for keys in side] for side in sides])
        for part in ("buckets", kind)
    )
    return clusters.compare(requests, events)


def _by_bucket(numbers: Mapping[int, int]) -> Array:
    row = np.zeros(BUCKETS)
    row[list(numbers)] = list(numbers.values())
    return row


def shares_of(segments: Sequence[Segment]) -> Array:
    """The candidate's share per segment: as asked, or where keys were drawn, as it came.

    A few busy keys make the share of requests another than the share of keys. Then labels are no fair draws
    either: what sticks to one key, such as an input that always fails, can look like the variant's fault."""
    return np.array(
        [
            segment.requests.candidate / max(segment.requests.both, 1) if segment.sticky else segment.split
            for segment in segments
        ]
    )
