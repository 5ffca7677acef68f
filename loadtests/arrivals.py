"""Arrivals: seeded open-loop schedules. When a request is sent depends on nothing that the server does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """One request of the schedule."""

    # When to send it, counted from the start of the run.
    at_s: float
    # The variant to ask for; None: the server's split decides.
    variant: str | None
    # Which of the prepared inputs to send.
    payload: int


def make_schedule(
    *, rate_per_s: float, duration_s: float, pinned: Sequence[str], payloads: int, seed: int
) -> list[Arrival]:
    """Poisson arrivals at `rate_per_s` over `duration_s`, in order of time.

    Times, pins and payloads are drawn from streams of their own: another list of pins or another file of
    inputs leaves the times as they were, so two runs of one seed are loaded alike."""
    streams = np.random.SeedSequence(seed).spawn(3)
    of_times, of_pins, of_payloads = (np.random.default_rng(stream) for stream in streams)
    times = _draw_times(rate_per_s, duration_s, of_times)
    chosen = of_payloads.integers(payloads, size=len(times))
    variants: list[str | None] = [None] * len(times)
    if pinned:
        variants = [pinned[index] for index in of_pins.integers(len(pinned), size=len(times))]
    return [
        Arrival(at_s=float(at_s), variant=variant, payload=int(payload))
        for at_s, variant, payload in zip(times, variants, chosen, strict=True)
    ]


def _draw_times(rate_per_s: float, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    expected = rate_per_s * duration_s
    # Six standard deviations above the mean, so that a second draw is all but never needed.
    size = int(expected + 6 * expected**0.5) + 10
    times = np.zeros(0)
    while not len(times) or times[-1] < duration_s:
        last_s = times[-1] if len(times) else 0.0
        times = np.append(times, last_s + np.cumsum(rng.exponential(1 / rate_per_s, size)))
    return times[times < duration_s]
