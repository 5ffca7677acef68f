"""The sequence of events of one kind over time, second by second, for baseline and candidate.

A stall (a restart, a garbage collection, a busy neighbour) hits most requests of one variant for a while. Its
events count as one incident: they are excluded and named, and the rate is judged by the rest. Everything here
is arrays. Axes before those in a comment are independent rollouts. An axis of [2] is the baseline and the
candidate. Pure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from serve.rollout.evidence import blocks, snapshots
from serve.rollout.evidence.calm_rate import FIRST_REQUESTS, Rates
from serve.rollout.evidence.evalues import Array
from serve.rollout.evidence.stalls import LEAST_REPLICAS, shows

# Page's cumulative sum (Biometrika 1954) between the calm rate and eight times it: (8 - 1) / log 8 times the
# calm rate is neutral. A stall begins when the sum of events beyond neutral reaches `_BEGINS`.
_NEUTRAL = 3.4
# The share of one replica's requests that a stall must hit to begin, and to continue.
_SOME, _FEW = 0.2, 0.12
_BEGINS = 1.5
# A stall ends at this many events below neutral, or after this many seconds without an event.
_ENDS = 2.0
# During a stall, at most this share of events counts for the usual rate.
_TEACHES = 0.1
_LONGEST_END_S = 30.0
# A stall that lasts this long becomes the variant's rate.
_LONGEST_S = 900.0
# Decimal places of stored numbers.
_DIGITS = 6


class EventSeries(NamedTuple):
    """The sums so far; all zeros at the beginning."""

    # Counted seconds: [].
    seconds: Array
    # Events and requests of the judged seconds: [2].
    events: Array
    requests: Array
    # The same for all seconds, where a stall counts with no more events than would begin one: [2].
    usual_events: Array
    usual_requests: Array
    # The judged seconds in blocks (blocks.py), and the open blocks: events of the candidate and of both:
    # [7, 7], [7, 2].
    blocks: Array
    open: Array
    # See serve/rollout/evidence/snapshots.py: [5, 8, 4].
    snapshots: Array
    # For each variant, the cumulative sum, and the judged seconds since it left 0: events and requests of
    # both variants, then the columns of `blocks` after the first, without the sums: [2], [2, 8].
    score: Array
    window: Array
    # The stall of each variant: its seconds (0: no stall), the seconds without a stall of the other variant,
    # the sum that ends it, and its events: [2].
    lasted: Array
    alone: Array
    quiet: Array
    burst: Array
    # Finished stalls of one variant alone, weighted by how visible they are in both variants' requests: [2].
    stalls: Array
    # The rate of a stall that has become the variant's rate, as a lower bound: [2].
    settled: Array
    # The finished stall with the most events: its events, its seconds, and its variant (0 or 1): [3].
    worst: Array
    # The requests of the stall of each variant: [2].
    hit: Array


_BLOCKS, _OPEN = (blocks.SCALES, blocks.COLUMNS), (blocks.SCALES, 2)
_MARKS = (len(snapshots.EVERY_S), snapshots.KEPT, snapshots.COLUMNS)
_SHAPES = ((), *[(2,)] * 4, _BLOCKS, _OPEN, _MARKS, (2,), (2, 8), *[(2,)] * 6, (3,), (2,))
_SIZES = [math.prod(shape) for shape in _SHAPES]
_ENDS_OF_PARTS = np.cumsum(_SIZES)[:-1]
_NOTHING = (0.0,) * sum(_SIZES)


def begin(*runs: int) -> EventSeries:
    """An empty series, with these leading axes."""
    return EventSeries(*(np.zeros((*runs, *shape)) for shape in _SHAPES))


def of_sums(seconds: float, requests: Array, events: Array, block: Array) -> tuple[float, ...]:
    """The numbers of a series of which only sums are known: requests and events [2], and the columns of
    serve/rollout/evidence/blocks.py for blocks of one second."""
    whole = begin(1)
    whole.blocks[0, 0] = block
    for name, total in (("events", events), ("requests", requests)):
        for part in (name, f"usual_{name}"):
            getattr(whole, part)[0] = total
    whole.seconds[0] = round(seconds)
    return pack(whole)[0]


def add(series: EventSeries, earlier: EventSeries) -> EventSeries:
    """Add the judged sums and the stalls of a series that ended before this one began."""
    sums = ("events", "requests", "usual_events", "usual_requests", "blocks", "stalls")
    shift = np.concatenate([0 * earlier.events[..., :1], earlier.events, earlier.requests[..., 1:]], -1)
    shifted = series.snapshots + shift[..., None, None, :]
    noted = np.where(series.snapshots[..., :1] > 0, shifted, series.snapshots)
    total = {name: getattr(series, name) + getattr(earlier, name) for name in sums}
    return series._replace(**total, snapshots=noted)


def pack(series: EventSeries) -> tuple[tuple[float, ...], ...]:
    """The numbers of each series for storage; the courses are along the first axis."""
    flat = [part.reshape(len(part), -1) for part in series]
    return tuple(map(tuple, np.concatenate(flat, -1).round(_DIGITS).tolist()))


def unpack(numbers: Sequence[Sequence[float]]) -> EventSeries:
    """The courses with these numbers, along the first axis; empty numbers give an empty series."""
    # An older version stored fewer numbers.
    array = np.array([(*each, *_NOTHING[len(each) :]) for each in numbers], float)
    parts = np.split(array, _ENDS_OF_PARTS, -1)
    return EventSeries(
        *(part.reshape(len(array), *shape) for part, shape in zip(parts, _SHAPES, strict=True))
    )


class _Stalling(NamedTuple):
    """The stalls after one more second; [2], with the names of `EventSeries`."""

    begins: Array
    now: Array
    score: Array
    lasted: Array
    alone: Array
    quiet: Array
    burst: Array
    hit: Array
    # The events and seconds of a finished stall that had seconds alone: [2, 2].
    ends: Array
    # The weight of a finished stall, and whether a stall has become the variant's rate.
    counts: Array
    settles: Array


def step(series: EventSeries, requests: Array, events: Array, rates: Rates, replicas: int = 1) -> EventSeries:
    """The series after one more second with these requests and events [2].

    `rates` are the `calm_rates` before it; each variant has `replicas` replicas."""
    calm = np.maximum(rates.calm, series.settled)
    stalls = _stall(series, requests, events, calm, 1 / max(replicas, LEAST_REPLICAS))
    columns = _columns(requests, events) * (1 - stalls.now.max(-1, keepdims=True))
    # The seconds before a stall was noticed belong to it; of two stalls, the longer window contains the
    # other.
    taken = (series.window * stalls.begins[..., None]).max(-2)
    sums = columns - taken
    # A stall counts for the usual rate only at first, so that a wrong first estimate corrects itself.
    teaches = np.maximum(1 - stalls.now, (rates.requests < FIRST_REQUESTS)[..., None])
    most = requests * np.maximum(_NEUTRAL * calm, _TEACHES)
    usual_events = np.where(stalls.now > 0, np.minimum(events, most), events) * teaches
    grown, opened = _grow(series, columns[..., 0:2], taken)
    judged = series.events + sums[..., 0:2], series.requests + sums[..., 2:4]
    noted = np.concatenate([judged[0], judged[1][..., 1:]], -1)
    # One stall's seconds must not be excluded again by another.
    window = np.maximum(series.window - taken[..., None, :], 0.0) + columns[..., None, :]
    return EventSeries(
        seconds=series.seconds + 1,
        events=judged[0],
        requests=judged[1],
        usual_events=np.maximum(series.usual_events + usual_events - taken[..., 0:2], 0.0),
        usual_requests=series.usual_requests + requests * teaches - taken[..., 2:4],
        blocks=grown,
        open=opened,
        snapshots=snapshots.note(series.snapshots, series.seconds + 1, noted),
        score=stalls.score,
        window=np.where((stalls.score > 0)[..., None], window, 0.0),
        lasted=stalls.lasted,
        alone=stalls.alone,
        quiet=stalls.quiet,
        burst=stalls.burst,
        stalls=series.stalls + stalls.counts,
        settled=np.where(stalls.settles > 0, events / np.maximum(requests, 1), series.settled),
        worst=_worst(series, stalls),
        hit=stalls.hit,
    )


def _stall(series: EventSeries, requests: Array, events: Array, calm: Array, one: float) -> _Stalling:
    """`one` is the share of a variant's requests that one replica gets."""
    before = np.asarray(series.lasted > 0)
    begin, end = (requests * np.maximum(_NEUTRAL * calm, share * one) for share in (_SOME, _FEW))
    # Rounded like the stored numbers; otherwise a tie could be decided differently after a restart.
    score = np.where(before, 0.0, np.maximum(series.score + events - begin, 0)).round(_DIGITS)
    begins = ~before & (score >= _BEGINS)
    calmer = np.maximum(end, _ENDS / _LONGEST_END_S) - events
    quiet = np.where(before, np.maximum(series.quiet + calmer, 0.0), 0.0).round(_DIGITS)
    ends = before & (quiet >= _ENDS)
    now = before | begins
    lasted = np.where(now, series.lasted + 1, 0.0)
    alone = np.where(now, series.alone + ~now[..., ::-1], 0.0)
    burst, hit = (
        np.where(now, so_far + here + np.where(begins, _own(series.window, place), 0.0), 0.0)
        for so_far, here, place in ((series.burst, events, 0), (series.hit, requests, 2))
    )
    settles = now & ~ends & (lasted >= _LONGEST_S)
    total = series.requests + requests
    shown = shows(burst, calm * hit, np.minimum(1.0, total[..., ::-1] / np.maximum(total, 1)))
    goes_on = now & ~ends & ~settles
    return _Stalling(
        begins=begins.astype(float),
        now=now.astype(float),
        score=np.where(now, 0.0, score),
        lasted=lasted * goes_on,
        alone=alone * goes_on,
        quiet=quiet * goes_on,
        burst=burst * goes_on,
        hit=hit * goes_on,
        ends=np.stack([burst, lasted], -2) * (ends & (alone > 0))[..., None, :],
        counts=shown * (ends & (2 * alone >= lasted)),
        settles=settles.astype(float),
    )


def _own(window: Array, place: int) -> Array:
    """Each variant's own sum in its window; `place` is the first column."""
    return np.stack([window[..., 0, place], window[..., 1, place + 1]], -1)


def _columns(requests: Array, events: Array) -> Array:
    candidate, both = events[..., 1], events.sum(-1)
    squares = [(candidate > 0) * 1.0, candidate**2, candidate * both, both**2]
    return np.concatenate([events, requests, np.stack(squares, -1)], -1)


def _grow(series: EventSeries, events: Array, taken: Array) -> tuple[Array, Array]:
    """The blocks after a second with these judged events. `taken` is subtracted from the blocks of one
    second; in longer blocks it stays, which only makes events look less even."""
    opened = series.open + np.stack([events[..., 1], events.sum(-1)], -1)[..., None, :]
    closes = blocks.closing(series.seconds + 1)[..., None]
    grown = series.blocks + blocks.close(opened) * closes
    back = [0 * taken[..., 0], taken[..., 4], taken[..., 1], taken[..., 0] + taken[..., 1]]
    grown[..., 0, :] -= np.stack([*back, *np.moveaxis(taken[..., 5:8], -1, 0)], -1)
    return grown, np.where(closes, 0.0, opened)


def _worst(series: EventSeries, stalls: _Stalling) -> Array:
    worst = series.worst
    for variant in (0, 1):
        burst, lasted = stalls.ends[..., 0, variant], stalls.ends[..., 1, variant]
        this = np.stack([burst, lasted, np.full_like(burst, variant)], -1)
        worst = np.where((burst > worst[..., 0])[..., None], this, worst)
    return worst
