"""How much longer a run must be to decide."""

import math

import pytest

from loadtests.judging.confidence import bound_rate
from loadtests.judging.run_length import say_longer, times_for_evidence, times_for_interval, times_for_rate
from loadtests.variant_report import Interval


@pytest.mark.parametrize(("events", "trials"), [(0, 100), (2, 1000), (30, 1500)])
def test_a_run_of_the_said_length_decides(events: int, trials: int) -> None:
    """The bounds of a rate exclude the limit at the said length, and at two thirds of it they do not."""
    times = times_for_rate(events, trials, 0.01, 0.05)
    assert times is not None

    def is_open(factor: float) -> bool:
        rate = bound_rate(round(factor * events), round(factor * trials), 0.05)
        assert rate.low is not None
        assert rate.high is not None
        return rate.low <= 0.01 < rate.high

    assert not is_open(times)
    assert is_open(times / 1.5)


def test_a_rate_at_its_limit_is_not_decided_by_any_length() -> None:
    """Ten of a thousand are exactly the limit of one in a hundred."""
    assert times_for_rate(10, 1000, 0.01, 0.05) == math.inf
    assert times_for_rate(0, 0, 0.01, 0.05) is None


@pytest.mark.parametrize(
    ("value", "times"),
    [(1.0, 4.0), (1.05, 16.0), (1.1, math.inf), (1.2, 1.0)],
    ids=["a tenth below", "half a tenth below", "on the limit", "slower"],
)
def test_the_width_of_an_interval_falls_with_the_root_of_the_length(value: float, times: float) -> None:
    """An interval of 0.2 on either side passes at or below 1.1, and fails above 1.1 if it begins above 1."""
    interval = Interval(value=value, low=value - 0.2, high=value + 0.2)
    assert times_for_interval(interval, 1.1, 1.0) == pytest.approx(times)


def test_evidence_grows_with_the_length() -> None:
    """A third of the threshold takes three times the length; the nearer side counts."""
    assert times_for_evidence((-1.0, 4.6), (1.0, 3.0)) == pytest.approx(3.0)
    assert times_for_evidence((-1.0, 4.6), (0.0, 3.0)) is None


def test_what_is_said_has_the_factor_or_says_that_it_is_unknown() -> None:
    """A factor above a hundred is not given."""
    assert "about 3.5 times as long" in say_longer(3.5)
    assert "100 times as long may not decide it" in say_longer(math.inf)
    assert say_longer(None) == "run longer"
