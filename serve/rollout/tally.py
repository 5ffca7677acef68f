"""Tally: what was counted for one variant. Tallies of several gateways add up."""

from bisect import bisect_left
from itertools import accumulate

# Upper edges of the latency buckets in ms: 0.1 ms to 100 s, 24 to a decade, so a quantile is within 10.1 %.
EDGES_MS = tuple(10 ** (step / 24 - 1) for step in range(6 * 24 + 1))


class Tally:
    """Counts of answered requests, and a histogram of how long they took in the gateway."""

    __slots__ = ("buckets", "errors", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        # One more than the edges: the last bucket takes what is slower than 100 s.
        self.buckets = [0] * (len(EDGES_MS) + 1)

    def record(self, latency_ms: float, *, failed: bool) -> None:
        """Count one request."""
        self.requests += 1
        self.errors += failed
        self.buckets[bisect_left(EDGES_MS, latency_ms)] += 1

    def __add__(self, other: "Tally") -> "Tally":
        total = Tally()
        total.requests = self.requests + other.requests
        total.errors = self.errors + other.errors
        total.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        return total

    def quantile_ms(self, q: float) -> float | None:
        """The upper edge of the bucket that holds the q-quantile of latency; None without requests."""
        if not self.requests:
            return None
        rank = max(1, -(-int(q * self.requests * 10**9) // 10**9))
        index = bisect_left(list(accumulate(self.buckets)), rank)
        return EDGES_MS[min(index, len(EDGES_MS) - 1)]
