from serve.rollout.stretch import Stretch, extended


def tick(at_s: float, lasts_s: float = 1.0, errors: int = 1) -> Stretch:
    """A second with ten requests."""
    return Stretch(started_s=at_s, ended_s=at_s + lasts_s, requests=10, errors=errors, timed=10, over_limit=2)


def test_half_a_minute_adds_up_to_one() -> None:
    """And the next tick begins another."""
    stretches: tuple[Stretch, ...] = ()
    for second in range(31):
        stretches = extended(stretches, tick(second))
    assert stretches[0] == Stretch(started_s=0, ended_s=30, requests=300, errors=30, timed=300, over_limit=60)
    assert [stretch.whole for stretch in stretches] == [True, False]


def test_a_long_tick_is_one_stretch() -> None:
    """A keeper that was away hears all at once, and cannot tell what came first."""
    assert [stretch.whole for stretch in extended((), tick(0, 90.0))] == [True]


def test_the_oldest_are_forgotten() -> None:
    """However long all traffic is watched, the evidence stays small."""
    stretches: tuple[Stretch, ...] = ()
    for number in range(200):
        stretches = extended(stretches, tick(30 * number, 30.0))
    assert (len(stretches), stretches[0].started_s) == (120, 2400)
