"""Compares the embeddings of two variants, row by row and by the similarities of pairs of rows."""

import numpy as np
from numpy.typing import NDArray

from export.proof.bootstrap import CONFIDENCE, Floats, Interval, mean_intervals, share_interval
from serve.bundles.figures import Estimate
from serve.tasks.closeness import cosine_of

_DRAWS = 200
# Maximum number of rows, because the number of pairs grows with its square.
_MOST_ROWS = 256
_MOST_NEIGHBOURS = 2048
# Similarities that differ by less are equal.
_ROUNDING = 1e-9


def mean_cosine(baseline: Floats, variant: Floats, seed: int) -> Estimate:
    """Return the mean cosine between the two embeddings of each row.

    Args:
        baseline: the baseline's embeddings, [rows, width]
        variant: the variant's embeddings, [rows, width]
        seed: seed of the bootstrap

    Returns:
        The mean with its bootstrap interval.
    """
    values = cosine_of(baseline, variant)
    [(low, high)] = mean_intervals(values[:, None], np.ones(len(values)), seed)
    mean = float(values.mean())
    return Estimate(value=mean, low=min(low, mean), high=max(high, mean))


def rank_correlation(baseline: Floats, variant: Floats, seed: int) -> Estimate | None:
    """Return the Spearman correlation between the two variants' cosine similarities of all pairs of rows.

    Args:
        baseline: the baseline's embeddings, [rows, width]
        variant: the variant's embeddings, [rows, width]
        seed: seed of the choice of at most 256 rows and of the bootstrap

    Returns:
        The correlation with its bootstrap interval; None for fewer than 3 rows, which have at most one pair.
    """
    random = np.random.default_rng(seed)
    rows = len(baseline)
    if rows < 3:
        return None
    chosen = np.sort(random.choice(rows, min(rows, _MOST_ROWS), replace=False))
    orders = [_order(similarities(embeddings[chosen])) for embeddings in (baseline, variant)]
    value = _spearman(orders, np.arange(len(chosen)))
    drawn = [_spearman(orders, random.integers(0, len(chosen), len(chosen))) for _ in range(_DRAWS)]
    low, high = _percentiles(np.array(drawn))
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def neighbour_agreement(baseline: Floats, variant: Floats, seed: int) -> Estimate | None:
    """Return the share of rows whose nearest other row, by the cosine, is the same for both variants.

    Args:
        baseline: the baseline's embeddings, [rows, width]
        variant: the variant's embeddings, [rows, width]
        seed: seed of the choice of at most 2,048 rows

    Returns:
        The share with its interval; None for fewer than 3 rows, whose nearest row is the only one.
    """
    rows = len(baseline)
    if rows < 3:
        return None
    chosen = np.sort(np.random.default_rng(seed).choice(rows, min(rows, _MOST_NEIGHBOURS), replace=False))
    before, after = (similarities(embeddings[chosen]) for embeddings in (baseline, variant))
    for similar in (before, after):
        np.fill_diagonal(similar, -np.inf)
    # The same row twice is equally near: any row that is as near to the baseline's row as its nearest counts.
    nearest = after.argmax(axis=1)
    same = before[np.arange(len(chosen)), nearest] >= before.max(axis=1) - _ROUNDING
    hits = same.astype(np.float64)
    low, high = share_interval(hits, np.ones(len(hits)))
    return Estimate(value=float(hits.mean()), low=low, high=high)


def similarities(embeddings: Floats) -> Floats:
    """Return the cosine similarities of all pairs of rows, [rows, rows] from [rows, width]; 0 if a row is all
    zeros."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.where(lengths > 0, lengths, 1)
    similar: Floats = unit @ unit.T
    return similar


def _order(similar: Floats) -> NDArray[np.intp]:
    """Return each value's place among the distinct values, so that draws can be ranked by counting."""
    return np.unique(similar, return_inverse=True)[1].reshape(similar.shape)


def _rank(places: NDArray[np.intp]) -> Floats:
    """Return ranks from 1; equal values share their mean rank."""
    counts = np.bincount(places)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def _spearman(orders: list[NDArray[np.intp]], rows: NDArray[np.int64]) -> float:
    """Return the correlation over the pairs of these rows; a row that was drawn twice does not pair with
    itself. 0 if there are no pairs."""
    one, other = np.triu_indices(len(rows), 1)
    first, second = rows[one], rows[other]
    pairs = first != second
    if not pairs.any():
        return 0.0
    ranks = [_rank(order[first[pairs], second[pairs]]) for order in orders]
    centred = [item - item.mean() for item in ranks]
    scale = float(np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1])))
    # If one of the two is constant, there is no correlation.
    return float(centred[0] @ centred[1]) / scale if scale > 0 else 0.0


def _percentiles(drawn: Floats) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)
