"""Judging: whether anybody looks at the rollouts, as a gateway knows it from what its keeper answers."""

from time import monotonic

# A keeper that lives answers twice a second, and looks every second.
LATE_S = 4.0


class KeeperSilence:
    """Seconds on a clock that nobody sets. Before the keeper has been heard, nothing is known against it."""

    def __init__(self) -> None:
        self._heard_s: float | None = None
        self._judged_s: float | None = None

    def hear(self, unjudged_s: float) -> None:
        """The keeper has answered; then nobody had judged for so long."""
        self._heard_s = monotonic()
        self._judged_s = self._heard_s - unjudged_s

    @property
    def silent(self) -> bool:
        """Whether the keeper has not answered for LATE_S."""
        return self._heard_s is not None and monotonic() - self._heard_s > LATE_S

    @property
    def unjudged_s(self) -> float | None:
        """For how long nobody has judged; None: somebody does."""
        if self._judged_s is None or (unjudged_s := monotonic() - self._judged_s) <= LATE_S:
            return None
        return unjudged_s
