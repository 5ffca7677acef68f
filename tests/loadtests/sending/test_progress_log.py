"""The progress of a run without a terminal."""

import io

from loadtests.load_plan import LoadPlan, steady
from loadtests.sending.live_counters import LiveCounters
from loadtests.sending.progress_log import EVERY_S, ProgressLog

_PLAN = LoadPlan(url="http://host", model="digits", profile=steady(50, 120))


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _told(out: io.StringIO, *moments_s: float) -> list[str]:
    progress, live = ProgressLog(_PLAN, out), LiveCounters(limit_ms=50, done=500, errors=2, over_limit=3)
    for now_s in moments_s:
        progress(live, now_s)
    return out.getvalue().splitlines()


def test_a_log_gets_a_line_now_and_then() -> None:
    """A log line gives the elapsed time and the counts so far."""
    lines = _told(io.StringIO(), 0.25, EVERY_S, EVERY_S + 0.25, 2 * EVERY_S + 0.5)
    assert lines == [
        "load on digits: 10 of 120 s, 500 answered, 2 failed, 3 over 50 ms, 0 in flight",
        "load on digits: 20 of 120 s, 500 answered, 2 failed, 3 over 50 ms, 0 in flight",
    ]


def test_a_terminal_has_a_bar_instead() -> None:
    """On a terminal there are no log lines, because it shows a progress bar."""
    assert _told(_Terminal(), EVERY_S, 2 * EVERY_S) == []
