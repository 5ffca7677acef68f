"""Calm: the rates of an event outside of stalls, by which a stall is told. Arrays, and pure."""

from typing import NamedTuple

import numpy as np

from serve.rollout.evidence.evalues import Array

# A variant's calm rate begins as one event in so many requests, shared with the other variant's.
_PRIOR_REQUESTS = 200.0
# How far a variant's own calm rate is drawn to that of both, in requests.
_SHARED_REQUESTS = 200.0
# A first guess of the calm rates is one from fewer requests than this.
FIRST_REQUESTS = 2000.0
# Nor are the two calm rates further apart than this: a stall of a variant with few requests is no habit.
_APART = 2.0


class Rates(NamedTuple):
    """What is known of the calm rates: of each variant [2], and from how many requests []."""

    calm: Array
    requests: Array


def calm_rates(events: Array, requests: Array) -> Rates:
    """From the usual events and requests so far: [2]."""
    total = requests.sum(-1)
    both = ((events.sum(-1) + 1) / (total + _PRIOR_REQUESTS))[..., None]
    own = (events + _SHARED_REQUESTS * both) / (requests + _SHARED_REQUESTS)
    return Rates(np.clip(own, both / _APART, both * _APART), total)
