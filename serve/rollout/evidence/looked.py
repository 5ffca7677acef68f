"""Looked: for how long a rollout was looked at. Pure."""

from serve.base.record import Record


class Looked(Record):
    """Seconds that passed between two looks of one keeper, by a clock that nobody sets: who was away has
    judged nothing meanwhile, and a clock that was set two hours ahead is no watch of two hours."""

    # Since the start of the rollout.
    whole_s: float = 0.0
    # Since it entered the phase that it is in; and when that was, in seconds since 1970.
    here_s: float = 0.0
    entered_s: float = 0.0

    def on(self, entered_s: float, last_s: float, now_s: float) -> "Looked":
        """This after a look at `now_s` that follows the one at `last_s`, or that keeper's beginning."""
        passed_s = max(now_s - last_s, 0.0)
        here_s = self.here_s + passed_s
        if entered_s != self.entered_s:
            here_s = min(passed_s, max(now_s - entered_s, 0.0))
        return Looked(whole_s=self.whole_s + passed_s, here_s=here_s, entered_s=entered_s)
