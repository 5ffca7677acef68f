"""Tally: what was counted for one variant. Tallies of several gateways add up."""

import asyncio
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from types import TracebackType

from serve.base.errors import InvalidRequest, Overloaded
from serve.counting.runs import Sizes, add_run, add_sizes

# Upper edges of the latency buckets in ms: 0.1 ms to 100 s, 24 to a decade, so a quantile is within 10.1 %.
EDGES_MS = tuple(10 ** (step / 24 - 1) for step in range(6 * 24 + 1))


class Histogram:
    """How often a duration fell between two edges, and the sum of all."""

    __slots__ = ("buckets", "sum_ms")

    def __init__(self) -> None:
        # One more than the edges: the last bucket takes what is slower than 100 s.
        self.buckets = [0] * (len(EDGES_MS) + 1)
        self.sum_ms = 0.0

    def record(self, duration_ms: float) -> None:
        """Count one duration."""
        self.buckets[bisect_left(EDGES_MS, duration_ms)] += 1
        self.sum_ms += duration_ms

    def __add__(self, other: "Histogram") -> "Histogram":
        total = Histogram()
        total.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        total.sum_ms = self.sum_ms + other.sum_ms
        return total

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self.buckets)

    def quantile_ms(self, q: float) -> float | None:
        """The upper edge of the bucket that holds the q-quantile; None when nothing was counted."""
        cumulative = list(accumulate(self.buckets))
        if not cumulative[-1]:
            return None
        rank = max(1, -(-int(q * cumulative[-1] * 10**9) // 10**9))
        return EDGES_MS[min(bisect_left(cumulative, rank), len(EDGES_MS) - 1)]


class Tally:
    """What one variant's requests came to, and what its runs cost. Counts only grow."""

    __slots__ = (
        "abandoned",
        "copies",
        "cpu_ms",
        "disagreements",
        "drops",
        "failures",
        "last_s",
        "latency",
        "queued",
        "requests",
        "rescues",
        "rows",
        "run_ms",
        "runs",
        "sheds",
        "sizes",
    )

    def __init__(self) -> None:
        # Requests that the variant took and that ended, well or not; a client that left is not among them.
        self.requests = 0
        # Of these the failed ones, by cause: the name of the error's class.
        self.failures: Counter[str] = Counter()
        # Of the failed ones and of those refused after the door, how many were answered after all: by the
        # baseline, or by a second try.
        self.rescues = 0
        # Requests that were refused at the door because the queue was full; not among `requests`.
        self.sheds = 0
        # Requests whose clients left before the answer was there; not among `requests`.
        self.abandoned = 0
        # From the decoded request to the encoded answer, of every request.
        self.latency = Histogram()
        # From the queue's entry to the start of the run, of every request that was run.
        self.queued = Histogram()
        # Rows of all runs that ended well.
        self.rows = 0
        # Rows in a run -> how many runs, and their time together.
        self.runs: Counter[int] = Counter()
        self.run_ms: defaultdict[int, float] = defaultdict(float)
        # The CPU time of all runs, where they ran, and the same by their size.
        self.cpu_ms = 0.0
        self.sizes: Sizes = {}
        # As a shadow: rows whose answers were compared with the baseline's, those of them that differed, and
        # rows that were dropped instead.
        self.copies = 0
        self.disagreements = 0
        self.drops = 0
        # When the last request ended, in seconds since 1970; 0: there was none.
        self.last_s = 0.0

    @property
    def errors(self) -> int:
        """How many requests failed."""
        return self.failures.total()

    def count_run(self, rows: int, run_ms: float, cpu_ms: float) -> None:
        """A run of so many rows has ended well."""
        self.rows += rows
        self.runs[rows] += 1
        self.run_ms[rows] += run_ms
        self.cpu_ms += cpu_ms
        add_run(self.sizes, rows, cpu_ms)

    def fail(self, cause: str, ms: float) -> None:
        """A request has failed after so long."""
        self.failures[cause] += 1
        self.end(ms)

    def end(self, ms: float) -> None:
        """A request has ended after so long, well or not."""
        self.requests += 1
        self.latency.record(ms)
        self.last_s = time.time()

    def __add__(self, other: "Tally") -> "Tally":
        total = Tally()
        for name in Tally.__slots__:
            if name not in ("last_s", "run_ms", "sizes"):
                setattr(total, name, getattr(self, name) + getattr(other, name))
        for part in (self, other):
            for rows, run_ms in part.run_ms.items():
                total.run_ms[rows] += run_ms
        total.sizes = add_sizes([self.sizes, other.sizes])
        total.last_s = max(self.last_s, other.last_s)
        return total


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantLoad:
    """What one variant has to do now, and its tally so far."""

    tally: Tally
    # Requests taken and not yet answered, and the rows among them that wait for a run.
    in_flight: int
    waiting_rows: int

    def __add__(self, other: "VariantLoad") -> "VariantLoad":
        return VariantLoad(
            tally=self.tally + other.tally,
            in_flight=self.in_flight + other.in_flight,
            waiting_rows=self.waiting_rows + other.waiting_rows,
        )


# By model and variant.
Loads = dict[tuple[str, str], VariantLoad]


def add_loads(gateways: Iterable[Loads]) -> Loads:
    """The loads of several gateways together."""
    total: Loads = {}
    for loads in gateways:
        for key, load in loads.items():
            total[key] = total[key] + load if key in total else load
    return total


def ran_of(tallies: Mapping[str, Tally]) -> tuple[dict[str, tuple[int, float]], dict[str, Sizes]]:
    """By variant, what all its runs so far came to: their rows and CPU milliseconds, and the same by size."""
    return (
        {variant: (tally.rows, tally.cpu_ms) for variant, tally in tallies.items()},
        {variant: dict(tally.sizes) for variant, tally in tallies.items()},
    )


class Counted:
    """Counts what happens inside `with` as one request of a tally. Not a generator: it is on the hot path."""

    __slots__ = ("_start", "_tally")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tally = self._tally
        if error is not None:
            if isinstance(error, Overloaded):
                tally.sheds += 1
                return
            if isinstance(error, asyncio.CancelledError):
                # Its client went away: how long the answer would have taken is not known.
                tally.abandoned += 1
                return
            if isinstance(error, InvalidRequest):
                # The client's doing, until somebody else has answered it.
                return
            tally.failures[type(error).__name__] += 1
        tally.end((time.perf_counter() - self._start) * 1e3)
