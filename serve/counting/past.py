"""Past: what keys that stick did at a model's baseline while no rollout watched it.

Users differ, and it takes a while until it is seen how. A rollout that begins is told of the last half hour
or hour: what each bucket of keys did then is what is expected of it now."""

import time
from array import array
from collections.abc import Callable
from types import TracebackType

from serve.base.errors import InvalidRequest
from serve.base.routing import BUCKETS
from serve.counting.census import Count

# Two windows of this length, of which one is still being counted.
_WINDOW_S = 1800.0


class _Window:
    """Requests by bucket, and those among them that failed."""

    def __init__(self) -> None:
        self.requests = array("q", bytes(8 * BUCKETS))
        self.errors = array("q", bytes(8 * BUCKETS))


class Past:
    """The past of one model's keys in one gateway; 32 KiB, whatever comes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells seconds."""
        self._clock = clock
        self._began_s = clock()
        self._older, self._newer = _Window(), _Window()

    def count(self, bucket: int, *, failed: bool) -> None:
        """A request whose key is in this bucket has ended."""
        self._turn()
        self._newer.requests[bucket] += 1
        self._newer.errors[bucket] += failed

    def counts(self) -> Count:
        """What it comes to, by bucket. Nothing is known of limits, for there were none."""
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
    """What happens inside `with` is one request of a key, well or not; without a bucket it is nobody's."""

    __slots__ = ("_bucket", "_past")

    def __init__(self, past: Past, bucket: int | None) -> None:
        self._past = past
        self._bucket = bucket

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bucket is not None:
            # A client that left or that asked for nonsense shows no failure of the model.
            failed = isinstance(error, Exception) and not isinstance(error, InvalidRequest)
            self._past.count(self._bucket, failed=failed)
