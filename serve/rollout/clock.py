"""The clock of rollouts, which does not jump when the machine's clock is changed."""

import time
from time import monotonic


class SteadyClock:
    """Seconds since 1970: the wall clock at the start, continued with the monotonic clock.

    A new process trusts the wall clock again, but never goes back before the last written entry."""

    def __init__(self) -> None:
        self._start_s = time.time() - monotonic()

    def now_s(self) -> float:
        """The present time."""
        return self._start_s + monotonic()

    def not_before(self, written_s: float) -> None:
        """Advance to at least `written_s`, the time of a written entry."""
        self._start_s += max(written_s - self.now_s(), 0.0)
