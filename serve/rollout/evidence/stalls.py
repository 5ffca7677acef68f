"""Stalls: whether the candidate stalls more often than the baseline, or one of its stalls is none.

A stall counts as one event, however many requests it hits. Of two equal variants either is as likely to have
the next one, whatever their shares of the requests are, because stalls come with time. One that goes on is
another matter: what lasts `stall_s` on average has gone on for t seconds with a probability of
exp(-t / stall_s). Arrays, and pure."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from serve.rollout.evidence.evalues import Array, Number, log_ratio_above

# Stalls come in twos and threes: so many weigh as one.
_TOGETHER = 2.0
# Odds of more stalls than the baseline has, from which on nothing goes further.
_WAIT = 3.0
# A variant of one replica is taken for one of two: what stands still may be half of it.
LEAST_REPLICAS = 2
# What hits so much of the requests of one replica stops it.
_MOST = 0.8
_SHORTER = 3.0
_TINY = 1e-12
# So many deviations.
_SURE = 2.0
# Log likelihood ratio from which on events are a stall and no chance: in a day of seconds chance comes so far
# less than once.
_SHOWN = 12.0


class Stalls(NamedTuple):
    """Over all segments."""

    # Stalls of the baseline and of the candidate that have ended: [2].
    ended: Array
    # Seconds of the candidate's stall under way in which the baseline had none; 0: there is none: [].
    lasted_s: Array
    # What is taken for a stall of this kind lasts so long on average at most: [].
    stall_s: Number


def lasting_s(burst: Array, hit: Array, stall_s: float, replicas: int) -> Array:
    """How long a stall lasts on average at most, by its events `burst` among its requests `hit`, where each
    variant has so many replicas: `stall_s` where it may hit most of one, as a restart does, and a third of
    that where it surely hits less, as what goes wrong in all of them does."""
    one = 1 / max(replicas, LEAST_REPLICAS)
    less = burst + _SURE * np.sqrt(burst) < _MOST * one * hit
    return np.where(less, stall_s / _SHORTER, stall_s)


def shows(burst: Array, calm: Array, fewer: Array) -> Array:
    """How probable it is that a stall of `burst` events, where `calm` were to be expected, can be told from
    chance in the requests of the variant with fewer, which has `fewer` times as many as this one, at most 1.
    So chance does not count, and a stall counts the same whichever variant has it."""
    least = np.maximum(calm, _TINY)
    excess = np.log(np.maximum(burst, least) / least)
    shown = fewer * (burst * excess - np.maximum(burst - least, 0.0)) - _SHOWN
    # Of the chance in its requests, what is not in this one's.
    deviation = excess * np.sqrt(fewer * (1 - fewer) * burst)
    return np.asarray(ndtr(shown / np.maximum(deviation, _TINY)))


def log_more(stalls: Stalls) -> Array:
    """Log evidence against "the candidate has no more stalls than the baseline"."""
    candidate, both = stalls.ended[..., 1:] / _TOGETHER, stalls.ended.sum(-1, keepdims=True) / _TOGETHER
    return log_ratio_above(candidate, both, np.full(both.shape, 0.5), 1.0)


def log_endless(stalls: Stalls) -> Array:
    """Log evidence against "what the candidate has is a stall": its n-th one gets 1 / (n (n + 1)) of the
    odds, which sum to 1."""
    nth = stalls.ended[..., 1] + 1
    return np.asarray(stalls.lasted_s / stalls.stall_s - np.log(nth * (nth + 1)))


def waits(stalls: Stalls) -> NDArray[np.bool_]:
    """Whether nothing should go further for now."""
    return np.asarray((stalls.lasted_s > 0) | (log_more(stalls) >= np.log(_WAIT)))
