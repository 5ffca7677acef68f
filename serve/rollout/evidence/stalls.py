"""Test whether the candidate stalls more often than the baseline, or whether one of its stalls does not end.

A stall counts as one event, however many requests it hits. Stalls come with time, so either of two equal
variants is equally likely to have the next one, whatever their shares are. A stall with a mean duration of at
most `stall_s` lasts t seconds with a probability of at most exp(-t / stall_s). Arrays; pure."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from serve.rollout.evidence.evalues import Array, Number, log_ratio_above

# Stalls come in groups: this many count as one.
_TOGETHER = 2.0
# From these odds on that the candidate has more stalls, the rollout does not progress.
_WAIT = 3.0
# One replica is treated as two, because a stall may stop half of it.
LEAST_REPLICAS = 2
# A stall that hits this share of one replica's requests stops the replica.
_MOST = 0.8
_SHORTER = 3.0
_TINY = 1e-12
# In standard deviations.
_SURE = 2.0
# The log likelihood ratio from which events are a stall: chance reaches it less than once in a day of
# seconds.
_SHOWN = 12.0


class Stalls(NamedTuple):
    """The stalls of all segments."""

    # Finished stalls of the baseline and of the candidate: [2].
    ended: Array
    # Seconds of the candidate's present stall without a stall of the baseline; 0: no stall: [].
    lasted_s: Array
    # The longest mean duration of such a stall: [].
    stall_s: Number


def lasting_s(burst: Array, hit: Array, stall_s: float, replicas: int) -> Array:
    """The longest mean duration of a stall in s: `stall_s` if it may stop a replica, as a restart does; a
    third of that if it surely hits less, as a fault in all replicas does.

    Args:
        burst: events of the stall, [...].
        hit: requests of the variant during the stall, [...].
        stall_s: the policy's `stall_s`.
        replicas: replicas of each variant.
    """
    one = 1 / max(replicas, LEAST_REPLICAS)
    less = burst + _SURE * np.sqrt(burst) < _MOST * one * hit
    return np.where(less, stall_s / _SHORTER, stall_s)


def shows(burst: Array, calm: Array, fewer: Array) -> Array:
    """The probability that a stall can be told from chance in the requests of the variant with fewer
    requests.

    It is the weight of a stall, so that chance does not count, and a stall counts equally for both variants.

    Args:
        burst: events of the stall, [...].
        calm: expected events without a stall, [...].
        fewer: requests of the other variant relative to this one's, at most 1, [...].

    Returns:
        Probabilities from 0 to 1, [...].
    """
    least = np.maximum(calm, _TINY)
    excess = np.log(np.maximum(burst, least) / least)
    shown = fewer * (burst * excess - np.maximum(burst - least, 0.0)) - _SHOWN
    # The noise of the smaller variant's requests that is not in this one's.
    deviation = excess * np.sqrt(fewer * (1 - fewer) * burst)
    return np.asarray(ndtr(shown / np.maximum(deviation, _TINY)))


def log_more(stalls: Stalls) -> Array:
    """Log evidence against "the candidate has no more stalls than the baseline", [...] for `ended` [...,
    2]."""
    candidate, both = stalls.ended[..., 1:] / _TOGETHER, stalls.ended.sum(-1, keepdims=True) / _TOGETHER
    return log_ratio_above(candidate, both, np.full(both.shape, 0.5), 1.0)


def log_endless(stalls: Stalls) -> Array:
    """Log evidence against "the present disturbance of the candidate is a stall", [...].

    The n-th stall gets 1 / (n (n + 1)) of the error probability; these parts sum to 1."""
    nth = stalls.ended[..., 1] + 1
    return np.asarray(stalls.lasted_s / stalls.stall_s - np.log(nth * (nth + 1)))


def waits(stalls: Stalls) -> NDArray[np.bool_]:
    """Whether the rollout should not progress for now, [...]."""
    return np.asarray((stalls.lasted_s > 0) | (log_more(stalls) >= np.log(_WAIT)))
