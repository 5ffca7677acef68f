"""Bootstrap: how far a figure on the held-out rows may be from the figure on all rows there could be.

Rows are drawn again with replacement, the two variants' answers of a row always together. Two things that
the plain bootstrap gets wrong when a variant errs rarely are put right: what was not seen in n rows is still
possible, and an interval must say so.

- a share (agreement) has the interval of Clopper and Pearson, which is exact; where a row holds many tokens,
  with as many independent ones as their variance says (Korn and Graubard, 1998);
- a change of what labels give (accuracy, F1) is drawn from the rows and from two more: one that only the
  baseline gets right and one that only the variant does (Bonett and Price, 2012, for the bootstrap).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

CONFIDENCE = 0.95
_DRAWS = 2000
# Numbers held at once: what fits into the cache is fastest.
_BLOCK = 1 << 18

Floats = NDArray[np.float64]
Interval = tuple[float, float]


def share_interval(hits: Floats, counts: Floats) -> Interval:
    """The interval of sum(hits) / sum(counts), both [rows]: how many of a row's items hit, and how many it
    has."""
    total, rows = counts.sum(), len(counts)
    share = hits.sum() / total
    spread = hits - share * counts
    variance = rows / max(1, rows - 1) * float(spread @ spread) / total**2
    # Where nothing varies, all items of a row may stand or fall together.
    independent = min(total, share * (1 - share) / variance) if variance > 0 else rows
    seen = share * independent
    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(seen, independent - seen + 1, tail)) if share > 0 else 0.0
    high = float(betaincinv(seen + 1, independent - seen, 1 - tail)) if share < 1 else 1.0
    return low, high


def mean_intervals(sums: Floats, counts: Floats, seed: int) -> list[Interval]:
    """The intervals of sums.sum(0) / counts.sum(), for `sums` [rows, figures] and `counts` [rows]."""
    return resample(np.column_stack([sums, counts]), lambda drawn: drawn[:, :-1] / drawn[:, -1:], seed)


def resample(
    table: Any, statistic: Callable[[Floats], Floats], seed: int, unseen: int = 0, weight: float = 1.0
) -> list[Interval]:
    """The percentile interval of each figure that `statistic` makes, [draws, columns] -> [draws, figures], of
    the column sums of rows drawn from `table`, a dense or sparse matrix [rows, columns].

    Its last `unseen` rows are drawn less often, by `weight`, and count as so many rows."""
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
        # Rounding may carry the very last one over the edge.
        place = np.minimum(row, rows - 1) + rows * np.arange(draws)[:, None]
        often = np.bincount(place.ravel(), minlength=draws * rows).reshape(draws, rows).astype(np.float64)
        figures.append(statistic(np.asarray((table.T @ often.T).T)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(figures), [tail, 1 - tail], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))
