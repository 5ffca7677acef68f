"""Logs the progress of a run where there is no terminal for a progress bar."""

import sys
from typing import TextIO

from loadtests.load_plan import LoadPlan
from loadtests.sending.live_counters import LiveCounters

# Interval between two lines.
EVERY_S = 10.0


class ProgressLog:
    """Logs the progress of one run."""

    def __init__(self, plan: LoadPlan, out: TextIO | None = None) -> None:
        """Log to `out`; default: the standard error."""
        self._plan = plan
        self._out = out or sys.stderr
        self._due_s = EVERY_S
        self._shown = self._out.isatty()

    def __call__(self, live: LiveCounters, now_s: float) -> None:
        """Log the counts at `now_s` if a line is due."""
        if self._shown or now_s < self._due_s:
            return
        self._due_s = now_s + EVERY_S
        late = "" if live.limit_ms is None else f", {live.over_limit:,} over {live.limit_ms:g} ms"
        self._out.write(
            f"load on {self._plan.model}: {now_s:.0f} of {self._plan.duration_s:g} s, "
            f"{live.done:,} answered, {live.errors:,} failed{late}, {len(live.open):,} in flight\n"
        )
        self._out.flush()
