"""Live: what is known of a run while it is under way."""

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Live:
    """Counts of the requests after the warm-up whose fate is known."""

    # Later than this is over the limit; None: there is no limit.
    limit_ms: float | None
    # Answered, well or not.
    done: int = 0
    errors: int = 0
    over_limit: int = 0
    sending: bool = True
    # By number, what is unanswered, in the order in which it was sent: intended, sent, the variant asked for.
    open: dict[int, tuple[float, float, str | None]] = field(default_factory=dict)

    def note(self, intended_s: float, done_s: float, *, right: bool) -> None:
        """One request has ended."""
        if intended_s < 0:
            return
        self.done += 1
        self.errors += not right
        self.over_limit += self.limit_ms is not None and (done_s - intended_s) * 1000 > self.limit_ms

    def overdue(self, now_s: float) -> int:
        """Unanswered requests that are over the limit already."""
        if self.limit_ms is None:
            return 0
        overdue = 0
        for intended_s, _, _ in self.open.values():
            if (now_s - intended_s) * 1000 <= self.limit_ms:
                break
            overdue += intended_s >= 0
        return overdue
