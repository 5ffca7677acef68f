"""A token bucket that limits the rate of changes."""

import math

from serve.base.errors import TooManyWrites

_HELD_S = 2


class TokenBucket:
    """Allows `per_s` changes a second, and bursts of up to two seconds' worth."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._held = self._full = max(1.0, _HELD_S * per_s)
        self._at_s = -math.inf

    def take(self, now_s: float) -> None:
        """Take one token at a time on a monotonic clock. Raises TooManyWrites."""
        self._held = min(self._full, self._held + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._held < 1:
            retry_after_s = math.ceil((1 - self._held) / self._per_s)
            raise TooManyWrites(
                f"more than {self._per_s:g} changes a second; try again in {retry_after_s} s",
                retry_after_s,
            )
        self._held -= 1
