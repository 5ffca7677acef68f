from serve.rollout.evidence.time_window import Stretch, extended

SECOND = {"requests": 10, "errors": 1, "timed": 10, "over_limit": 2}


def after(stretches: tuple[Stretch, ...], at_s: float, lasts_s: float = 1.0) -> tuple[Stretch, ...]:
    """They and a second with ten requests."""
    return extended(stretches, (at_s, at_s + lasts_s), SECOND)


def test_half_a_minute_adds_up_to_one() -> None:
    """And the next tick begins another."""
    stretches: tuple[Stretch, ...] = ()
    for second in range(31):
        stretches = after(stretches, second)
    assert stretches[0] == Stretch(started_s=0, ended_s=30, requests=300, errors=30, timed=300, over_limit=60)
    assert [stretch.whole for stretch in stretches] == [True, False]


def test_what_was_a_stall_is_taken_back() -> None:
    """But no more than there is: the rest was in the stretch before."""
    stretches = after(after((), 0), 1)
    one, *_ = extended(stretches, (2, 3), dict.fromkeys(SECOND, -15))
    assert one == Stretch(started_s=0, ended_s=3, requests=5, errors=0, timed=5, over_limit=0)


def test_a_long_tick_is_one_stretch() -> None:
    """A keeper that was away hears all at once, and cannot tell what came first."""
    assert [stretch.whole for stretch in after((), 0, 90.0)] == [True]


def test_the_oldest_are_forgotten() -> None:
    """However long all traffic is watched, the evidence stays small."""
    stretches: tuple[Stretch, ...] = ()
    for number in range(200):
        stretches = after(stretches, 30 * number, 30.0)
    assert (len(stretches), stretches[0].started_s) == (120, 2400)
