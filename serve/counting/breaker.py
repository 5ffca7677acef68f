"""Breaker: the circuit breaker of a rollout's candidate in one gateway. Pure: no clock, no I/O.

It needs no statistics, because it only looks for total failure: each of the last RUN requests failed. A
candidate of which a share f of the requests fails looks so by chance less than once in f^-RUN requests: with
f = 0.1 never (1e20), with f = 0.3 once in 3e10, and one that fails more often than that is nobody's equal. At
10 requests/s a run takes two seconds, and at any higher rate less."""

from collections import Counter, deque
from dataclasses import dataclass

RUN = 20
# So many users must have met it: one may always send what fails. A request without a key is a user.
USERS = 3
# The baseline is looked at over so many of its own requests, of which at most half may have failed: else
# the trouble is not the candidate's, and its traffic is in no better hands.
_MOST_FAILED = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Trip:
    """That the breaker of one gateway has opened: the candidate gets no requests there any more."""

    rollout: str
    # Such as `20 of the last 20 requests failed (ModelFailed 20), and the baseline answers`.
    reason: str
    # Or the person who has aborted the rollout while no keeper answered.
    by: str = "circuit breaker"


class Breaker:
    """Hears how the requests of one rollout ended, in their order. Who gave an answer that the baseline could
    not better is not told of."""

    __slots__ = ("_baseline", "_run", "trip")

    def __init__(self) -> None:
        # None: it is closed, as it should be.
        self.trip: Trip | None = None
        # The failures since the last request that went well: why, and the bucket of the request's key.
        self._run: deque[tuple[str, int | None]] = deque(maxlen=RUN)
        # Of the baseline's last requests, whether each failed.
        self._baseline: deque[bool] = deque(maxlen=RUN)

    def hear_candidate(self, failure: str, bucket: int | None) -> None:
        """A request that the candidate got has ended; `failure` says why it failed, or is empty."""
        if failure:
            self._run.append((failure, bucket))
        elif self._run:
            self._run.clear()

    def hear_baseline(self, *, failed: bool) -> None:
        """A request that the baseline got has ended."""
        self._baseline.append(failed)

    @property
    def due(self) -> bool:
        """Whether it should open, provided that the baseline is there to take over."""
        if self.trip is not None or len(self._run) < RUN:
            return False
        keys = [bucket for _, bucket in self._run if bucket is not None]
        users = len(set(keys)) + RUN - len(keys)
        return users >= USERS and sum(self._baseline) <= _MOST_FAILED * len(self._baseline)

    def open(self, rollout: str) -> None:
        """From now on the candidate gets nothing."""
        causes = Counter(failure for failure, _ in self._run).most_common()
        named = ", ".join(f"{cause} {count}" for cause, count in causes)
        reason = f"{RUN} of the last {RUN} requests failed ({named}), and the baseline answers"
        self.trip = Trip(rollout=rollout, reason=reason)
