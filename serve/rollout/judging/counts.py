"""The events of one kind in the whole evidence, as arrays for the guards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from serve.base.routing import BUCKETS
from serve.counting.key_counts import KeyCounts
from serve.rollout.evidence import blocks, event_series, snapshots
from serve.rollout.evidence.evalues import Array, Bursts, dispersion
from serve.rollout.evidence.evidence import TRIALS, Events, Evidence, Pair, Segment
from serve.rollout.evidence.segment import numbers_of
from serve.rollout.evidence.stalls import Stalls, lasting_s
from serve.rollout.judging import clusters

Places = NDArray[np.int64]
# How many events of the candidate a stall may have before it is noticed.
UNNOTICED = 3.0


@dataclass(frozen=True, kw_only=True)
class Recent:
    """Events since each mark in the present segment, with its log part of the error probability; [...,
    mark]."""

    candidate: Array
    both: Array
    share: Array
    trials: Array
    dispersion: Array
    log_parts: Array


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Events of one kind: [..., segment], `shares` [..., segment], `trials` [...]."""

    candidate: Array
    both: Array
    shares: Array
    # The candidate's requests that could have had such an event.
    trials: Array
    dispersion: Array
    # The data of sticky keys; None: no sticky keys.
    keyed: clusters.Keyed | None = None
    # Set if the sequence over time was stored; None: it was not.
    recent: Recent | None = None
    stalls: Stalls | None = None
    # The stalls with the most events, as in `EventSeries.worst`: [..., segment, 3].
    worst: Array | None = None

    @property
    def drawn(self) -> tuple[Array, Array, Array]:
        """The events as random draws: the candidate's, both's, and the shares of the draws."""
        return self.candidate / self.dispersion, self.both / self.dispersion, self.shares

    @cached_property
    def single(self) -> tuple[Array, Array]:
        """The candidate's events and requests, divided by the number of events per key."""
        together = 1.0 if self.keyed is None else self.keyed.dispersion
        return self.candidate.sum(-1) / together, self.trials / together

    @property
    def noticed(self) -> tuple[Array, Array, Array]:
        """Like `drawn`, without the events that a stall of the candidate has before it is noticed."""
        if self.stalls is None:
            return self.drawn
        total = np.maximum(self.candidate.sum(-1, keepdims=True), UNNOTICED)
        candidate = self.candidate * (1 - UNNOTICED / total)
        both = self.both - self.candidate + candidate
        return candidate / self.dispersion, both / self.dispersion, self.shares


def counts_of(evidence: Evidence, kind: str, stall_s: float, replicas: int = 1) -> Counts:
    """Count the events of this kind; a stall of one of the `replicas` has a mean duration of at most
    `stall_s`."""
    segments = evidence.segments
    if kind not in TRIALS or not any(segment.courses for segment in segments):
        return _plain_counts(segments, kind)
    # Requests with sticky keys are not assigned one by one; their keys are compared instead.
    shares = np.array([0.0 if segment.sticky else segment.split for segment in segments])
    courses = event_series.unpack([numbers_of(segment, kind) for segment in segments])
    # A stall of an earlier step is over, even if a person promoted during it.
    runs = np.array([segment.step == segments[-1].step for segment in segments])
    courses = courses._replace(alone=courses.alone * runs[:, None])
    counts = counts_in(courses, shares, np.array(len(segments) - 1), stall_s, replicas)
    return replace(counts, keyed=_keyed_of(evidence, kind))


def counts_in(
    courses: event_series.EventSeries, shares: Array, here: Places, stall_s: float, replicas: int = 1
) -> Counts:
    """The events in courses [..., segment] with these shares [segment]; `here` [...] is the index of the
    present segment."""
    together = blocks.dispersion(courses.blocks)
    # With sticky keys, a user who retries many times looks like a stall, even more so with few requests.
    ended = (courses.stalls * (shares > 0)[..., None]).sum(-2)
    stalling = courses.alone[..., 1] > 0
    lasted_s = courses.alone[..., 1].max(-1)
    burst, hit = ((part[..., 1] * stalling).sum(-1) for part in (courses.burst, courses.hit))
    events, requests, noted = (
        _at(part, here) for part in (courses.events, courses.requests, courses.snapshots)
    )
    return Counts(
        candidate=courses.events[..., 1],
        both=courses.events.sum(-1),
        shares=shares,
        trials=courses.requests[..., 1].sum(-1),
        dispersion=together,
        recent=_recent_of(events, requests, noted, shares[here], _at(together, here)),
        stalls=Stalls(ended, lasted_s, lasting_s(burst, hit, stall_s, replicas)),
        worst=courses.worst,
    )


def _at(part: Array, here: Places) -> Array:
    """Select the segment `here` [...] from [..., segment, ...]."""
    place = here.reshape(here.shape + (1,) * (part.ndim - here.ndim))
    return np.take_along_axis(part, place, axis=here.ndim).squeeze(here.ndim)


def _recent_of(events: Array, requests: Array, noted: Array, share: Array, together: Array) -> Recent:
    """The events since the marks of the present segment, from its sums."""
    window, log_parts = snapshots.since(noted, np.concatenate([events, requests[..., 1:]], -1))
    ones = np.ones_like(log_parts)
    return Recent(
        candidate=window[..., 1],
        both=window[..., 0] + window[..., 1],
        share=np.asarray(share)[..., None] * ones,
        trials=window[..., 2],
        dispersion=together[..., None] * ones,
        log_parts=log_parts,
    )


def _plain_counts(segments: Sequence[Segment], kind: str) -> Counts:
    """For events of which only sums over ticks are stored: labels, and counts from a client."""
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
        shares=shares_of(segments, trials_of(kind)),
        trials=np.array(sum(pair.candidate for pair in trials), float),
        dispersion=dispersion(candidate, both, Bursts(*(np.array(each, float) for each in sums))),
    )


def trials_of(kind: str) -> str:
    """The field with the requests that could have an event of this kind."""
    return TRIALS.get(kind, "labelled")


def _keyed_of(evidence: Evidence, kind: str) -> clusters.Keyed | None:
    """The variants by sticky key; None if there are none."""
    # At a share of 1 no key stays at the baseline.
    segments = [segment for segment in evidence.segments if segment.sticky and segment.split < 1]
    if not segments:
        return None
    # Before the rollout there were no limits.
    past = evidence.past + evidence.before if kind == "errors" else evidence.past
    places = [[_by_bucket(past, kind), *(_of_segment(segment, kind, "baseline") for segment in segments)]]
    places.append(
        [_by_bucket(KeyCounts(), kind), *(_of_segment(segment, kind, "candidate") for segment in segments)]
    )
    requests, events = np.moveaxis(np.array(places), 2, 0)
    shares = np.array([0.0, *(segment.split for segment in segments)])
    return clusters.compare(requests, events, shares)


def _of_segment(segment: Segment, kind: str, side: str) -> Array:
    """One variant's trials and events by bucket. The trials are distributed over buckets like all its
    requests."""
    trials, requests = (getattr(getattr(segment, name), side) for name in (TRIALS[kind], "requests"))
    share = np.array([[trials / max(requests, 1)], [trials > 0]])
    return np.asarray(_by_bucket(getattr(segment, f"{side}_keys"), kind) * share)


def _by_bucket(keys: KeyCounts, kind: str) -> Array:
    """Requests and events: [2, bucket]."""
    rows = np.zeros((2, BUCKETS))
    for row, numbers in zip(rows, (keys.buckets, getattr(keys, kind)), strict=True):
        row[list(numbers)] = list(numbers.values())
    return rows


def shares_of(segments: Sequence[Segment], trials: str = "requests") -> Array:
    """The candidate's share of these trials per segment: the configured one, or with sticky keys, the actual
    one.

    A few busy keys can make the share of requests differ from the share of keys. Then requests are no fair
    draws: a key whose requests always fail can look like a fault of the variant."""
    pairs = [getattr(segment, trials) for segment in segments]
    return np.array(
        [
            pair.candidate / max(pair.both, 1) if segment.sticky else segment.split
            for segment, pair in zip(segments, pairs, strict=True)
        ]
    )
