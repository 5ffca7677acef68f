"""Thresholds: how much of a histogram's tail a range leaves out."""

import numpy as np
from numpy.typing import NDArray

Histogram = NDArray[np.int64]

# Of absolute values, from 0 to the largest: enough that 128 levels have something to choose from.
BINS = 8192
# The method's own: thresholds are sought among so many bins, for so many levels of an integer's half range.
_SEARCH_BINS = 2048
_LEVELS = 128
# Of the values, clipped into a level that is empty otherwise.
_FREE_SHARE = 1e-4


def percentile_threshold(histogram: Histogram, largest: float, percentile: float) -> float:
    """The value that `percentile` in a hundred absolute values do not exceed, to one bin, upwards."""
    reached = np.cumsum(histogram) >= np.ceil(histogram.sum() * (percentile / 100))
    return largest * (int(np.argmax(reached)) + 1) / len(histogram)


def entropy_threshold(histogram: Histogram, largest: float) -> float:
    """The threshold with the least divergence between the values and their 128 levels (TensorRT's method).

    For every threshold: P is the histogram up to it, with all values beyond in its last bin; Q is the same
    without them, averaged over each of 128 levels where P has something. KL(P || Q) weighs what rounding
    blurs (grows with the threshold) against what clipping moves (shrinks). onnxruntime's search starts at
    128 bins of the 128 that it collects, so it knows one threshold, the largest: minmax by another name."""
    counts = histogram.reshape(_SEARCH_BINS, -1).sum(axis=1)
    divergences = [_divergence(counts, bins) for bins in range(_LEVELS, _SEARCH_BINS + 1)]
    return largest * (_LEVELS + int(np.argmin(divergences))) / _SEARCH_BINS


def error_threshold(histogram: Histogram, full: tuple[float, float]) -> float:
    """The threshold with the least mean squared difference between the values and their 256 levels: rounding
    moves a value by a twelfth of the step's square, clipping by all that lies beyond. `full`: the least and
    the largest value."""
    largest = max(-full[0], full[1])
    thresholds = largest * np.arange(1, len(histogram) + 1) / len(histogram)
    middles = thresholds - largest / len(histogram) / 2
    # Sums over all bins beyond each threshold, of 1, x and x squared.
    counts, sums, squares = (
        np.append(np.cumsum((histogram * middles**power)[::-1])[::-1][1:], 0) for power in (0, 1, 2)
    )
    clipping = squares - 2 * thresholds * sums + thresholds**2 * counts
    steps = (np.minimum(thresholds, full[1]) - np.maximum(-thresholds, full[0])) / 255
    # The first bin holds 0, which no step moves.
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
    # Only the last bin can be empty inside and hold what was clipped: a little of it costs nothing.
    levelled = np.where(levelled > 0, levelled, np.minimum(values, _FREE_SHARE))
    return float(np.sum(values * np.log(values / levelled)))
