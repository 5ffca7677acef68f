"""Marks: the sums as they stood at some moments, so that a change after a long calm is seen soon.

The evidence since a mark is one more test that began there. Each gets a part of the odds that is fixed when
it begins, 1 / ((n + 1)(n + 2)) for the n-th minute. These sum to 1/2, and to 0.573 with those minutes that
are marked at several levels and count at each: at most 1, so all of them together keep what one test promises
(an e-detector of mixtures: Shin, Ramdas & Rinaldo, arXiv:2203.03532). Old marks are kept more and more
sparsely; what is dropped only makes the evidence smaller. Arrays, and pure."""

import numpy as np

from serve.rollout.evidence.evalues import Array

# The seconds between marks at each level, and how many are kept at each: 36 hours in all.
EVERY_S = 64.0 * 4.0 ** np.arange(5)
KEPT = 8
# The seconds counted (0: no mark), events of the baseline and of the candidate, and the candidate's requests.
COLUMNS = 4


def note(marks: Array, seconds: Array, sums: Array) -> Array:
    """The marks [..., level, place, column] once `seconds` were counted, with these sums [..., 3]."""
    due = seconds[..., None] % EVERY_S == 0
    if not due.any():
        return marks
    place = (seconds[..., None] // EVERY_S) % KEPT
    here = due[..., None] & (place[..., None] == np.arange(KEPT))
    mark = np.concatenate([seconds[..., None], sums], -1)
    return np.where(here[..., None], mark[..., None, None, :], marks)


def since(marks: Array, sums: Array) -> tuple[Array, Array]:
    """What was counted since each mark [..., mark, 3], and the logs of the marks' parts of the odds
    [..., mark]; minus infinity where there is none. Places that no rollout has a mark at are left out, but
    for the first."""
    flat = marks.reshape(*marks.shape[:-3], len(EVERY_S) * KEPT, COLUMNS)
    taken = np.array((flat[..., 0] > 0).any(tuple(range(flat.ndim - 2))))
    taken[0] = True
    flat = flat[..., taken, :]
    number = flat[..., 0] / EVERY_S[0]
    parts = np.where(number > 0, -np.log((number + 1) * (number + 2)), -np.inf)
    return np.maximum(sums[..., None, :] - flat[..., 1:], 0.0), parts
