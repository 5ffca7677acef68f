"""Clock: the time that rollouts are judged by, which does not jump when somebody sets the machine's clock."""

import time
from time import monotonic


class SteadyClock:
    """Seconds since 1970: the wall clock as it was at the start, and from then on the monotonic one.

    A new process trusts the wall clock again, but never goes back behind what was written before."""

    def __init__(self) -> None:
        self._start_s = time.time() - monotonic()

    def now_s(self) -> float:
        """The time."""
        return self._start_s + monotonic()

    def not_before(self, written_s: float) -> None:
        """Something was written at this time, so it cannot be earlier now."""
        self._start_s += max(written_s - self.now_s(), 0.0)
