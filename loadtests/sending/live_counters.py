"""The counters of a run in progress."""

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class LiveCounters:
    """Counts of the requests after the warm-up that have ended."""

    # Requests that take longer are over the limit; None: there is no limit.
    limit_ms: float | None
    # Number of answers, right or wrong.
    done: int = 0
    errors: int = 0
    over_limit: int = 0
    sending: bool = True
    # Unanswered requests by number, in order of sending: scheduled time, time of sending, requested variant.
    open: dict[int, tuple[float, float, str | None]] = field(default_factory=dict)

    def note(self, intended_s: float, done_s: float, *, right: bool) -> None:
        """Record that one request has ended."""
        if intended_s < 0:
            return
        self.done += 1
        self.errors += not right
        self.over_limit += self.limit_ms is not None and (done_s - intended_s) * 1000 > self.limit_ms

    def overdue(self, now_s: float) -> int:
        """Return how many unanswered requests are already over the limit."""
        if self.limit_ms is None:
            return 0
        overdue = 0
        for intended_s, _, _ in self.open.values():
            if (now_s - intended_s) * 1000 <= self.limit_ms:
                break
            overdue += intended_s >= 0
        return overdue
