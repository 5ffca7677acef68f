"""Counts of one variant's requests by the bucket of their sticky key."""

from collections.abc import Mapping
from typing import Self

from serve.base.routing import BUCKETS
from serve.counting.sums import Sum, Sums


class KeyCounts(Sums):
    """Requests by the bucket of their key (see `serve.base.routing.bucket_of`), and the bad ones among them,
    if there are any."""

    buckets: Mapping[int, Sum] = {}
    errors: Mapping[int, Sum] = {}
    over_limit: Mapping[int, Sum] = {}
    over_p50: Mapping[int, Sum] = {}
    over_p95: Mapping[int, Sum] = {}
    over_p99: Mapping[int, Sum] = {}

    def __add__(self, other: Self) -> Self:
        return type(self)(
            **{name: _add(getattr(self, name), getattr(other, name)) for name in type(self).model_fields}
        )

    @property
    def without_limits(self) -> Self:
        """The same counts without those over a limit."""
        return type(self)(buckets=self.buckets, errors=self.errors)

    @property
    def concentration(self) -> float:
        """The probability that two requests have the same key (Simpson, Nature 1949), corrected for keys that
        share a bucket by chance. Its inverse is the effective number of keys. 1 if nothing is known."""
        requests = sum(self.buckets.values())
        if requests < 2:
            return 1.0
        alike = sum(count * (count - 1) for count in self.buckets.values()) / (requests * (requests - 1))
        return max((alike - 1 / BUCKETS) / (1 - 1 / BUCKETS), 0.0)


def _add(first: Mapping[int, int], second: Mapping[int, int]) -> dict[int, int]:
    total = dict(first)
    for bucket, count in second.items():
        total[bucket] = total.get(bucket, 0) + count
    return dict(sorted(total.items()))
