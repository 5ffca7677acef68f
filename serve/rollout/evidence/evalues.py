"""The mathematics of looking all the time: e-values, in logs, that stay valid at every look.

An e-value is a payoff with expectation at most 1 while the null hypothesis holds, at any stopping time; it
reaches x with probability at most 1/x (Ville's inequality). Arrays broadcast: where there are `shares`, the
last axis is the segment; the axes before it are independent rollouts. All logs are natural.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, logsumexp, xlog1py, xlogy

Array = NDArray[np.float64]
Number = Array | float

# The ratio's prior: log(ratio / null) is exponential with mean 1, so one in t is above t: a Pareto law.
_STEP = 0.15
_DEPTHS = np.arange(_STEP / 2, 48 * _STEP, _STEP)
_LOG_WEIGHTS = -_DEPTHS - logsumexp(-_DEPTHS)
# How firmly the mismatch test expects small deviations from the split: as after this many requests.
_MISMATCH_PRIOR = 1000.0
# Below this many figures the normal approximation says nothing.
_LEAST_FIGURES = 30
# So many ticks with an event of the candidate weigh as much as the caution before there were any.
_FEW_TICKS = 10
# Few large bursts stray further than their variance says. By simulation: with 1, equal variants that each
# stall once a minute are rolled back in 4 % of rollouts at a confidence of 99 %; with 2, in less than 1 %.
_HEAVY_TAILS = 2.0


def log_rate(events: Number, trials: Number, rate: Number) -> Array:
    """Against "each of `trials` is an event with probability `rate`", trials independent.

    Robbins' Beta(1/2, 1/2) mixture; Howard et al., arXiv:1810.08240. With rate 1/2 and trials the discordant
    pairs it is McNemar's test at every look."""
    rest = trials - events
    mixture = betaln(0.5 + events, 0.5 + rest) - betaln(0.5, 0.5)
    return np.asarray(mixture - xlogy(events, rate) - xlog1py(rest, -rate))


def log_rate_above(events: Number, trials: Number, limit: Number) -> Array:
    """Against "the rate is at most `limit`": the least of log_rate over those rates."""
    return log_rate(events, trials, np.minimum(limit, _seen(events, trials)))


def log_rate_below(events: Number, trials: Number, limit: Number) -> Array:
    """Against "the rate is at least `limit`"."""
    return log_rate(events, trials, np.maximum(limit, _seen(events, trials)))


def _seen(events: Number, trials: Number) -> Array:
    return np.asarray(events / np.maximum(trials, 1))


def log_ratio_above(candidate: Array, both: Array, shares: Array, ratio: Number) -> Array:
    """Against "the candidate's rate of events is at most `ratio` times the baseline's".

    An event is the candidate's with probability share * ratio / (share * ratio + 1 - share), by the share in
    force when its request was chosen; extends Lindon & Malek, arXiv:2011.03567. `both` counts the events of
    both variants. Exact for ratio 1 also when events of both come in bursts, because the labels were still
    drawn one by one; bursts of one variant alone are what `dispersion` is for."""
    return _mix(candidate, both, shares, ratio, 1)


def log_ratio_below(candidate: Array, both: Array, shares: Array, ratio: Number) -> Array:
    """Against "the candidate's rate of events is at least `ratio` times the baseline's"."""
    return _mix(candidate, both, shares, ratio, -1)


def _mix(candidate: Array, both: Array, shares: Array, ratio: Number, sign: int) -> Array:
    """The mixture over depths, with this sign, of products of p(label; ratio * exp(depth)) / p(label; ratio).

    The log of one event's factor is depth if it is the candidate's, plus a shift in any case."""
    # With one variant alone there is no label, and what is counted for the other is a mistake.
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
    """Of shares [..., segment]: [..., segment, depth]."""
    null, share = ratios[..., None, None], shares[..., None]
    return np.asarray(np.log1p(share * (null - 1)) - np.log1p(share * (null * np.exp(sign * _DEPTHS) - 1)))


@lru_cache(maxsize=32)
def _known_shift(shares: tuple[float, ...], ratios: tuple[float, ...], sign: int) -> Array:
    """The same for a rollout's shares, which stay as they are from look to look: [ratio, segment, depth]."""
    return _shift(np.array(shares), np.array(ratios), sign)


def log_sum(logs: Array) -> Array:
    """The log of the sum of what these are the logs of, along the last axis. scipy's logsumexp takes several
    times as long, and this is much of what a look costs."""
    most = logs.max(-1)
    shift = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(shift + np.log(np.exp(logs - shift[..., None]).sum(-1)))


class Bursts(NamedTuple):
    """Over each segment's ticks: how many had an event of the candidate; and the sums of the candidate's
    events squared, of the candidate's times both's, and of both's squared."""

    candidate_ticks: Array
    candidate_squares: Array
    products: Array
    squares: Array


def dispersion(candidate: Array, both: Array, bursts: Bursts) -> Array:
    """How many events come as one, per segment: 1 when labels are drawn one by one, m when m share one draw.

    Pearson's statistic of the ticks' labels over the number of events, at least 1 (quasi-likelihood:
    Wedderburn, Biometrika 1974). A stall of one variant makes all its events of a tick one. While few ticks
    had an event of the candidate, the statistic knows nothing, and a tick's events are taken as one, drawn
    against stalls of the baseline as frequent as the candidate's (hence twice). Counts divided by what is at
    least 1 only make an e-value smaller, so what held without it holds."""
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
    """Against "each request was the candidate's with probability share": the sample ratio mismatch.

    A Beta mixture round the share for each segment, multiplied; the two-arm case of Lindon & Malek,
    arXiv:2011.03567, section 3."""
    drawn = (shares > 0) & (shares < 1)
    share = np.where(drawn, shares, 0.5)
    first, second = _MISMATCH_PRIOR * share, _MISMATCH_PRIOR * (1 - share)
    rest = both - candidate
    mixture = betaln(first + candidate, second + rest) - betaln(first, second)
    path = mixture - xlogy(candidate, share) - xlog1py(rest, -share)
    return np.asarray(np.where(drawn, path, 0.0).sum(-1))


def log_mean(difference: Number, variance: Number, scale: Number) -> Array:
    """Against "the true difference is 0", from its estimate, that estimate's variance, and a likely size.

    The normal mixture of Johari et al., arXiv:1512.04922; asymptotic, as in Waudby-Smith et al.,
    arXiv:2103.06476."""
    variance = np.maximum(variance, 1e-30)
    wide = variance + scale**2
    return np.asarray((np.log(variance / wide) + (scale * difference) ** 2 / (variance * wide)) / 2)


def log_mean_above(count: Number, total: Number, squares: Number, limit: float, scale: float) -> Array:
    """Against "the mean of `count` figures is at most `limit`"; 0 below 30 figures."""
    mean = total / np.maximum(count, 1)
    difference = mean - limit
    # As if one more figure lay at the limit: equal figures prove something, but not everything at once.
    spread = np.maximum(squares - count * mean**2, 0) + difference**2
    value = log_mean(np.maximum(difference, 0), spread / np.maximum(count, 1) ** 2, scale)
    return np.where(count >= _LEAST_FIGURES, value, 0.0)


def rate_interval(events: float, trials: float, alpha: float) -> tuple[float, float]:
    """The rates that log_rate does not reject at `alpha`: they hold the true one at every look."""
    # Only here: it takes longer to import than everything else that a command over the control API needs.
    from scipy.optimize import brentq

    seen = float(_seen(events, trials))

    def beyond(rate: float) -> float:
        return float(log_rate(events, trials, rate)) + math.log(alpha)

    low = float(brentq(beyond, 0, seen)) if events else 0.0
    high = float(brentq(beyond, seen, 1)) if events < trials else 1.0
    return low, high
