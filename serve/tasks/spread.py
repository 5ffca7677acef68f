"""Measure how far the numbers of an output vary, and scale their differences by it. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.bundles.meaning import Meaning
from serve.tasks.criterion import CLOSE, FAR

Floats = NDArray[np.float64]
# Small enough that a thousand of them can be added.
_MOST_VARIANCE = 1e300
# With more places in every dimension, one spread is used for all.
_MOST_SPREADS = 4096
# With more numbers in a row, they share the spreads of one dimension, though one that is small by two
# dimensions is then held to a scale that is too large for it. A number with its own spread must be close by
# itself: at normal errors of a fourth of FAR, that refuses 0.4 % of the right rows of 64 numbers, 1.6 % of
# 256, and 23 % of 4,096. And some numbers hardly ever vary, such as those behind a Relu or in the corner of
# a heat map: their own spread means nothing, and the answers cannot tell them from small numbers that
# matter. A recipe's rule can, with `abs` or `rel`.
_MOST_NUMBERS = 64
# Places of another dimension than the last must differ in scale by more than this factor.
_UNEQUAL = 3.0
# A place that varies by less than this share of its mean is constant: this is rounding in 32 bits.
_CONSTANT = float(np.finfo(np.float32).eps)


def measure_spread(answers: NDArray[np.generic]) -> tuple[tuple[float, ...], int]:
    """The spread of the numbers of `answers`, [rows, ...], and the dimension that it belongs to: one value
    per place of the dimension whose places differ most in scale, one for each number of a row (0) if they
    differ in several dimensions at once, or one for all (-1)."""
    numbers = answers.astype(np.float64)
    if numbers.ndim < 2:
        numbers = numbers[:, None]
    last = numbers.ndim - 1
    fitting = [axis for axis in range(last, 0, -1) if numbers.shape[axis] <= _MOST_SPREADS]
    if not fitting:
        return (float(np.sqrt(_moments(numbers, last)[1].mean())),), -1
    spreads = {axis: _spread_of(*_moments(numbers, axis)) for axis in fitting}
    unequal = {axis: _ratio(spread) for axis, spread in spreads.items()}
    # The first of equals is the last dimension.
    axis = max(fitting, key=unequal.__getitem__)
    if last > 1 and numbers[0].size <= _MOST_NUMBERS:
        each = _spread_of(*_moments(numbers.reshape(len(numbers), -1), 1))
        if _ratio(each) > _UNEQUAL * unequal[axis]:
            return tuple(each.tolist()), 0
    if unequal[axis] <= _UNEQUAL:
        axis = fitting[0]
    return tuple(spreads[axis].tolist()), -1 if axis == last else axis


def scale_of(meaning: Meaning, shape: tuple[int, ...]) -> Floats:
    """The spread of each place, to be broadcast over an array of `shape`, or one for all places, [1]."""
    spread, axis = np.asarray(meaning.spread), meaning.spread_axis
    if len(spread) < 2:
        return spread
    if axis == 0 and len(spread) == np.prod(shape[1:]):
        return spread.reshape(shape[1:])
    if len(shape) < 2 or not axis or not -len(shape) < axis < len(shape) or shape[axis] != len(spread):
        # The size of the dimension depends on the request.
        return np.asarray([np.sqrt(np.square(spread).mean())])
    return spread.reshape(-1, *(1,) * (len(shape) - 1 - axis % len(shape)))


def by_place(scale: Floats, numbers: NDArray[Any]) -> NDArray[Any]:
    """The numbers, [rows, ...], as [rows, numbers of a place, places], with the places of a `scale_of`."""
    if 1 < scale.size < numbers[0].size:
        numbers = np.moveaxis(numbers, -scale.ndim, -1)
    return numbers.reshape(len(numbers), -1, max(1, scale.size))


def _moments(numbers: Floats, axis: int) -> tuple[Floats, Floats]:
    """The mean and the variance of the finite numbers at each place of a dimension."""
    means, variances = np.zeros((2, numbers.shape[axis]))
    with np.errstate(over="ignore", invalid="ignore"):
        for place, column in enumerate(np.moveaxis(numbers, axis, 0)):
            finite = column[np.isfinite(column)]
            if len(finite):
                means[place], variances[place] = finite.mean(), finite.var()
    return np.nan_to_num(means), np.minimum(np.nan_to_num(variances), _MOST_VARIANCE)


def _spread_of(means: Floats, variances: Floats) -> Floats:
    """The standard deviations. A constant place beside others gets one at which it differs where numbers
    without a spread do; if it is 0, the smallest of the others."""
    spread, size = np.sqrt(variances), np.abs(means)
    constant = spread <= _CONSTANT * size
    if constant.all():
        return np.zeros_like(spread)
    own = np.where(size > 0, CLOSE / FAR * size, spread[~constant].min())
    return np.where(constant, own, spread)


def _ratio(spread: Floats) -> float:
    positive = spread[spread > 0]
    return float(positive.max() / positive.min()) if len(positive) else 1.0
