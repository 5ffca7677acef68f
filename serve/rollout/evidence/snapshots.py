"""Copies of the sums at earlier times, so that a change after a long calm is found soon.

The evidence since a snapshot is a separate test that began there. It gets a fixed part of the error
probability, 1 / ((n + 1)(n + 2)) for the n-th minute. These parts sum to 1/2, or to 0.573 with minutes that
are noted at several levels and count at each. Both are at most 1, so all tests together keep the error
probability of one (an e-detector of mixtures: Shin, Ramdas & Rinaldo, arXiv:2203.03532). Old snapshots are
thinned out, which only makes the evidence smaller. Arrays; pure."""

import numpy as np

from serve.rollout.evidence.evalues import Array

# The seconds between snapshots at each level, and the number of snapshots kept at each: 36 hours in total.
EVERY_S = 64.0 * 4.0 ** np.arange(5)
KEPT = 8
# The counted seconds (0: no snapshot), events of the baseline and of the candidate, requests of the
# candidate.
COLUMNS = 4


def note(snapshots: Array, seconds: Array, sums: Array) -> Array:
    """Add snapshots when they are due.

    Args:
        snapshots: [..., level, place, column].
        seconds: seconds counted so far, [...].
        sums: the sums at this time (the columns after the first), [..., 3].

    Returns:
        The snapshots, [..., level, place, column].
    """
    due = seconds[..., None] % EVERY_S == 0
    if not due.any():
        return snapshots
    place = (seconds[..., None] // EVERY_S) % KEPT
    here = due[..., None] & (place[..., None] == np.arange(KEPT))
    snapshot = np.concatenate([seconds[..., None], sums], -1)
    return np.where(here[..., None], snapshot[..., None, None, :], snapshots)


def since(snapshots: Array, sums: Array) -> tuple[Array, Array]:
    """What was counted since each snapshot.

    Args:
        snapshots: [..., level, place, column].
        sums: the present sums, [..., 3].

    Returns:
        The differences, [..., snapshot, 3], and the logs of the snapshots' parts of the error probability,
        [..., snapshot]; minus infinity without a snapshot. Places without a snapshot in any rollout are left
        out, except the first.
    """
    flat = snapshots.reshape(*snapshots.shape[:-3], len(EVERY_S) * KEPT, COLUMNS)
    taken = np.array((flat[..., 0] > 0).any(tuple(range(flat.ndim - 2))))
    taken[0] = True
    flat = flat[..., taken, :]
    number = flat[..., 0] / EVERY_S[0]
    parts = np.where(number > 0, -np.log((number + 1) * (number + 2)), -np.inf)
    return np.maximum(sums[..., None, :] - flat[..., 1:], 0.0), parts
