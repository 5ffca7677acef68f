"""Compare two variants by sticky keys. A key is assigned, not a request, so the key is the unit.

Chance alone decides at which step a bucket of keys moves from the baseline to the candidate, if at all. If
the two variants are equal, a bucket behaves the same wherever it is. Given the behaviour of all buckets, the
step of each bucket is then an independent draw with known probabilities. The test bets on these draws, so it
is valid whatever users are like: only the assignment is random (design-based: Ham, Bojinov, Lindon & Tingley,
arXiv:2210.08639; the mixture over stakes is Robbins').

The bets use how much more a bucket does than it did at the baseline before the first step (CUPED: Deng, Xu,
Kohavi & Walker, WSDM 2013), as the score of a negative binomial distribution, which expects more of buckets
with more data. Arrays; pure. Axes before those in a comment are independent rollouts."""

from typing import NamedTuple

import numpy as np

from serve.rollout.evidence.evalues import Array, Number

# The stakes per excess event: from everything to almost nothing, with equal weights.
_STAKES = 2.0 ** np.arange(1, -13, -1.5)
# Prevents overflow.
_LARGEST = 600.0
# Buckets further away than this many deviations count less for the common level; the number of iterations.
_FAR, _ROUNDS = 3.0, 4
# With fewer expected events, the deviation is not known.
_LEAST = 0.05


class Keyed(NamedTuple):
    """What buckets of keys did in each step: [..., segment, bucket] unless stated otherwise."""

    # 1 if the bucket is with the candidate; 1 in the segment where it moved there (once, or never).
    mine: Array
    moved: Array
    # Events, and expected events by the bucket's past.
    events: Array
    expected: Array
    # The number of events behind the expectation; 0: the bucket is not judged. [..., bucket]
    known: Array
    # The probability that a bucket moves in this step: [..., segment].
    moves: Array

    @property
    def dispersion(self) -> Array:
        """The number of events per independent draw, [...]."""
        events = self.events * _judged(self)
        strays = (events - _means(self, events)).sum(-2)
        return np.asarray(np.maximum(1.0, (strays**2).sum(-1) / np.maximum(events.sum((-1, -2)), 1)))


def compare(requests: Array, events: Array, shares: Array) -> Keyed:
    """Arrange the data of both variants.

    Args:
        requests: [..., variant, segment, bucket], oldest segment first. Segments before the candidate's first
            share are the past.
        events: the same shape.
        shares: the candidate's share of the keys, below 1, [segment].
    """
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
    # As if each bucket had had one more event at the mean rate before.
    rate = (past_events + 1) / (past_requests + 1 / mean)
    # A bucket with requests at both variants, at the border of a share, is not judged.
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
    """The excess of each bucket over its expectation, if the candidate's rate is `ratio` times the
    baseline's: as a score, and in standard deviations, which makes small excesses count: [..., 2, segment,
    bucket]."""
    alike = keyed.events / np.where(keyed.mine > 0, ratio, 1.0)
    means = _means(keyed, alike)
    total = means.sum(-2, keepdims=True)
    spread = 1 + total / np.maximum(keyed.known, 1)[..., None, :]
    score = _judged(keyed) * (alike - means) / spread
    return np.stack([score, score * np.sqrt(spread / np.maximum(total, _LEAST))], -3)


def _means(keyed: Keyed, events: Array) -> Array:
    """The expected events, scaled to the level of each segment, because all buckets may do more now than
    before. Buckets that stray far count less for the level (Huber)."""
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
    """The log evidence for the excess [..., form, segment, bucket], [...]."""
    # The gain from a bucket that moved in this segment is its excess from then on.
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
