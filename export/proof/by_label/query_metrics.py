"""Computes NDCG and MRR of ranked items, and their change from the baseline to the variant."""

import numpy as np

from export.proof.bootstrap import Floats, Interval, resample
from serve.bundles.figures import Compared

_NAMES = ("ndcg", "mrr")
# The columns of a row: NDCG and MRR of the baseline, of the variant, and the number of queries.
_UNSEEN = np.array([[1, 1, 0, 0, 1], [0, 0, 1, 1, 1]], np.float64)


def compare_rankings(
    labels: Floats, baseline: Floats, variant: Floats, top: int, seed: int
) -> dict[str, Compared]:
    """Compare the order of the variant's scores with the baseline's.

    NDCG has the relevance as gain and 1 / log2(place + 1) as discount; items with equal scores share the mean
    gain of their places, as in scikit-learn. MRR is the mean of 1 / the place of the first relevant item,
    which is behind all other items with its score. Queries without a relevant item do not count. Bootstrap
    draws include two queries that were not seen: one that only the baseline ranks rightly, and one that only
    the variant does.

    Args:
        labels: the relevance of each item, from 0, [queries, items]; NaN does not count. If a row is one
            item: its relevance and the number of its query, [rows, 2]
        baseline: the baseline's scores, [queries, items], or [rows] or [rows, 1]
        variant: the variant's scores
        top: the number of places that count
        seed: seed of the bootstrap

    Returns:
        The figures of the variant by name, with their change and its interval.
    """
    if labels.ndim > 1 and baseline[0].size == 1:
        labels, baseline, variant = _gather_queries(labels, baseline.reshape(-1), variant.reshape(-1))
    counted = np.nan_to_num(labels).max(axis=1, initial=0) > 0
    labels = labels[counted]
    sides = [measure_queries(labels, each[counted], top) for each in (baseline, variant)]
    table = np.concatenate([np.column_stack([*sides, np.ones(len(labels))]), _UNSEEN])
    intervals = resample(
        table, lambda sums: (sums[:, 2:4] - sums[:, :2]) / sums[:, 4:], seed, unseen=len(_UNSEEN)
    )
    return {
        name: _compared(side[1], side[0], interval)
        for name, side, interval in zip(
            _NAMES, np.stack([side.mean(axis=0) for side in sides], axis=1), intervals, strict=True
        )
    }


def _gather_queries(labels: Floats, *scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the relevance and both variants' scores of the items of each query, [queries, items], with NaN
    where a query has fewer items; `scores` are [rows]."""
    _, query = np.unique(labels[:, 1], return_inverse=True)
    order = np.argsort(query, kind="stable")
    sizes = np.bincount(query)
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    gathered = np.full((3, len(sizes), sizes.max()), np.nan)
    for table, column in zip(gathered, (labels[:, 0], *scores), strict=True):
        table[query[order], place] = column[order]
    return gathered[0], gathered[1], gathered[2]


def measure_queries(labels: Floats, scores: Floats, top: int) -> Floats:
    """Return NDCG and the reciprocal rank of each query, [queries, 2], for arrays [queries, items]."""
    missing = np.isnan(labels)
    gains = np.where(missing, 0, labels)
    # Items that do not count are last. An answer that is no number is last of the others.
    known = np.where(np.isnan(scores), -np.inf, scores)
    known = np.where(missing, -np.inf, np.maximum(known, np.finfo(np.float64).min))
    ideal = _gain(gains, np.where(missing, -np.inf, gains), top)
    ndcg = _gain(gains, known, top) / ideal
    relevant = gains > 0
    best = np.where(relevant, known, -np.inf).max(axis=1, keepdims=True)
    place = ((known >= best) & ~relevant & ~missing).sum(axis=1) + 1
    return np.column_stack([ndcg, np.where(place <= top, 1 / place, 0.0)])


def _gain(gains: Floats, scores: Floats, top: int) -> Floats:
    """Return the discounted gain of the first `top` items of each query, [queries]."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ordered, values = (np.take_along_axis(each, order, axis=1) for each in (gains, scores))
    discount = 1 / np.log2(np.arange(scores.shape[1]) + 2)
    discount[top:] = 0
    # The number of each group of equal scores, over all queries.
    starts = np.ones(scores.shape, np.bool_)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    group = np.cumsum(starts.ravel()) - 1
    size = np.bincount(group)
    mean = (np.bincount(group, ordered.ravel()) / size)[group].reshape(scores.shape)
    return np.asarray((mean * discount).sum(axis=1))


def _compared(value: float, before: float, interval: Interval) -> Compared:
    # The unseen rows may move an end of the interval past the change itself.
    change = float(value - before)
    return Compared(
        value=float(value), change=change, low=min(interval[0], change), high=max(interval[1], change)
    )
