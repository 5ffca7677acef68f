"""Intervals of metrics on the held-out rows, by the bootstrap over rows.

Rows are drawn with replacement, always with the answers of both variants. The plain bootstrap is too narrow
when a variant rarely errs, because events that did not occur in n rows are still possible. Two corrections
apply:

- A share (agreement) has the exact interval of Clopper and Pearson (1934). If a row holds many tokens, the
number of independent ones follows from their variance (Korn and Graubard, 1998).
- A change of a metric that needs labels (accuracy, F1) is drawn from the rows and two additional rows: one
that only the baseline gets right, and one that only the variant gets right (Bonett and Price, 2012, adapted
to the bootstrap)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

CONFIDENCE = 0.95
_DRAWS = 2000
# Numbers processed at a time; blocks that fit into the cache are fastest.
_BLOCK = 1 << 18

Floats = NDArray[np.float64]
Interval = tuple[float, float]


def share_interval(hits: Floats, counts: Floats) -> Interval:
    """Return the interval of a share of items, by Clopper and Pearson.

    Args:
        hits: number of items of each row that hit, [rows]
        counts: number of items of each row, [rows]

    Returns:
        The lower and upper bound of sum(hits) / sum(counts). If rows hold several items, the effective number
        of items follows from the variance between rows (Korn and Graubard, 1998).
    """
    total, rows = counts.sum(), len(counts)
    share = hits.sum() / total
    spread = hits - share * counts
    variance = rows / max(1, rows - 1) * float(spread @ spread) / total**2
    # Without variance, the items of a row may be fully dependent.
    independent = min(total, share * (1 - share) / variance) if variance > 0 else rows
    seen = share * independent
    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(seen, independent - seen + 1, tail)) if share > 0 else 0.0
    high = float(betaincinv(seen + 1, independent - seen, 1 - tail)) if share < 1 else 1.0
    return low, high


def mean_intervals(sums: Floats, counts: Floats, seed: int) -> list[Interval]:
    """Return the bootstrap intervals of ratios of sums.

    Args:
        sums: sums over the items of each row, [rows, figures]
        counts: number of items of each row, [rows]
        seed: seed of the draws

    Returns:
        The lower and upper bound of sums.sum(0) / counts.sum() for each figure.
    """
    return resample(np.column_stack([sums, counts]), lambda drawn: drawn[:, :-1] / drawn[:, -1:], seed)


def resample(
    table: Any, statistic: Callable[[Floats], Floats], seed: int, unseen: int = 0, weight: float = 1.0
) -> list[Interval]:
    """Return bootstrap percentile intervals of statistics of column sums.

    Args:
        table: dense or sparse matrix whose rows are drawn, [rows, columns]
        statistic: maps column sums [draws, columns] to figures [draws, figures]; NaN: a draw has no figure
        seed: seed of the draws
        unseen: number of last rows of `table` that stand for unseen events
        weight: weight of these rows, relative to 1 for an observed row

    Returns:
        The lower and upper bound of each figure.
    """
    random = np.random.default_rng(seed)
    rows, columns = table.shape
    seen = rows - unseen
    size = round(seen + unseen * weight)
    block = max(1, _BLOCK // (size + rows + columns))
    figures = []
    for start in range(0, _DRAWS, block):
        draws = min(block, _DRAWS - start)
        at = random.random((draws, size)) * size
        row = np.where(at < seen, at, seen + (at - seen) / weight).astype(np.int64)
        # Rounding may exceed the last index.
        place = np.minimum(row, rows - 1) + rows * np.arange(draws)[:, None]
        often = np.bincount(place.ravel(), minlength=draws * rows).reshape(draws, rows).astype(np.float64)
        figures.append(statistic(np.asarray((table.T @ often.T).T)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(np.concatenate(figures), [tail, 1 - tail], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))
