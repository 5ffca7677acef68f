"""Bucket: so many a second, and no more."""

import math

from serve.base.errors import TooManyWrites

_HELD_S = 2


class Bucket:
    """Fills at `per_s` and holds what comes in two seconds."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._held = self._full = max(1.0, _HELD_S * per_s)
        self._at_s = -math.inf

    def take(self, now_s: float) -> None:
        """Take one, at a moment on a clock that never goes back. Raises TooManyWrites."""
        self._held = min(self._full, self._held + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._held < 1:
            retry_after_s = math.ceil((1 - self._held) / self._per_s)
            raise TooManyWrites(
                f"more than {self._per_s:g} changes a second came; try again in {retry_after_s} s",
                retry_after_s,
            )
        self._held -= 1
