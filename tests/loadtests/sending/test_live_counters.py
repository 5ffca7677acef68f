from loadtests.sending.live_counters import LiveCounters


def test_ends_are_counted() -> None:
    """Answers are counted as correct, wrong or late, from their intended start."""
    live = LiveCounters(limit_ms=50)
    live.note(1.0, 1.049, right=True)
    live.note(1.0, 1.051, right=True)
    live.note(1.0, 1.001, right=False)
    assert (live.done, live.errors, live.over_limit) == (3, 1, 1)


def test_the_warmup_is_not_counted() -> None:
    """Requests scheduled before 0 are not counted."""
    live = LiveCounters(limit_ms=50)
    live.note(-0.1, 3.0, right=False)
    live.open[0] = (-0.5, -0.5, None)
    assert (live.done, live.errors, live.over_limit, live.overdue(9.0)) == (0, 0, 0, 0)


def test_what_is_out_for_longer_than_the_limit_is_overdue() -> None:
    """A request that is unanswered for longer than the limit counts as overdue."""
    live = LiveCounters(limit_ms=50)
    live.open.update({number: (at_s, at_s, None) for number, at_s in enumerate((1.0, 1.02, 1.04))})
    assert [live.overdue(now_s) for now_s in (1.04, 1.08, 2.0)] == [0, 2, 3]


def test_without_a_limit_nothing_is_late() -> None:
    """Without a limit no request is late or overdue."""
    live = LiveCounters(limit_ms=None)
    live.open[0] = (1.0, 1.0, None)
    live.note(1.0, 9.0, right=True)
    assert (live.over_limit, live.overdue(99.0)) == (0, 0)
