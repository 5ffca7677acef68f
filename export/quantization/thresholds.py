"""Chooses how much of the tail of a histogram a quantization range leaves out."""

import numpy as np
from numpy.typing import NDArray

Histogram = NDArray[np.int64]

# Number of bins of absolute values, from 0 to the largest: enough to choose a range of 128 levels.
BINS = 8192
# The number of bins among which the entropy method searches, and the levels of half the range of an integer.
_SEARCH_BINS = 2048
_LEVELS = 128
# Share of the values that may be clipped into an otherwise empty level without cost.
_FREE_SHARE = 1e-4


def percentile_threshold(histogram: Histogram, largest: float, percentile: float) -> float:
    """Return the threshold that the given percentage of the absolute values does not exceed.

    Args:
        histogram: counts of absolute values in equal bins from 0 to `largest`, [bins]
        largest: the largest absolute value
        percentile: percentage, 0 to 100

    Returns:
        The threshold in the units of the values, rounded up to the end of a bin.
    """
    reached = np.cumsum(histogram) >= np.ceil(histogram.sum() * (percentile / 100))
    return largest * (int(np.argmax(reached)) + 1) / len(histogram)


def entropy_threshold(histogram: Histogram, largest: float) -> float:
    """Return the threshold with the lowest KL divergence between the values and their 128 levels (TensorRT's
    entropy calibration).

    For every threshold, P is the histogram up to it, with all values beyond in its last bin; Q is P without
    them, averaged over each of 128 levels where P is not empty. KL(P || Q) balances the loss by rounding,
    which grows with the threshold, and by clipping, which shrinks. onnxruntime's search starts at 128 bins of
    only 128, so it always returns the largest value, as minmax does.

    Args:
        histogram: counts of absolute values in equal bins from 0 to `largest`, [bins]
        largest: the largest absolute value

    Returns:
        The threshold in the units of the values.
    """
    counts = histogram.reshape(_SEARCH_BINS, -1).sum(axis=1)
    divergences = [_divergence(counts, bins) for bins in range(_LEVELS, _SEARCH_BINS + 1)]
    return largest * (_LEVELS + int(np.argmin(divergences))) / _SEARCH_BINS


def error_threshold(histogram: Histogram, full: tuple[float, float]) -> float:
    """Return the threshold with the lowest mean squared error between the values and their 256 levels.

    Rounding adds a twelfth of the squared step per value, and clipping the squared distance beyond the
    threshold.

    Args:
        histogram: counts of absolute values in equal bins from 0 to the largest, [bins]
        full: the lowest and the highest value

    Returns:
        The threshold in the units of the values.
    """
    largest = max(-full[0], full[1])
    thresholds = largest * np.arange(1, len(histogram) + 1) / len(histogram)
    middles = thresholds - largest / len(histogram) / 2
    # Sums over all bins beyond each threshold, of 1, x and x squared.
    counts, sums, squares = (
        np.append(np.cumsum((histogram * middles**power)[::-1])[::-1][1:], 0) for power in (0, 1, 2)
    )
    clipping = squares - 2 * thresholds * sums + thresholds**2 * counts
    steps = (np.minimum(thresholds, full[1]) - np.maximum(-thresholds, full[0])) / 255
    # The first bin holds 0, which is exact at any step.
    rounded = histogram[1:].sum() - counts
    return float(thresholds[np.argmin(clipping + rounded * steps**2 / 12)])


def _divergence(counts: Histogram, bins: int) -> float:
    inside = counts[:bins].astype(np.float64)
    clipped = inside.copy()
    clipped[-1] += counts[bins:].sum()
    filled = clipped > 0
    starts = np.arange(_LEVELS) * bins // _LEVELS
    levels = np.repeat(np.arange(_LEVELS), np.diff(np.append(starts, bins)))
    sums = np.add.reduceat(inside, starts)
    members = np.add.reduceat(filled.astype(np.float64), starts)
    averages = (sums / np.maximum(members, 1))[levels]
    if not sums.any():
        return np.inf
    values, levelled = clipped[filled] / clipped.sum(), averages[filled] / averages[filled].sum()
    # Only the last bin can be empty before clipping and hold clipped values; a small share of them costs
    # nothing.
    levelled = np.where(levelled > 0, levelled, np.minimum(values, _FREE_SHARE))
    return float(np.sum(values * np.log(values / levelled)))
