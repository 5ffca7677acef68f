"""Keys: how the requests of one variant spread over the keys that stick to it."""

from collections.abc import Mapping
from typing import Self

from serve.rollout.sums import Sum, Sums
from serve.routing import BUCKETS


class Keys(Sums):
    """Requests by the bucket of their key (see `serve.routing.bucket_of`)."""

    buckets: Mapping[int, Sum] = {}

    def __add__(self, other: Self) -> Self:
        total = dict(self.buckets)
        for bucket, requests in other.buckets.items():
            total[bucket] = total.get(bucket, 0) + requests
        return type(self)(buckets=dict(sorted(total.items())))

    @property
    def concentration(self) -> float:
        """How likely two requests have the same key (Simpson, Nature 1949): one in so many, if all keys had
        equally many. 1 where nothing is known. Keys that share a bucket by chance are taken off."""
        requests = sum(self.buckets.values())
        if requests < 2:
            return 1.0
        alike = sum(count * (count - 1) for count in self.buckets.values()) / (requests * (requests - 1))
        return max((alike - 1 / BUCKETS) / (1 - 1 / BUCKETS), 0.0)
