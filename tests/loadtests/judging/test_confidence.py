import numpy as np
import pytest

from loadtests.judging.confidence import bound_rate
from serve.rollout.evidence.evalues import rate_interval


@pytest.mark.parametrize(
    ("events", "trials"), [(0, 1), (1, 1), (0, 500), (3, 500), (17, 100), (100, 100), (999, 100_000)]
)
@pytest.mark.parametrize("alpha", [0.05, 0.003])
def test_it_is_the_interval_of_a_rollout(events: int, trials: int, alpha: float) -> None:
    """The interval equals that of a rollout's e-values."""
    rate = bound_rate(events, trials, alpha)
    assert (rate.low, rate.high) == pytest.approx(rate_interval(events, trials, alpha), abs=1e-9)
    assert rate.value == events / trials


def test_without_trials_every_rate_is_possible() -> None:
    """Without trials the interval is 0 to 1."""
    rate = bound_rate(0, 0, 0.05)
    assert (rate.value, rate.low, rate.high) == (0, 0, 1)


@pytest.mark.parametrize("truth", [0.01, 0.2])
def test_it_holds_the_truth_at_every_look(truth: float) -> None:
    """In at least 95 of 100 sequences of 1,000 trials, the true rate is in the interval at every look."""
    held = 0
    for seed in range(100):
        came = np.random.default_rng(seed).random(1000) < truth
        seen = np.cumsum(came)
        looks = np.union1d(np.arange(20, 1001, 20), np.flatnonzero(came)[:10] + 1)
        rates = [bound_rate(int(seen[look - 1]), int(look), 0.05) for look in looks]
        held += all((rate.low or 0) <= truth <= (rate.high or 1) for rate in rates)
    assert held >= 95
