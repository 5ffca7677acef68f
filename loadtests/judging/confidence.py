"""A confidence sequence for a rate, valid however often it is evaluated."""

import math

from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

from loadtests.report import Interval


def bound_rate(events: int, trials: int, alpha: float) -> Interval:
    """Bound the true rate of a sequence of independent trials.

    Robbins' mixture with a Beta(1/2, 1/2) prior; Howard et al., arXiv:1810.08240.

    Args:
        events: number of trials in which the event happened, at most `trials`
        trials: number of trials
        alpha: probability that the bounds exclude the true rate at any of all evaluations

    Returns:
        The observed rate with its lower and upper bound, all from 0 to 1.
    """
    seen = events / trials if trials else 0.0
    if not trials:
        return Interval(value=0.0, low=0.0, high=1.0)
    mixture = betaln(0.5 + events, 0.5 + trials - events) - betaln(0.5, 0.5)

    def beyond(rate: float) -> float:
        odds = mixture - xlogy(events, rate) - xlog1py(trials - events, -rate)
        return float(odds) + math.log(alpha)

    low = float(brentq(beyond, 0.0, seen)) if events else 0.0
    high = float(brentq(beyond, seen, 1.0)) if events < trials else 1.0
    return Interval(value=seen, low=low, high=high)
