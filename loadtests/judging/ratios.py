"""Estimates the ratios of a candidate's latencies to the baseline's in one run, by block bootstrap."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from loadtests.candidate_comparison import Latency, Ratio
from loadtests.sending.samples import Samples

RATIO_CONFIDENCE = 0.99
_DRAWS = 2_000
# Number of draws computed at a time, which bounds the memory.
_CHUNK = 50
BLOCK_S = 1.0
# More blocks than this do not improve the intervals.
_MOST_BLOCKS = 200
# With fewer blocks, their variance cannot be estimated.
LEAST_BLOCKS = 10
_QUANTILES: dict[Latency, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
# A quantile with fewer samples beyond it is too noisy.
BEYOND = 10

Array = NDArray[np.float64]
Weights = NDArray[np.int32]


def compare_latency(baseline: Samples, candidate: Samples, duration_s: float, seed: int) -> tuple[Ratio, ...]:
    """Estimate the candidate's latency relative to the baseline's, with block-bootstrap intervals.

    Latencies of requests close in time are correlated, so whole blocks of at least one second are drawn with
    replacement. Both variants share each draw of blocks, so a slow second affects both sides.

    Args:
        baseline: samples of the baseline, with times in seconds and latencies in milliseconds
        candidate: samples of the candidate from the same run
        duration_s: duration of the run without the warm-up, in seconds
        seed: seed of the bootstrap draws

    Returns:
        Ratios of p50, p95, p99 (where at least BEYOND samples lie beyond the quantile) and mean, each with
        its percentile interval of RATIO_CONFIDENCE. Empty if the run has fewer than LEAST_BLOCKS blocks or a
        variant has no samples.
    """
    block_s = max(BLOCK_S, duration_s / _MOST_BLOCKS)
    blocks = int(duration_s / block_s)
    sides = [
        samples.where(samples.timed & (samples.intended_s < blocks * block_s))
        for samples in (baseline, candidate)
    ]
    if blocks < LEAST_BLOCKS or not all(map(len, sides)):
        return ()
    rng = np.random.default_rng(seed)
    figures: list[Latency] = [name for name, q in _QUANTILES.items() if _enough(sides, q)]
    figures.append("mean")
    drawn: list[Array] = []
    for weights in _draw(blocks, rng):
        below, above = (_figures(samples, block_s, weights, figures) for samples in sides)
        drawn.append(above / below)
    one = np.ones((1, blocks), np.int32)
    below, above = (_figures(samples, block_s, one, figures)[0] for samples in sides)
    tail = (1 - RATIO_CONFIDENCE) / 2
    low, high = np.nanquantile(np.concatenate(drawn), (tail, 1 - tail), axis=0)
    return tuple(
        Ratio(figure=figure, value=float(value), low=float(least), high=float(most))
        for figure, value, least, most in zip(figures, above / below, low, high, strict=True)
    )


def _enough(sides: list[Samples], q: float) -> bool:
    return all(len(samples) * (1 - q) >= BEYOND for samples in sides)


def _draw(blocks: int, rng: np.random.Generator) -> Iterator[Weights]:
    """Yield how often each block is drawn, in arrays of shape [draws, block]."""
    for _ in range(_DRAWS // _CHUNK):
        yield rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=_CHUNK).astype(np.int32)


def _figures(samples: Samples, block_s: float, weights: Weights, figures: Sequence[Latency]) -> Array:
    """Return the latencies in ms of the weighted blocks, in the order of `figures`; shape [draws, figure]."""
    order = np.argsort(samples.latency_ms)
    values = samples.latency_ms[order]
    block = (samples.intended_s[order] / block_s).astype(int)
    # For each draw, the number of samples up to each value.
    up_to = np.cumsum(weights.take(block, axis=1), axis=1, dtype=np.int32)
    total = up_to[:, -1:]
    ranks = total * [_QUANTILES[figure] for figure in figures if figure != "mean"]
    places = [np.searchsorted(row, least) for row, least in zip(up_to, ranks, strict=True)]
    sums = weights @ np.bincount(block, values, minlength=weights.shape[1])
    estimates = np.column_stack([values[np.array(places)], sums / np.maximum(total[:, 0], 1)])
    # A draw without samples has no latency.
    return np.where(total > 0, estimates, np.nan)
