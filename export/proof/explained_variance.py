"""Measures how much of an output's variance a variant explains (R2), with the lower end of its interval."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.proof.bootstrap import Floats, resample
from serve.bundles.meaning import Meaning

Array = NDArray[Any]
# Places whose errors are drawn: of many, others are hardly ever the worst.
_MOST_PLACES = 64


def measure_r2(meaning: Meaning, baseline: Array, variant: Array, seed: int) -> tuple[float, float] | None:
    """Return the R2 of the worst place of the last dimension, and the lower end of its bootstrap interval
    over the rows.

    Args:
        meaning: the kind of output, with the standard deviations of the baseline's numbers
        baseline: the baseline's answers, [rows, ...]
        variant: the variant's answers, [rows, ...]
        seed: seed of the bootstrap

    Returns:
        None if the output holds no numbers, or only constant ones, or the shapes differ.
    """
    if not any(meaning.spread) or baseline.shape != variant.shape:
        return None
    errors, counts = _sum_errors(meaning, baseline, variant)
    variances = np.square(np.asarray(meaning.spread[: errors.shape[1]]))
    worst = np.argsort(_shares(errors.sum(axis=0), counts.sum(axis=0), variances))[-_MOST_PLACES:]
    errors, counts, variances = errors[:, worst], counts[:, worst], variances[worst]

    def r2(sums: Floats) -> Floats:
        drawn_errors, drawn_counts = np.split(sums, 2, axis=1)
        each = _shares(drawn_errors, drawn_counts, variances)
        return np.asarray(1 - each.max(axis=1, keepdims=True))

    table = np.column_stack([errors, counts])
    value = float(r2(table.sum(axis=0)[None])[0, 0])
    [(low, _)] = resample(table, r2, seed)
    return value, min(low, value)


def _sum_errors(meaning: Meaning, baseline: Array, variant: Array) -> tuple[Floats, Floats]:
    """Return the sums of squared differences and their number for each row and place, each [rows, places]."""
    wide = len(meaning.spread) == (baseline.shape[-1] if baseline.ndim > 1 else 1)
    before, after = (
        each.astype(np.float64).reshape(len(baseline), -1, len(meaning.spread) if wide else 1)
        for each in (baseline, variant)
    )
    apart = np.square(np.where(before == after, 0.0, before - after))
    finite = np.isfinite(apart)
    return np.where(finite, apart, 0).sum(axis=1), finite.sum(axis=1).astype(np.float64)


def _shares(errors: Floats, counts: Floats, variances: Floats) -> Floats:
    """Return the unexplained share of the variance; of a constant place it is 0 or the largest float."""
    means = errors / np.maximum(counts, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(np.where(means == 0, 0.0, means / variances)))
