"""Confidence: how far a rate can be from the one that was seen, at every look."""

import math

from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

from loadtests.report import Interval


def bound_rate(events: int, trials: int, alpha: float) -> Interval:
    """The rate seen and the rates that may be the true one: one is left out wrongly, at whichever of all
    looks, with probability `alpha` at most, as long as trials are independent.

    Robbins' mixture with a Beta(1/2, 1/2) prior; Howard et al., arXiv:1810.08240."""
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
