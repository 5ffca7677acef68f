from serve.rollout.evidence.time_window import TimeWindow, extended

SECOND = {"requests": 10, "errors": 1, "timed": 10, "over_limit": 2}


def after(windows: tuple[TimeWindow, ...], at_s: float, lasts_s: float = 1.0) -> tuple[TimeWindow, ...]:
    """Return the windows extended by a second with ten requests."""
    return extended(windows, (at_s, at_s + lasts_s), SECOND)


def test_half_a_minute_adds_up_to_one() -> None:
    """Thirty seconds make a whole window, and the next tick starts another."""
    windows: tuple[TimeWindow, ...] = ()
    for second in range(31):
        windows = after(windows, second)
    assert windows[0] == TimeWindow(
        started_s=0, ended_s=30, requests=300, errors=30, timed=300, over_limit=60
    )
    assert [window.whole for window in windows] == [True, False]


def test_what_was_a_stall_is_taken_back() -> None:
    """Requests that a stall takes back are subtracted, but the counts stay at 0 or above."""
    windows = after(after((), 0), 1)
    one, *_ = extended(windows, (2, 3), dict.fromkeys(SECOND, -15))
    assert one == TimeWindow(started_s=0, ended_s=3, requests=5, errors=0, timed=5, over_limit=0)


def test_a_long_tick_is_one_stretch() -> None:
    """A tick of 90 seconds is one whole window."""
    assert [window.whole for window in after((), 0, 90.0)] == [True]


def test_the_oldest_are_forgotten() -> None:
    """At most 120 windows are kept, and the oldest are dropped."""
    windows: tuple[TimeWindow, ...] = ()
    for number in range(200):
        windows = after(windows, 30 * number, 30.0)
    assert (len(windows), windows[0].started_s) == (120, 2400)
