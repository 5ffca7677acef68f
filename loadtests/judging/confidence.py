"""A confidence sequence for a rate, valid however often it is evaluated."""

from loadtests.variant_report import Interval
from serve.rollout.evidence.evalues import rate_interval


def bound_rate(events: int, trials: int, alpha: float) -> Interval:
    """Bound the true rate of a sequence of independent trials, by the method of a rollout.

    Args:
        events: number of trials in which the event happened, at most `trials`
        trials: number of trials
        alpha: probability that the bounds exclude the true rate at any of all evaluations

    Returns:
        The observed rate with its lower and upper bound, all from 0 to 1.
    """
    low, high = rate_interval(events, trials, alpha)
    return Interval(value=events / trials if trials else 0.0, low=low, high=high)
