"""Arrivals: seeded open-loop schedules. When a request is sent depends on nothing that the server does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray

from loadtests.load_plan import LoadPlan, steady

# The pin of a request that follows the server's split.
SPLIT = -1
# How much of an endless schedule is drawn at once.
_CHUNK_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Requests in order of time; arrays of one length."""

    # When to send, counted from the start of what is measured; the warm-up lies below 0.
    at_s: NDArray[np.float64]
    # Index into the variants asked for, or SPLIT.
    pin: NDArray[np.int64]
    # Which of the prepared inputs to send.
    payload: NDArray[np.int64]
    # What `pin` points to.
    variants: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.at_s)

    def __iter__(self) -> Iterator[tuple[float, str | None, int]]:
        """For each request: when to send it, the variant asked for or None for the split, and its input."""
        pins = [*self.variants, None]
        for at_s, pin, payload in zip(
            self.at_s.tolist(), self.pin.tolist(), self.payload.tolist(), strict=True
        ):
            yield at_s, pins[pin], payload

    def share(self, part: int, parts: int) -> "Schedule":
        """Every `parts`-th request: what one of several senders takes, all of which send the whole."""
        mine = slice(part, None, parts)
        return Schedule(
            at_s=self.at_s[mine], pin=self.pin[mine], payload=self.payload[mine], variants=self.variants
        )


def make_schedule(plan: LoadPlan, payloads: int) -> Schedule:
    """The requests of the plan.

    Times, pins and payloads are drawn from streams of their own: another list of pins or another file of
    inputs leaves the times as they were, so two runs of one seed are loaded alike."""
    streams = np.random.SeedSequence(plan.seed).spawn(3)
    of_times, of_pins, of_payloads = (np.random.default_rng(stream) for stream in streams)
    first = plan.profile[0][1]
    points = [(-plan.warmup_s, first), *plan.profile] if plan.warmup_s else list(plan.profile)
    at_s = _times(points, None if plan.arrivals == "constant" else of_times)
    pins = np.full(len(at_s), SPLIT)
    if plan.pinned:
        pins = of_pins.integers(len(plan.pinned), size=len(at_s))
    return Schedule(
        at_s=at_s,
        pin=pins,
        payload=of_payloads.integers(payloads, size=len(at_s)),
        variants=plan.pinned,
    )


def make_endless(plan: LoadPlan, payloads: int) -> Iterator[Schedule]:
    """Schedules at the rate with which the plan's profile begins, each from where the one before ends."""
    first_per_s = plan.profile[0][1]
    for number in count():
        chunk = plan.model_copy(
            update={
                "profile": steady(first_per_s, _CHUNK_S),
                "warmup_s": 0 if number else plan.warmup_s,
                # The first is drawn like a run of this seed, the others like none that a person would choose.
                "seed": plan.seed + (number << 64),
            }
        )
        schedule = make_schedule(chunk, payloads)
        yield replace(schedule, at_s=schedule.at_s + number * _CHUNK_S)


def _times(points: Sequence[tuple[float, float]], rng: np.random.Generator | None) -> NDArray[np.float64]:
    """Moments at the rates that straight lines through the points give: even, or at random by `rng`.

    Arrivals of rate 1 on the scale of requests to be expected, taken back to the scale of time."""
    stretches = [
        (start, end, (end[0] - start[0]) * (start[1] + end[1]) / 2) for start, end in pairwise(points)
    ]
    total = sum(requests for _, _, requests in stretches)
    counted = np.arange(0.5, total) if rng is None else _unit_arrivals(total, rng)
    parts, before = [], 0.0
    for (start_s, start_rate), (end_s, end_rate), requests in stretches:
        mine = counted[(counted >= before) & (counted < before + requests)] - before
        before += requests
        if requests:
            # Where start_rate * t + slope * t**2 / 2 requests are to be expected, solved for t.
            slope = (end_rate - start_rate) / (end_s - start_s)
            root = np.sqrt(np.maximum(start_rate**2 + 2 * slope * mine, 0))
            parts.append(start_s + 2 * mine / (start_rate + root))
    return np.concatenate(parts)


def _unit_arrivals(until: float, rng: np.random.Generator) -> NDArray[np.float64]:
    # Six standard deviations above the mean, so that a second draw is all but never needed.
    size = int(until + 6 * until**0.5) + 10
    times = np.zeros(0)
    while not len(times) or times[-1] < until:
        last = times[-1] if len(times) else 0.0
        times = np.append(times, last + np.cumsum(rng.exponential(1, size)))
    return times[times < until]
