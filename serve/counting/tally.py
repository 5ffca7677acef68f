"""The counters of one variant. Tallies of several gateways can be added."""

import asyncio
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from types import TracebackType

from serve.base.errors import InvalidRequest, Overloaded
from serve.counting.comparison import Comparison
from serve.counting.run_costs import Sizes, add_run, add_sizes

# Upper edges of the latency buckets in ms: 0.1 ms to 100 s, 24 to a decade, so a quantile is within 10.1 %.
EDGES_MS = tuple(10 ** (step / 24 - 1) for step in range(6 * 24 + 1))


class Histogram:
    """The number of durations per bucket, and their sum."""

    __slots__ = ("buckets", "sum_ms")

    def __init__(self) -> None:
        # The extra bucket at the end is for durations above 100 s.
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
        """The number of durations."""
        return sum(self.buckets)

    def quantile_ms(self, q: float) -> float | None:
        """The upper edge of the bucket with the q-quantile; None if nothing was counted."""
        cumulative = list(accumulate(self.buckets))
        if not cumulative[-1]:
            return None
        rank = max(1, -(-int(q * cumulative[-1] * 10**9) // 10**9))
        return EDGES_MS[min(bisect_left(cumulative, rank), len(EDGES_MS) - 1)]


class Tally:
    """Counts of one variant's requests and the cost of its runs. Counts only grow."""

    __slots__ = (
        "abandoned",
        "copies",
        "cpu_ms",
        "disagreements",
        "drops",
        "explained",
        "explanation_overlap",
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
        # Requests that the variant accepted and that ended, with or without success; without disconnected
        # clients.
        self.requests = 0
        # The failed ones among them, by the name of the error class.
        self.failures: Counter[str] = Counter()
        # Failed requests, and requests refused after admission, that the baseline or a second try answered.
        self.rescues = 0
        # Requests that were refused because the queue was full; not part of `requests`.
        self.sheds = 0
        # Requests whose clients disconnected before the answer; not part of `requests`.
        self.abandoned = 0
        # From the decoded request to the encoded answer, for every request.
        self.latency = Histogram()
        # The time in the queue, for every request that was run.
        self.queued = Histogram()
        # Rows of all successful runs.
        self.rows = 0
        # Rows in a run -> number of runs, and their total time.
        self.runs: Counter[int] = Counter()
        self.run_ms: defaultdict[int, float] = defaultdict(float)
        # CPU time of all runs, in the process that ran them, and the same by size of run.
        self.cpu_ms = 0.0
        self.sizes: Sizes = {}
        # As a shadow: rows that were compared with the baseline's, rows that differed, and rows that were
        # dropped.
        self.copies = 0
        self.disagreements = 0
        self.drops = 0
        # As a shadow: rows that were explained by both, and the sum of the shares of the most important
        # features that are the baseline's.
        self.explained = 0
        self.explanation_overlap = 0.0
        # The end of the last request, in seconds since 1970; 0: no request yet.
        self.last_s = 0.0

    @property
    def errors(self) -> int:
        """The number of failed requests."""
        return self.failures.total()

    def count_run(self, rows: int, run_ms: float, cpu_ms: float) -> None:
        """Count a successful run of `rows` rows."""
        self.rows += rows
        self.runs[rows] += 1
        self.run_ms[rows] += run_ms
        self.cpu_ms += cpu_ms
        add_run(self.sizes, rows, cpu_ms)

    def count_copies(self, compared: Comparison, dropped: int) -> None:
        """Count copies of a shadow: what was compared, and the rows that were dropped."""
        self.copies += compared.pairs
        self.disagreements += compared.disagreements
        self.drops += dropped
        self.explained += compared.explanation_overlap.count
        self.explanation_overlap += compared.explanation_overlap.total

    def fail(self, cause: str, ms: float) -> None:
        """Count a request that failed after `ms`."""
        self.failures[cause] += 1
        self.end(ms)

    def end(self, ms: float) -> None:
        """Count a request that ended after `ms`, with or without success."""
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
    """The present load of one variant, and its tally."""

    tally: Tally
    # Requests in progress, and the rows among them that wait for a run.
    in_flight: int
    waiting_rows: int

    def __add__(self, other: "VariantLoad") -> "VariantLoad":
        return VariantLoad(
            tally=self.tally + other.tally,
            in_flight=self.in_flight + other.in_flight,
            waiting_rows=self.waiting_rows + other.waiting_rows,
        )


# (model, variant) -> load.
Loads = dict[tuple[str, str], VariantLoad]


def add_loads(gateways: Iterable[Loads]) -> Loads:
    """Add the loads of several gateways."""
    total: Loads = {}
    for loads in gateways:
        for key, load in loads.items():
            total[key] = total[key] + load if key in total else load
    return total


def ran_of(tallies: Mapping[str, Tally]) -> tuple[dict[str, tuple[int, float]], dict[str, Sizes]]:
    """By variant, the rows and CPU milliseconds of all runs so far, and the same by size of run."""
    return (
        {variant: (tally.rows, tally.cpu_ms) for variant, tally in tallies.items()},
        {variant: dict(tally.sizes) for variant, tally in tallies.items()},
    )


class Counted:
    """Counts the body of a `with` statement as one request. A class, because generators are slower."""

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
                # The client disconnected, so the latency of the answer is unknown.
                tally.abandoned += 1
                return
            if isinstance(error, InvalidRequest):
                # The client's fault, unless the baseline can answer the request.
                return
            tally.failures[type(error).__name__] += 1
        tally.end((time.perf_counter() - self._start) * 1e3)
