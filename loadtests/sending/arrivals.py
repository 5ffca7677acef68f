"""Makes seeded open-loop schedules. The time of a request does not depend on the server."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray

from loadtests.load_plan import LoadPlan, steady

# The pin of a request that follows the server's split.
SPLIT = -1
# Seconds of an endless schedule that are drawn at a time.
_CHUNK_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Requests in order of time; all arrays have the same length."""

    # Time of sending, from the start of the measurement; the warm-up is below 0.
    at_s: NDArray[np.float64]
    # Index into `variants`, or SPLIT.
    pin: NDArray[np.int64]
    # Index of the prepared input.
    payload: NDArray[np.int64]
    # The variants that `pin` refers to.
    variants: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.at_s)

    def __iter__(self) -> Iterator[tuple[float, str | None, int]]:
        """Yield for each request its time, the variant (None for the split), and its input."""
        pins = [*self.variants, None]
        for at_s, pin, payload in zip(
            self.at_s.tolist(), self.pin.tolist(), self.payload.tolist(), strict=True
        ):
            yield at_s, pins[pin], payload

    def share(self, part: int, parts: int) -> "Schedule":
        """Return every `parts`-th request, the share of one of several senders."""
        part_of_schedule = slice(part, None, parts)
        return Schedule(
            at_s=self.at_s[part_of_schedule],
            pin=self.pin[part_of_schedule],
            payload=self.payload[part_of_schedule],
            variants=self.variants,
        )


def make_schedule(plan: LoadPlan, payloads: int) -> Schedule:
    """Make the requests of the plan.

    Times, pins and payloads come from separate random streams. Other pins or other inputs do not change the
    times, so two runs with the same seed have the same load."""
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
    """Yield schedules without end at the plan's first rate, each starting where the previous one ends."""
    first_per_s = plan.profile[0][1]
    for number in count():
        chunk = plan.model_copy(
            update={
                "profile": steady(first_per_s, _CHUNK_S),
                "warmup_s": 0 if number else plan.warmup_s,
                # The first schedule equals that of a run with this seed; the seeds of the others lie beyond
                # those that a user would choose.
                "seed": plan.seed + (number << 64),
            }
        )
        schedule = make_schedule(chunk, payloads)
        yield replace(schedule, at_s=schedule.at_s + number * _CHUNK_S)


def _times(points: Sequence[tuple[float, float]], rng: np.random.Generator | None) -> NDArray[np.float64]:
    """Return the times of requests whose rate follows straight lines through the points, evenly spaced or
    random.

    The arrivals are drawn at rate 1 on the scale of expected requests, then mapped back to time."""
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
            # Solve start_rate * t + slope * t**2 / 2 = expected requests for t.
            slope = (end_rate - start_rate) / (end_s - start_s)
            root = np.sqrt(np.maximum(start_rate**2 + 2 * slope * mine, 0))
            parts.append(start_s + 2 * mine / (start_rate + root))
    return np.concatenate(parts)


def _unit_arrivals(until: float, rng: np.random.Generator) -> NDArray[np.float64]:
    # Six standard deviations above the mean, so a second draw is almost never needed.
    size = int(until + 6 * until**0.5) + 10
    times = np.zeros(0)
    while not len(times) or times[-1] < until:
        last = times[-1] if len(times) else 0.0
        times = np.append(times, last + np.cumsum(rng.exponential(1, size)))
    return times[times < until]
