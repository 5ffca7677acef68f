"""The requirements of the tables, and whether a result misses them by more than chance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

# A cell that meets its requirement seems to miss it once in this many cases.
_ODDS = 10_000


class Found(NamedTuple):
    """The result of a number of rollouts: how many there were of each outcome, and remarks."""

    runs: int
    counts: Mapping[str, int]
    said: str = ""


class Requirement(NamedTuple):
    """A share of the rollouts to which something may happen at most, or must at least."""

    what: str
    at_most: float | None = None
    at_least: float | None = None

    def missed(self, found: Found) -> bool:
        """Return whether the result misses the requirement by more than chance explains."""
        count, runs = found.counts[self.what], found.runs
        if self.at_most is not None:
            return bool(binom.sf(count - 1, runs, self.at_most) < 1 / _ODDS)
        return bool(binom.cdf(count, runs, self.at_least) < 1 / _ODDS)

    def said(self, found: Found) -> str:
        """Return the share beside the required one."""
        asked = f"<= {self.at_most:.0%}" if self.at_most is not None else f">= {self.at_least:.0%}"
        return f"{self.what} {found.counts[self.what] / found.runs:.2%} (asked {asked})"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One line of a table."""

    group: str
    name: str
    asked: tuple[Requirement, ...]
    # Returns the results of this number of rollouts.
    find: Callable[[int], Found]
    runs: int = 1000


def median_said(seconds: NDArray[Any], what: str) -> str:
    """The median and the 95th percentile of what happened in time; empty: it did in none."""
    if not len(seconds):
        return ""
    median, late = np.quantile(seconds, (0.5, 0.95), method="higher")
    return f"{what} after {median:,.0f} s (median), {late:,.0f} s (p95)"
