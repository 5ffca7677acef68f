"""Estimates how much longer a run must be to decide what it left open, if its figures stay as they are."""

import math
from bisect import bisect_left

from loadtests.judging.confidence import bound_rate
from loadtests.variant_report import Interval

# A longer run than the last of these is of no practical use.
_TIMES = (1.5, 2, 3, 4, 6, 8, 10, 15, 20, 30, 50, 70, 100)


def times_for_rate(events: int, trials: int, allowed: float, alpha: float) -> float | None:
    """Return how many times as many trials show the rate to be within or above `allowed`; infinity if a
    hundred times as many do not; None without trials."""

    def is_decided(times: float) -> bool:
        rate = bound_rate(round(times * events), round(times * trials), alpha)
        assert rate.low is not None
        assert rate.high is not None
        return rate.high <= allowed or rate.low > allowed

    if not trials:
        return None
    place = bisect_left(_TIMES, True, key=is_decided)
    return _TIMES[place] if place < len(_TIMES) else math.inf


def times_for_interval(found: Interval, passes_at: float, fails_above: float) -> float:
    """Return how many times as long a run must be for the interval to end at or below `passes_at` or begin
    above `fails_above`; infinity if the value lies on them. The width falls with the root of the length."""
    assert found.low is not None
    assert found.high is not None
    needed = []
    if found.value < passes_at:
        needed.append((found.high - found.value) / (passes_at - found.value))
    if found.value > max(passes_at, fails_above):
        needed.append((found.value - found.low) / (found.value - fails_above))
    return min((width**2 for width in needed), default=math.inf)


def times_for_evidence(*sides: tuple[float, float]) -> float | None:
    """Return how many times as long a run must be for the log evidence of one side to reach its threshold,
    to which it grows in proportion to the length; None if there is no evidence on any side."""
    return min((threshold / evidence for evidence, threshold in sides if evidence > 0), default=None)


def say_longer(times: float | None) -> str:
    """Say what to do about an undecided check; None: nothing is known about the length."""
    if times is None:
        return "run longer"
    if times > _TIMES[-1]:
        return f"run longer, though {_TIMES[-1]} times as long may not decide it"
    return f"run longer, about {max(times, _TIMES[0]):.2g} times as long if the figures stay as they are"
