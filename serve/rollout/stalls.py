"""Stalls: whether the candidate stalls more often than the baseline, or one of its stalls is none.

A stall counts as one event, however many requests it hits. Of two equal variants either is as likely to have
the next one, whatever their shares of the requests are, because stalls come with time. One that goes on is
another matter: what lasts `stall_s` on average has gone on for t seconds with a probability of
exp(-t / stall_s). Arrays, and pure."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serve.rollout.sequential import Array, log_ratio_above

# Stalls come in twos and threes: so many weigh as one.
_TOGETHER = 2.0
# Odds of more stalls than the baseline has, from which on nothing goes further.
_WAIT = 3.0


class Stalls(NamedTuple):
    """Over all segments."""

    # Stalls of the baseline and of the candidate that have ended: [2].
    ended: Array
    # Seconds of the candidate's stall under way in which the baseline had none; 0: there is none: [].
    lasted_s: Array
    # What is taken for a stall lasts so long on average at most.
    stall_s: float


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
