"""E-values, in logs, which stay valid however often one looks.

An e-value has an expectation of at most 1 at any stopping time while the null hypothesis holds; it reaches x
with a probability of at most 1/x (Ville's inequality). Arrays broadcast. If there are `shares`, the last axis
is the segment; the axes before it are independent rollouts. All logs are natural. Every `log_...` function
returns the log e-value against the null hypothesis in its first line."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, logsumexp, xlog1py, xlogy

Array = NDArray[np.float64]
Number = Array | float

# The prior of the ratio: log(ratio / null) is exponential with mean 1, so one in t is above t (a Pareto law).
_STEP = 0.15
_DEPTHS = np.arange(_STEP / 2, 48 * _STEP, _STEP)
_LOG_WEIGHTS = -_DEPTHS - logsumexp(-_DEPTHS)
# The weight of the configured split in the mismatch test, in requests.
_MISMATCH_PRIOR = 1000.0
# With fewer figures, the normal approximation is not valid.
_LEAST_FIGURES = 30
# The weight of the initial caution, in ticks with an event of the candidate.
_FEW_TICKS = 10
# A few large bursts stray further than their variance shows. In simulations with 1, equal variants that each
# stall once a minute are rolled back in 4 % of rollouts at a confidence of 99 %; with 2, in less than 1 %.
_HEAVY_TAILS = 2.0


def log_rate(events: Number, trials: Number, rate: Number) -> Array:
    """Against "each of `trials` is an event with probability `rate`", for independent trials.

    Robbins' Beta(1/2, 1/2) mixture; Howard et al., arXiv:1810.08240. With rate 1/2, and with the discordant
    pairs as trials, it is McNemar's test at every look.

    Args:
        events: number of events, [...].
        trials: number of trials, [...].
        rate: probability of an event under the null hypothesis, 0 to 1, [...].

    Returns:
        Log e-values, [...].
    """
    rest = trials - events
    mixture = betaln(0.5 + events, 0.5 + rest) - betaln(0.5, 0.5)
    return np.asarray(mixture - xlogy(events, rate) - xlog1py(rest, -rate))


def log_rate_above(events: Number, trials: Number, limit: Number) -> Array:
    """Against "the rate is at most `limit`": the minimum of `log_rate` over these rates."""
    return log_rate(events, trials, np.minimum(limit, _seen(events, trials)))


def log_rate_below(events: Number, trials: Number, limit: Number) -> Array:
    """Against "the rate is at least `limit`": the minimum of `log_rate` over these rates."""
    return log_rate(events, trials, np.maximum(limit, _seen(events, trials)))


def _seen(events: Number, trials: Number) -> Array:
    return np.asarray(events / np.maximum(trials, 1))


def log_ratio_above(candidate: Array, both: Array, shares: Array, ratio: Number) -> Array:
    """Against "the candidate's rate of events is at most `ratio` times the baseline's".

    An event is the candidate's with probability share * ratio / (share * ratio + 1 - share), with the share
    that chose its request; extends Lindon & Malek, arXiv:2011.03567. For ratio 1 it is exact even if events
    of both variants come in bursts, because requests are still assigned one by one. For bursts of one variant
    alone, divide the counts by `dispersion`.

    Args:
        candidate: events of the candidate, [..., segment].
        both: events of both variants, [..., segment].
        shares: the candidate's share of the requests, 0 to 1, [..., segment] or [segment].
        ratio: the ratio of the two rates under the null hypothesis, [...].

    Returns:
        Log e-values, [...].
    """
    return _mix(candidate, both, shares, ratio, 1)


def log_ratio_below(candidate: Array, both: Array, shares: Array, ratio: Number) -> Array:
    """Against "the candidate's rate of events is at least `ratio` times the baseline's"; see
    log_ratio_above."""
    return _mix(candidate, both, shares, ratio, -1)


def _mix(candidate: Array, both: Array, shares: Array, ratio: Number, sign: int) -> Array:
    """The mixture over depths, with this sign, of products of p(label; ratio * exp(depth)) / p(label; ratio).

    The log factor of one event is the depth if it is the candidate's, plus a shift for every event."""
    # If one variant has all requests there is no draw, and counts of the other variant are mistakes.
    drawn = (shares > 0) & (shares < 1)
    candidate, both = np.where(drawn, candidate, 0.0), np.where(drawn, both, 0.0)
    ratios = np.asarray(ratio, float)
    if shares.ndim == ratios.ndim == 1 or (shares.ndim == 1 and not ratios.ndim):
        shift = _known_shift(tuple(shares.tolist()), tuple(np.atleast_1d(ratios).tolist()), sign)
        shift = shift if ratios.ndim else shift[0]
    else:
        shift = _shift(shares, ratios, sign)
    paths = sign * candidate.sum(-1)[..., None] * _DEPTHS + (both[..., None, :] @ shift)[..., 0, :]
    paths += _LOG_WEIGHTS
    return log_sum(paths)


def _shift(shares: Array, ratios: Array, sign: int) -> Array:
    """The shift of each event, [..., segment, depth], for shares [..., segment]."""
    null, share = ratios[..., None, None], shares[..., None]
    return np.asarray(np.log1p(share * (null - 1)) - np.log1p(share * (null * np.exp(sign * _DEPTHS) - 1)))


@lru_cache(maxsize=32)
def _known_shift(shares: tuple[float, ...], ratios: tuple[float, ...], sign: int) -> Array:
    """The same for the shares of a rollout, which do not change between looks: [ratio, segment, depth]."""
    return _shift(np.array(shares), np.array(ratios), sign)


def log_sum(logs: Array) -> Array:
    """log(sum(exp(logs))) along the last axis. scipy's logsumexp takes several times as long, and this is a
    large part of the cost of a look."""
    most = logs.max(-1)
    shift = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(shift + np.log(np.exp(logs - shift[..., None]).sum(-1)))


class Bursts(NamedTuple):
    """Sums over the ticks of each segment: the number of ticks with an event of the candidate, and the sums
    of candidate**2, candidate * both and both**2, all [..., segment]."""

    candidate_ticks: Array
    candidate_squares: Array
    products: Array
    squares: Array


def dispersion(candidate: Array, both: Array, bursts: Bursts) -> Array:
    """The number of events per independent draw: 1 if requests are assigned one by one, m if m share a draw.

    Pearson's statistic of the ticks' labels divided by the number of events, at least 1 (quasi-likelihood:
    Wedderburn, Biometrika 1974). A stall of one variant makes all its events of a tick one draw. While few
    ticks had an event of the candidate, the statistic is unreliable. The events of a tick then count as one
    draw, against equally frequent stalls of the baseline (hence the factor 2). Dividing counts by a number of
    at least 1 only makes an e-value smaller, so it stays valid.

    Args:
        candidate: events of the candidate, [..., segment].
        both: events of both variants, [..., segment].
        bursts: the sums over ticks.

    Returns:
        Numbers of at least 1, [..., segment].
    """
    label = _seen(candidate, both)
    unit = label * (1 - label)
    misfit = bursts.candidate_squares - 2 * label * bursts.products + label**2 * bursts.squares
    pearson = np.divide(misfit, unit * both, out=np.ones_like(misfit), where=unit > 0)
    measured = np.maximum(1.0, pearson)
    ticks = bursts.candidate_ticks
    assumed = np.maximum(measured, 2 * candidate / np.maximum(ticks, 1) - 1)
    together = (ticks * measured + _FEW_TICKS * assumed) / (ticks + _FEW_TICKS)
    return np.asarray(1 + _HEAVY_TAILS * (together - 1))


def log_mismatch(candidate: Array, both: Array, shares: Array) -> Array:
    """Against "each request went to the candidate with probability share": the sample ratio mismatch.

    A Beta mixture around the share for each segment, multiplied; the two-arm case of Lindon & Malek,
    arXiv:2011.03567, section 3.

    Args:
        candidate: requests of the candidate, [..., segment].
        both: requests of both variants, [..., segment].
        shares: the configured shares, [..., segment] or [segment].

    Returns:
        Log e-values, [...].
    """
    drawn = (shares > 0) & (shares < 1)
    share = np.where(drawn, shares, 0.5)
    first, second = _MISMATCH_PRIOR * share, _MISMATCH_PRIOR * (1 - share)
    rest = both - candidate
    mixture = betaln(first + candidate, second + rest) - betaln(first, second)
    path = mixture - xlogy(candidate, share) - xlog1py(rest, -share)
    return np.asarray(np.where(drawn, path, 0.0).sum(-1))


def log_mean(difference: Number, variance: Number, scale: Number) -> Array:
    """Against "the true difference is 0".

    The normal mixture of Johari et al., arXiv:1512.04922; asymptotic, as in Waudby-Smith et al.,
    arXiv:2103.06476.

    Args:
        difference: the estimated difference, [...].
        variance: the variance of the estimate, [...].
        scale: a likely size of the difference, in its unit.

    Returns:
        Log e-values, [...].
    """
    variance = np.maximum(variance, 1e-30)
    wide = variance + scale**2
    return np.asarray((np.log(variance / wide) + (scale * difference) ** 2 / (variance * wide)) / 2)


def log_mean_above(count: Number, total: Number, squares: Number, limit: float, scale: float) -> Array:
    """Against "the mean of `count` figures is at most `limit`", from their sum and the sum of their squares;
    0 below 30 figures. `scale` is a likely distance from the limit."""
    mean = total / np.maximum(count, 1)
    difference = mean - limit
    # As if one more figure lay at the limit, so that a few equal figures do not prove everything at once.
    spread = np.maximum(squares - count * mean**2, 0) + difference**2
    value = log_mean(np.maximum(difference, 0), spread / np.maximum(count, 1) ** 2, scale)
    return np.where(count >= _LEAST_FIGURES, value, 0.0)


def rate_interval(events: float, trials: float, alpha: float) -> tuple[float, float]:
    """The interval of rates that `log_rate` does not reject at `alpha`, 0 to 1. It contains the true rate at
    every look with a probability of at least 1 - alpha."""
    # Imported here, because it takes longer to import than everything else that the command line needs.
    from scipy.optimize import brentq

    seen = float(_seen(events, trials))

    def beyond(rate: float) -> float:
        return float(log_rate(events, trials, rate)) + math.log(alpha)

    low = float(brentq(beyond, 0, seen)) if events else 0.0
    high = float(brentq(beyond, seen, 1)) if events < trials else 1.0
    return low, high
