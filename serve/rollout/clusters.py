"""Clusters: two variants compared by keys that stick. A key was drawn, not a request, so it is the unit.

What a bucket of keys did at the baseline before is what is expected of it now (CUPED: Deng, Xu, Kohavi &
Walker, WSDM 2013). Each variant's events are held against that, and the two quotients against each other.
The variance is that between buckets (delta method for clusters: Deng, Knoblich & Lu, arXiv:1803.06336). The
test is the normal mixture of an asymptotic confidence sequence (Waudby-Smith et al., arXiv:2103.06476), with
Student's tails for as many buckets as carry the variance. Arrays, and pure: the axes before those in a
comment are independent rollouts."""

from typing import NamedTuple

import numpy as np

from serve.rollout.sequential import Array, Number

# A quotient of fewer events than this says nothing.
_LEAST_EVENTS = 5.0
# A likely distance, in logs, between two rates.
_SCALE = 0.5


class Keyed(NamedTuple):
    """The log of the candidate's rate over the baseline's, its variance, and how many buckets carry that; no
    buckets: nothing is known. And how many events come as one: []."""

    ratio: Array
    variance: Array
    buckets: Array
    dispersion: Array


def compare(requests: Array, events: Array) -> Keyed:
    """Of the requests and the events [variant, segment, bucket], oldest segment first."""
    base_requests, base_events = requests[..., 0, :, :], events[..., 0, :, :]
    past_requests = np.cumsum(base_requests, -2) - base_requests
    past_events = np.cumsum(base_events, -2) - base_events
    known = past_requests.sum(-1, keepdims=True) > 0
    now = events.sum(-3).sum(-1, keepdims=True) / np.maximum(requests.sum(-3).sum(-1, keepdims=True), 1)
    mean = np.where(
        known, past_events.sum(-1, keepdims=True) / np.maximum(past_requests.sum(-1, keepdims=True), 1), now
    )
    mean = np.maximum(mean, 1e-9)
    # As if each bucket had met one event at the mean rate before.
    rate = (past_events + 1) / (past_requests + 1 / mean)
    expected = rate[..., None, :, :] * requests
    seen = events.sum(-1)
    quotient = seen / np.maximum(expected.sum(-1), 1e-12)
    usable = (seen >= _LEAST_EVENTS).all(-2)
    weights = np.where(usable, seen[..., 0, :] * seen[..., 1, :] / np.maximum(seen.sum(-2), 1), 0.0)
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-12)
    logs = np.log(np.maximum(quotient, 1e-12))
    ratio = (weights * (logs[..., 1, :] - logs[..., 0, :])).sum(-1)
    residual = (events - quotient[..., None] * expected) / np.maximum(seen, 1)[..., None]
    influence = (weights[..., None] * (residual[..., 1, :, :] - residual[..., 0, :, :])).sum(-2)
    squares = (influence**2).sum(-1)
    # Of each variant, [variant]: the one with fewer buckets knows less.
    apart = (weights[..., None, :, None] * residual).sum(-2)
    apart_squares, fourths = (apart**2).sum(-1), (apart**4).sum(-1)
    each = np.divide(apart_squares**2, fourths, out=np.zeros_like(fourths), where=fourths > 0)
    buckets = each.min(-1)
    total = np.where(usable, seen[..., 0, :] * seen[..., 1, :], 0.0).sum(-1) > 0
    alone = (weights**2 * (1 / np.maximum(seen[..., 0, :], 1) + 1 / np.maximum(seen[..., 1, :], 1))).sum(-1)
    dispersion = np.maximum(1.0, squares / np.maximum(alone, 1e-12))
    return Keyed(ratio, squares, np.where(total, buckets, 0.0), dispersion)


def log_above(keyed: Keyed, ratio: Number) -> Array:
    """Log evidence against "the candidate's rate is at most `ratio` times the baseline's"."""
    return _log_evidence(keyed, keyed.ratio - np.log(ratio))


def log_below(keyed: Keyed, ratio: Number) -> Array:
    """Log evidence against "the candidate's rate is at least `ratio` times the baseline's"."""
    return _log_evidence(keyed, np.log(ratio) - keyed.ratio)


def _log_evidence(keyed: Keyed, difference: Array) -> Array:
    variance = np.maximum(keyed.variance, 1e-12)
    freedom = np.maximum(keyed.buckets - 1, 1e-9)
    distance = np.maximum(difference, 0) ** 2 / variance
    # Student's likelihood ratio in place of the normal one: of a few buckets much is chance.
    student = (freedom + 1) * np.log1p(distance / freedom)
    wide = variance + _SCALE**2
    evidence = (np.log(variance / wide) + np.minimum(student, distance) * _SCALE**2 / wide) / 2
    return np.asarray(np.where(keyed.buckets > 1, evidence, 0.0))
