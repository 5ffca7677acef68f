"""Ratios: a candidate's latency over the baseline's, measured in one run, by block bootstrap."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from loadtests.report import Latency, Ratio
from loadtests.sending.samples import Samples

RATIO_CONFIDENCE = 0.99
_DRAWS = 2_000
# Draws at a time, so that memory is bounded.
_CHUNK = 50
BLOCK_S = 1.0
# More than this many do not make intervals better.
_MOST_BLOCKS = 200
# With fewer blocks their spread is not known.
LEAST_BLOCKS = 10
_QUANTILES: dict[Latency, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
# A quantile with fewer samples beyond it is chance.
BEYOND = 10

Array = NDArray[np.float64]
Weights = NDArray[np.int32]


def compare_latency(baseline: Samples, candidate: Samples, duration_s: float, seed: int) -> tuple[Ratio, ...]:
    """p50, p95, p99 and mean, as far as there are samples for them; none for less than LEAST_BLOCKS.

    Requests close in time are slow together, so whole seconds are drawn, of both variants at once: what
    slowed both is no difference between them."""
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
    """How often each block was drawn; shape [draws, block]."""
    for _ in range(_DRAWS // _CHUNK):
        yield rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=_CHUNK).astype(np.int32)


def _figures(samples: Samples, block_s: float, weights: Weights, figures: Sequence[Latency]) -> Array:
    """The figures of the weighted blocks, the mean last; shape [draws, figure]."""
    order = np.argsort(samples.latency_ms)
    values = samples.latency_ms[order]
    block = (samples.intended_s[order] / block_s).astype(int)
    # In each draw, how many samples there are up to each value.
    up_to = np.cumsum(weights.take(block, axis=1), axis=1, dtype=np.int32)
    total = up_to[:, -1:]
    wanted = total * [_QUANTILES[figure] for figure in figures if figure != "mean"]
    places = [np.searchsorted(row, least) for row, least in zip(up_to, wanted, strict=True)]
    sums = weights @ np.bincount(block, values, minlength=weights.shape[1])
    found = np.column_stack([values[np.array(places)], sums / np.maximum(total[:, 0], 1)])
    # A draw without any sample has no figure.
    return np.where(total > 0, found, np.nan)
