"""Correlation: whether an output of a variant follows the baseline's from row to row, at whatever scale."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from export.proof.bootstrap import CONFIDENCE, Floats
from export.proof.held_out import Answers
from export.proof.output_quality import few_rows
from serve.bundles.figures import Estimate, Meaning, OutputFigures
from serve.engine.closeness import log_shares

Array = NDArray[Any]
# Of a number, which is no difference but its rounding.
_ROUNDING = 1e-5
_FEWEST_ROWS = 4


def correlate(meaning: Meaning, baseline: Array, variant: Array) -> Estimate | None:
    """Pearson's, of how far all numbers of [rows, ...] are from their means over the rows, with Fisher's
    interval for so many rows; of shares, their logarithms, in which a small one counts as well. None: the
    baseline answers the same to every row."""
    before, after = (_numbers(meaning, few_rows(each)) for each in (baseline, variant))
    if before.shape != after.shape:
        return Estimate(value=0, low=-1, high=1)
    known = np.isfinite(before) & np.isfinite(after)
    one, other = (_deviate(np.where(known, each, np.nan)) for each in (before, after))
    if not one.any():
        return None
    place = _scale(meaning, one)
    one, other = one / place, other / place
    if variant is baseline:
        return Estimate(value=1, low=1, high=1)
    scale = float(np.sqrt(np.square(one).sum() * np.square(other).sum()))
    value = float((one * other).sum() / scale) if scale > 0 else 0.0
    value = min(1.0, max(-1.0, value))
    low, high = _interval(value, len(before))
    return Estimate(value=value, low=low, high=high)


def add_correlations(
    outputs: Sequence[OutputFigures], names: Collection[str], baseline: Answers, variant: Answers
) -> tuple[OutputFigures, ...]:
    """The figures of all outputs, those of these `names` with their correlation."""
    return tuple(
        item.model_copy(
            update={"correlation": correlate(item.meaning, baseline[item.name], variant[item.name])}
        )
        if item.name in names
        else item
        for item in outputs
    )


def _numbers(meaning: Meaning, output: Array) -> Floats:
    numbers: Floats = output.astype(np.float64)
    if meaning.form != "shares":
        return numbers
    with np.errstate(all="ignore"):
        return log_shares(numbers, np.ones(numbers.shape[:-1], np.bool_))


def _deviate(numbers: Floats) -> Floats:
    """From the mean over the rows; 0 where there is none."""
    counts = np.maximum(np.isfinite(numbers).sum(axis=0), 1)
    apart = numbers - np.nan_to_num(numbers).sum(axis=0) / counts
    return np.nan_to_num(np.where(np.abs(apart) <= _ROUNDING * np.abs(numbers), 0, apart))


def _scale(meaning: Meaning, apart: Floats) -> Floats | float:
    """Of the baseline's deviations, for each place of the last dimension: what is small beside the others may
    be all that is ruined, and a place that never varies says nothing. Shares, and the numbers of a vector,
    have one scale together."""
    if meaning.kind == "vectors" or meaning.form in ("shares", "log_shares"):
        return 1.0
    spread = np.sqrt(np.square(apart).mean(axis=tuple(range(max(1, apart.ndim - 1)))))
    return np.asarray(np.where(spread > 0, spread, np.inf))


def _interval(value: float, rows: int) -> tuple[float, float]:
    if rows < _FEWEST_ROWS:
        return -1.0, 1.0
    # Of an exact 1 there is none.
    value = min(1 - 1e-12, max(1e-12 - 1, value))
    reach = ndtri((1 + CONFIDENCE) / 2) / np.sqrt(rows - 3)
    low, high = np.tanh(np.arctanh(value) + np.array([-reach, reach]))
    return float(low), float(high)
