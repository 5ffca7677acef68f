"""Counts by key bucket at a model's baseline from before a rollout.

Users differ, and it takes time to measure how. A new rollout gets the counts of the last half hour to hour;
they give the expected error rate of each bucket."""

import time
from array import array
from collections.abc import Callable
from types import TracebackType

from serve.base.errors import InvalidRequest
from serve.base.routing import BUCKETS
from serve.counting.count_delta import Count

# The length of each of the two windows; one of them is still being counted.
_WINDOW_S = 1800.0


class _Window:
    """Requests and errors by bucket."""

    def __init__(self) -> None:
        self.requests = array("q", bytes(8 * BUCKETS))
        self.errors = array("q", bytes(8 * BUCKETS))


class PriorCounts:
    """The recent past of one model's keys in one gateway; always 32 KiB."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._began_s = clock()
        self._older, self._newer = _Window(), _Window()

    def count(self, bucket: int, *, failed: bool) -> None:
        """Count a request whose key is in this bucket."""
        self._turn()
        self._newer.requests[bucket] += 1
        self._newer.errors[bucket] += failed

    def counts(self) -> Count:
        """The counts by bucket. Latency limits did not exist yet, so nothing is counted over them."""
        self._turn()
        keys = {
            bucket: Count(requests=requests, errors=self._older.errors[bucket] + self._newer.errors[bucket])
            for bucket in range(BUCKETS)
            if (requests := self._older.requests[bucket] + self._newer.requests[bucket])
        }
        return Count(keys=keys)

    def _turn(self) -> None:
        now_s = self._clock()
        if (passed_s := now_s - self._began_s) < _WINDOW_S:
            return
        self._older = self._newer if passed_s < 2 * _WINDOW_S else _Window()
        self._newer, self._began_s = _Window(), now_s


class Recalled:
    """Counts the body of a `with` statement as one request of a key; without a bucket, counts nothing."""

    __slots__ = ("_bucket", "_past")

    def __init__(self, past: PriorCounts, bucket: int | None) -> None:
        self._past = past
        self._bucket = bucket

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bucket is not None:
            # An invalid request, or a client that left, is not a failure of the model.
            failed = isinstance(error, Exception) and not isinstance(error, InvalidRequest)
            self._past.count(self._bucket, failed=failed)
