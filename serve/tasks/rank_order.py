"""Compares the order in which two answers rank the items of a query. Pure."""

import numpy as np
from numpy.typing import NDArray

from serve.bundles.meaning import Meaning

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# The number of first items whose order counts, unless the rule sets it.
TOP = 10
# Two scores are equal if they differ by at most this share of the largest score: the last bits of a float32.
_LAST_BITS = 1e-6


def differ_in_order(meaning: Meaning, before: Floats, after: Floats) -> Bools:
    """Which rows of scores, [rows, ..., items], have another order of their highest scores, [rows].

    Items whose scores are equal in the baseline, but for the last bits, may be in any order. Items that are
    NaN in the baseline do not exist."""
    one, other = (each.reshape(-1, before.shape[-1]) for each in (before, after))
    missing = np.isnan(one)
    lost = (np.isnan(other) & ~missing).any(axis=1)
    one, other = np.where(missing, -np.inf, one), np.where(missing, -np.inf, other)
    top = min(meaning.top or TOP, one.shape[1])
    orders = [np.argsort(-each, axis=1, kind="stable")[:, :top] for each in (one, other)]
    expected, actual = (np.take_along_axis(one, order, axis=1) for order in orders)
    size = np.abs(np.where(np.isfinite(one), one, 0)).max(axis=1, keepdims=True, initial=0)
    with np.errstate(invalid="ignore"):
        moved = ~((expected == actual) | (np.abs(expected - actual) <= _LAST_BITS * size))
    differ = moved.any(axis=1) | lost
    return np.asarray(differ.reshape(len(before), -1).any(axis=1))
