"""Which of the measured trials are the best."""

from export.search.trial import TrialResult
from export.search.trial_front import find_best, find_front
from tests.export.search.trials import result


def test_the_best_is_the_fastest_within_the_floor() -> None:
    """A faster trial below the floor is not the best, and neither is a slower one within it."""
    assert find_best({0: result(2.0), 1: result(3.0), 2: result(9.0, violation=0.1)}) == 1


def test_there_may_be_no_best() -> None:
    """Trials that failed, are below the floor or slower than the baseline are none."""
    failed = TrialResult(outcome="failed", reason="why")
    assert find_best({0: failed, 1: result(2.0, violation=0.1), 2: result(0.8)}) is None


def test_the_front_gives_up_speed_only_for_quality() -> None:
    """A slower trial is on the front if it is further within the floor than all faster ones."""
    trials = {0: result(2.0, -0.02), 1: result(3.0, -0.01), 2: result(2.5, -0.005), 3: result(1.5, -0.04)}
    assert find_front(trials, 9) == [1, 0, 3]
    assert find_front(trials, 2) == [1, 0]
