"""How long a keeper has judged a rollout. Pure."""

from serve.base.record import Record


class JudgedTime(Record):
    """Seconds between the looks of one keeper, on a monotonic clock. The absence of a keeper does not count,
    and neither does a change of the machine's clock."""

    # Since the start of the rollout.
    whole_s: float = 0.0
    # Since the start of the present phase; and that start, in seconds since 1970.
    here_s: float = 0.0
    entered_s: float = 0.0

    def on(self, entered_s: float, last_s: float, now_s: float) -> "JudgedTime":
        """Add a look at `now_s` after the one at `last_s`, or after the start of the keeper."""
        passed_s = max(now_s - last_s, 0.0)
        here_s = self.here_s + passed_s
        if entered_s != self.entered_s:
            here_s = min(passed_s, max(now_s - entered_s, 0.0))
        return JudgedTime(whole_s=self.whole_s + passed_s, here_s=here_s, entered_s=entered_s)
