"""Confidence: how far a rate can be from the one that was seen, at every look."""

from loadtests.report import Interval
from serve.rollout.evidence.evalues import rate_interval


def bound_rate(events: int, trials: int, alpha: float) -> Interval:
    """The rate seen, and the rates that may be the true one, as a rollout bounds them: the true one is left
    out, at whichever of all looks, with probability `alpha` at most, as long as trials are independent."""
    low, high = rate_interval(events, trials, alpha)
    return Interval(value=events / trials if trials else 0.0, low=low, high=high)
