"""How long a rollout has been observed."""

from serve.rollout.evidence.judged_time import JudgedTime


def test_what_passes_between_two_looks_counts() -> None:
    """The time between two looks is added to the whole and to the phase."""
    looked = JudgedTime(whole_s=100.0, here_s=10.0, entered_s=5.0).on(5.0, 200.0, 203.0)
    assert looked == JudgedTime(whole_s=103.0, here_s=13.0, entered_s=5.0)


def test_another_phase_begins_anew() -> None:
    """A new phase starts at the time at which it was entered."""
    looked = JudgedTime(whole_s=100.0, here_s=10.0, entered_s=5.0).on(202.5, 200.0, 203.0)
    assert looked == JudgedTime(whole_s=103.0, here_s=0.5, entered_s=202.5)


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    """If the clock goes back, the observed time stays."""
    looked = JudgedTime(whole_s=100.0, here_s=10.0, entered_s=5.0)
    assert looked.on(5.0, 200.0, 100.0) == looked
