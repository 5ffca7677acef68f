"""The circuit breaker of a rollout's candidate in one gateway. Pure: no clock, no I/O.

It needs no statistics, because it detects only total failure: each of the last RUN requests failed. If a
share f of a candidate's requests fails, chance produces such a run less than once in f^-RUN requests: with
f = 0.1 practically never (1e20), with f = 0.3 once in 3e10. A candidate that fails more often is not equal
to any baseline. At 10 requests/s a run takes two seconds, and at higher rates less."""

from collections import Counter, deque
from dataclasses import dataclass

RUN = 20
# The run must include at least this many users, because one user may send only bad requests. A request
# without a key counts as a user.
USERS = 3
# If more than this share of the baseline's last requests failed, the candidate is not the cause, and the
# baseline could not serve its traffic.
_MOST_FAILED = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Trip:
    """The breaker of one gateway has opened: the candidate gets no more requests there."""

    rollout: str
    # Such as `20 of the last 20 requests failed (ModelFailed 20), and the baseline answers`.
    reason: str
    # Or the name of the person who aborted the rollout while no keeper answered.
    by: str = "circuit breaker"


class Breaker:
    """Receives the outcome of each request of one rollout, in order. Bad answers that the baseline would give
    as well are not passed to it."""

    __slots__ = ("_baseline", "_run", "trip")

    def __init__(self) -> None:
        # None while the breaker is closed.
        self.trip: Trip | None = None
        # The failures since the last success: the reason, and the bucket of the request's key.
        self._run: deque[tuple[str, int | None]] = deque(maxlen=RUN)
        # Whether each of the baseline's last requests failed.
        self._baseline: deque[bool] = deque(maxlen=RUN)

    def note_candidate(self, failure: str, bucket: int | None) -> None:
        """A request of the candidate has ended; `failure` is the reason, or empty after success."""
        if failure:
            self._run.append((failure, bucket))
        elif self._run:
            self._run.clear()

    def note_baseline(self, *, failed: bool) -> None:
        """A request of the baseline has ended."""
        self._baseline.append(failed)

    @property
    def due(self) -> bool:
        """Whether the breaker should open, provided that the baseline is running."""
        if self.trip is not None or len(self._run) < RUN:
            return False
        keys = [bucket for _, bucket in self._run if bucket is not None]
        users = len(set(keys)) + RUN - len(keys)
        return users >= USERS and sum(self._baseline) <= _MOST_FAILED * len(self._baseline)

    def open(self, rollout: str) -> None:
        """Open the breaker: the candidate gets no more requests."""
        causes = Counter(failure for failure, _ in self._run).most_common()
        named = ", ".join(f"{cause} {count}" for cause, count in causes)
        reason = f"{RUN} of the last {RUN} requests failed ({named}), and the baseline answers"
        self.trip = Trip(rollout=rollout, reason=reason)
