"""Correlation: whether an output of a variant follows the baseline's from row to row, at whatever scale."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from export.proof.bootstrap import CONFIDENCE, Floats
from export.proof.held_out import Answers
from export.proof.outputs import few_rows
from serve.closeness import log_shares
from serve.figures import Estimate, Meaning, OutputFigures

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
    one, other = (_deviate(meaning, np.where(known, each, np.nan)) for each in (before, after))
    if not one.any():
        return None
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


def _deviate(meaning: Meaning, numbers: Floats) -> Floats:
    """From the mean over the rows; of numbers that have a scale each, on that. 0 where there is none."""
    counts = np.maximum(np.isfinite(numbers).sum(axis=0), 1)
    apart = numbers - np.nan_to_num(numbers).sum(axis=0) / counts
    apart = np.nan_to_num(np.where(np.abs(apart) <= _ROUNDING * np.abs(numbers), 0, apart))
    if meaning.kind == "numbers" and numbers.ndim > 1 and len(meaning.spread) == numbers.shape[-1]:
        spread = np.asarray(meaning.spread)
        apart = apart / np.where(spread > 0, spread, 1)
    return np.asarray(apart)


def _interval(value: float, rows: int) -> tuple[float, float]:
    if rows < _FEWEST_ROWS:
        return -1.0, 1.0
    # Of an exact 1 there is none.
    value = min(1 - 1e-12, max(1e-12 - 1, value))
    reach = ndtri((1 + CONFIDENCE) / 2) / np.sqrt(rows - 3)
    low, high = np.tanh(np.arctanh(value) + np.array([-reach, reach]))
    return float(low), float(high)
