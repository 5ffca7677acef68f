"""Decides how far a trial goes: few rows first, all rows only if it can still win. Pure."""

from typing import Literal

from export.search.trial import Measured

# The rows of the first rung, and how many times more each further one has.
_FIRST = 128
_TIMES = 4


def list_rungs(rows: int) -> tuple[int, ...]:
    """Return the numbers of rows of a race over `rows` rows, such as (128, 512, 1500)."""
    rungs = []
    size = _FIRST
    # A rung that is nearly the last one would only repeat its work.
    while 2 * size <= rows:
        rungs.append(size)
        size *= _TIMES
    return (*rungs, rows)


def decide(measured: Measured, beat: float | None) -> Literal["go on", "beaten", "rejected"]:
    """Return whether a trial can still be the best one within the floor, by the ends of its intervals that
    speak for it.

    `beat` is the lower end of the best trial's speed-up so far; None if there is none."""
    if measured.sure_violation > 0:
        return "rejected"
    if beat is not None and measured.speedup.high <= beat:
        return "beaten"
    return "go on"
