"""The calm rate of events, outside of stalls, from which stalls are recognized. Arrays; pure."""

from typing import NamedTuple

import numpy as np

from serve.rollout.evidence.evalues import Array

# The initial calm rate is one event in this many requests, of both variants together.
_PRIOR_REQUESTS = 200.0
# The weight of the common rate in a variant's own calm rate, in requests.
_SHARED_REQUESTS = 200.0
# With fewer requests, the calm rates are a first estimate.
FIRST_REQUESTS = 2000.0
# The calm rate of a variant is within this factor of the common rate, because it may have few requests.
_APART = 2.0


class Rates(NamedTuple):
    """The calm rate of each variant, [2], and the number of requests behind the rates, []."""

    calm: Array
    requests: Array


def calm_rates(events: Array, requests: Array) -> Rates:
    """Compute the calm rates from the usual events and requests so far, both [..., 2]."""
    total = requests.sum(-1)
    both = ((events.sum(-1) + 1) / (total + _PRIOR_REQUESTS))[..., None]
    own = (events + _SHARED_REQUESTS * both) / (requests + _SHARED_REQUESTS)
    return Rates(np.clip(own, both / _APART, both * _APART), total)
