"""Clusters: two variants compared by keys that stick. A key was drawn, not a request, so it is the unit.

Chance alone says at which step a bucket of keys moves from the baseline to the candidate, if at all. If the
two are alike, a bucket does the same wherever it is, so that given what all buckets did, each one's step is a
draw by itself, with odds that are known. That is what is bet on, so the test is fair whatever users are like:
it takes nothing but the draws as random (design-based: Ham, Bojinov, Lindon & Tingley, arXiv:2210.08639; the
mixture over stakes is Robbins').

What makes the bets good is how much more a bucket does than it did at the baseline before the first step
(CUPED: Deng, Xu, Kohavi & Walker, WSDM 2013), as the score of a negative binomial law: of the better known
more is expected. Arrays, and pure: the axes before those in a comment are independent rollouts."""

from typing import NamedTuple

import numpy as np

from serve.rollout.evidence.evalues import Array, Number

# What is staked on an excess of one event: from all that there is to next to nothing, all alike.
_STAKES = 2.0 ** np.arange(1, -13, -1.5)
# Beyond this it would only overflow.
_LARGEST = 600.0
# Buckets further away than so many deviations count less for the level of all; so many rounds settle it.
_FAR, _ROUNDS = 3.0, 4
# Below so many events expected, a deviation is not known.
_LEAST = 0.05


class Keyed(NamedTuple):
    """What buckets of keys did in each step: [..., segment, bucket] unless said otherwise."""

    # 1 where the bucket is with the candidate, and where it came there: 1 once, or never.
    mine: Array
    moved: Array
    # Events, and those expected by what the bucket did before.
    events: Array
    expected: Array
    # By how many events that is known; 0: of this bucket nothing is judged. [..., bucket]
    known: Array
    # How likely a bucket moves in this step: [..., segment].
    moves: Array

    @property
    def dispersion(self) -> Array:
        """How many events come as one: [...]."""
        events = self.events * _judged(self)
        strays = (events - _means(self, events)).sum(-2)
        return np.asarray(np.maximum(1.0, (strays**2).sum(-1) / np.maximum(events.sum((-1, -2)), 1)))


def compare(requests: Array, events: Array, shares: Array) -> Keyed:
    """Of the requests and the events [..., variant, segment, bucket], oldest segment first, and the share of
    keys that is the candidate's [segment], below 1. What was before it had any is the past."""
    first = int((np.maximum.accumulate(shares) > 0).argmax()) if shares.any() else len(shares)
    past_requests, past_events = (part[..., 0, :first, :].sum(-2) for part in (requests, events))
    here, there = requests[..., first:, :].sum(-3), requests[..., 1, first:, :] > 0
    now = events[..., first:, :].sum(-3)
    total, known = now.sum((-1, -2)), past_events.sum(-1)
    mean = np.where(
        known > 0,
        known / np.maximum(past_requests.sum(-1), 1),
        total / np.maximum(here.sum((-1, -2)), 1),
    )
    mean = np.maximum(mean, 1e-9)[..., None]
    # As if each bucket had met one event at the mean rate before.
    rate = (past_events + 1) / (past_requests + 1 / mean)
    # A bucket that was with both, as one on the border of a share is, says little.
    mixed = (np.cumsum(there, -2) > 0) & (requests[..., 0, first:, :] > 0)
    most = np.maximum.accumulate(shares[first:])
    return Keyed(
        mine=there.astype(float),
        moved=(there & (np.cumsum(there, -2) == 1)).astype(float),
        events=now,
        expected=rate[..., None, :] * here,
        known=np.where(mixed.any(-2), 0.0, past_events + 1),
        moves=np.broadcast_to(np.diff(most, prepend=0.0), here.shape[:-1]),
    )


def log_above(keyed: Keyed, ratio: Number) -> Array:
    """Log evidence against "the candidate's rate is at most `ratio` times the baseline's"."""
    return _log_evidence(keyed, _excess(keyed, ratio))


def log_below(keyed: Keyed, ratio: Number) -> Array:
    """Log evidence against "the candidate's rate is at least `ratio` times the baseline's"."""
    return _log_evidence(keyed, -_excess(keyed, ratio))


def _judged(keyed: Keyed) -> Array:
    return np.asarray((keyed.known > 0)[..., None, :] * np.ones_like(keyed.events))


def _excess(keyed: Keyed, ratio: Number) -> Array:
    """What each bucket did beyond what was to be expected, if the candidate does all `ratio` times as often:
    as a score, and as that in deviations, which lets small ones count: [..., 2, segment, bucket]."""
    alike = keyed.events / np.where(keyed.mine > 0, ratio, 1.0)
    means = _means(keyed, alike)
    total = means.sum(-2, keepdims=True)
    spread = 1 + total / np.maximum(keyed.known, 1)[..., None, :]
    score = _judged(keyed) * (alike - means) / spread
    return np.stack([score, score * np.sqrt(spread / np.maximum(total, _LEAST))], -3)


def _means(keyed: Keyed, events: Array) -> Array:
    """The events expected in each segment at its level: nearly all buckets may do more now than before. A few
    that stray far count less for that (Huber)."""
    known = np.maximum(keyed.known, 1)[..., None, :]
    judged = weights = _judged(keyed)
    means = keyed.expected
    for _ in range(_ROUNDS):
        before, now = ((weights * part).sum(-1, keepdims=True) for part in (keyed.expected, events))
        means = keyed.expected * now / np.maximum(before, 1e-12)
        deviations = np.sqrt(means * (1 + means / known))
        far = np.abs(events - means) / np.maximum(_FAR * deviations, 1e-12)
        weights = judged / np.maximum(far, 1.0)
    return np.asarray(means)


def _log_evidence(keyed: Keyed, excess: Array) -> Array:
    """Of the excess [..., form, segment, bucket]."""
    # What is won by a bucket that moved in this segment: its excess from then on.
    since = np.cumsum(excess[..., ::-1, :], -2)[..., ::-1, :]
    won = _STAKES[:, None, None] * since[..., None, :, :]
    np.minimum(won, _LARGEST, out=won)
    np.maximum(won, -_LARGEST, out=won)
    paths = np.einsum("...fksb,...sb->...fk", won, keyed.moved)
    fair = np.einsum("...fksb,...s->...fkb", np.exp(won, out=won), keyed.moves)
    fair += (1 - keyed.moves.sum(-1))[..., None, None, None]
    paths -= np.log(fair, out=fair).sum(-1)
    most = paths.max((-1, -2), keepdims=True)
    return np.asarray(most[..., 0, 0] + np.log(np.exp(paths - most).mean((-1, -2))))
