"""How a gateway knows, from its keeper's answers, whether anybody judges the rollouts."""

from time import monotonic

# A running keeper answers twice a second and judges every second.
LATE_S = 4.0


class KeeperSilence:
    """Measures, on a monotonic clock, how long the keeper has been silent. Before its first answer, nothing
    is known."""

    def __init__(self) -> None:
        self._heard_s: float | None = None
        self._judged_s: float | None = None

    def note_reply(self, unjudged_s: float) -> None:
        """The keeper has answered, and reported how long nobody had judged."""
        self._heard_s = monotonic()
        self._judged_s = self._heard_s - unjudged_s

    @property
    def silent(self) -> bool:
        """Whether the keeper has not answered for LATE_S."""
        return self._heard_s is not None and monotonic() - self._heard_s > LATE_S

    @property
    def unjudged_s(self) -> float | None:
        """How long nobody has judged; None if somebody does."""
        if self._judged_s is None or (unjudged_s := monotonic() - self._judged_s) <= LATE_S:
            return None
        return unjudged_s
