"""Likeness: how near the embeddings of two variants are, row by row and in what they say of pairs of rows."""

import numpy as np
from numpy.typing import NDArray

from export.proof.bootstrap import CONFIDENCE, Floats, Interval, mean_intervals
from serve.bundles.figures import Estimate
from serve.engine.closeness import cosine_of

_DRAWS = 200
# All pairs of these: more rows cost their square.
_MOST_ROWS = 256


def mean_cosine(baseline: Floats, variant: Floats, seed: int) -> Estimate:
    """The mean over rows of the cosine between the two embeddings."""
    values = cosine_of(baseline, variant)
    [(low, high)] = mean_intervals(values[:, None], np.ones(len(values)), seed)
    mean = float(values.mean())
    return Estimate(value=mean, low=min(low, mean), high=max(high, mean))


def rank_correlation(baseline: Floats, variant: Floats, seed: int) -> Estimate | None:
    """Spearman's, between the two variants' cosines of all pairs of rows; of at most 256 rows, drawn by
    `seed`. None for less than 3 rows: there is one pair, or none."""
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


def similarities(embeddings: Floats) -> Floats:
    """The cosines of all pairs of rows, [rows, rows] of [rows, width]; 0 with a row of zeros."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.where(lengths > 0, lengths, 1)
    similar: Floats = unit @ unit.T
    return similar


def _order(similar: Floats) -> NDArray[np.intp]:
    """Each value's place among the different values: sorted once, any draw of them is ranked by counting."""
    return np.unique(similar, return_inverse=True)[1].reshape(similar.shape)


def _rank(places: NDArray[np.intp]) -> Floats:
    """From 1; equal values share the mean of their ranks."""
    counts = np.bincount(places)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def _spearman(orders: list[NDArray[np.intp]], rows: NDArray[np.int64]) -> float:
    """Over the pairs of these rows; a row that was drawn twice is no pair with itself. Of no pair: 0."""
    one, other = np.triu_indices(len(rows), 1)
    first, second = rows[one], rows[other]
    pairs = first != second
    if not pairs.any():
        return 0.0
    ranks = [_rank(order[first[pairs], second[pairs]]) for order in orders]
    centred = [item - item.mean() for item in ranks]
    scale = float(np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1])))
    # Nothing varies: all pairs are alike to one of the two, which says nothing of the other.
    return float(centred[0] @ centred[1]) / scale if scale > 0 else 0.0


def _percentiles(drawn: Floats) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)
