"""Correlates an output of a variant with the baseline's over the rows, independent of scale."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from export.proof.bootstrap import CONFIDENCE, Floats
from export.proof.held_out import Answers
from export.proof.output_quality import few_rows
from serve.bundles.figures import Estimate, OutputFigures
from serve.bundles.meaning import Meaning
from serve.tasks.answer_form import classes_last
from serve.tasks.closeness import log_shares
from serve.tasks.detections import sum_scores

Array = NDArray[Any]
# Relative deviations below this are rounding.
_ROUNDING = 1e-5
_FEWEST_ROWS = 4


def correlate(meaning: Meaning, baseline: Array, variant: Array) -> Estimate | None:
    """Return the Pearson correlation between the deviations of two outputs from their means over the rows.

    Args:
        meaning: the kind of output; probabilities are compared by their logarithms, in which small ones count
            equally, and strings by their places in the alphabet
        baseline: the baseline's answers, [rows, ...]
        variant: the variant's answers, [rows, ...]

    Returns:
        The correlation with Fisher's interval for this number of rows; None if the baseline's answers are
        constant.
    """
    if baseline.dtype.kind not in "fiub":
        baseline, variant = _number_strings(baseline, variant)
    before, after = (_numbers(meaning, few_rows(each)) for each in (baseline, variant))
    if meaning.kind == "boxes":
        # The classes of the detections may differ.
        classes = max(before.shape[1], after.shape[1])
        before, after = (np.pad(each, ((0, 0), (0, classes - each.shape[1]))) for each in (before, after))
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
    """Return the figures of all outputs, with the correlation of the outputs in `names`."""
    return tuple(
        item.model_copy(
            update={"correlation": correlate(item.meaning, baseline[item.name], variant[item.name])}
        )
        if item.name in names
        else item
        for item in outputs
    )


def _number_strings(baseline: Array, variant: Array) -> tuple[Array, Array]:
    """Return the place of each string among all, in alphabetical order; the same array twice stays so."""
    _, places = np.unique(np.concatenate([baseline.ravel(), variant.ravel()]), return_inverse=True)
    before, after = np.split(places.ravel(), [baseline.size])
    before = before.reshape(baseline.shape)
    return before, before if variant is baseline else after.reshape(variant.shape)


def _numbers(meaning: Meaning, output: Array) -> Floats:
    if meaning.kind == "boxes":
        return sum_scores(meaning, output)
    numbers: Floats = classes_last(meaning, output).astype(np.float64)
    if meaning.form != "shares":
        return numbers
    with np.errstate(all="ignore"):
        return log_shares(numbers, np.ones(numbers.shape[:-1], np.bool_))


def _deviate(numbers: Floats) -> Floats:
    """Return deviations from the mean over the rows; 0 where there is no value."""
    counts = np.maximum(np.isfinite(numbers).sum(axis=0), 1)
    apart = numbers - np.nan_to_num(numbers).sum(axis=0) / counts
    return np.nan_to_num(np.where(np.abs(apart) <= _ROUNDING * np.abs(numbers), 0, apart))


def _scale(meaning: Meaning, apart: Floats) -> Floats | float:
    """Return the scale of the baseline's deviations for each place of the last dimension.

    Each place has its own scale, so that damage to a small one is visible; a constant place does not count.
    Probabilities and the numbers of a vector share one scale."""
    if meaning.kind == "vectors" or meaning.form in ("shares", "log_shares"):
        return 1.0
    spread = np.sqrt(np.square(apart).mean(axis=tuple(range(max(1, apart.ndim - 1)))))
    return np.asarray(np.where(spread > 0, spread, np.inf))


def _interval(value: float, rows: int) -> tuple[float, float]:
    if rows < _FEWEST_ROWS:
        return -1.0, 1.0
    # Fisher's transformation is infinite at exactly 1.
    value = min(1 - 1e-12, max(1e-12 - 1, value))
    reach = ndtri((1 + CONFIDENCE) / 2) / np.sqrt(rows - 3)
    low, high = np.tanh(np.arctanh(value) + np.array([-reach, reach]))
    return float(low), float(high)
