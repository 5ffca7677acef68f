"""Nearness: how far two answers that should be the same are apart, each number on the scale of its place.

One scale for all would hide what a small place does beside a large one: a mask of -1e9 in one class, a
coordinate beside a score."""

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Of what is usual in its place, how far a number may be that the same float32 graph makes: sums in another
# order differ by about 1e-6 of it, a wrong graph by far more.
SAME_FLOATS = 1e-3
# A number counts as a mask from this size on, if it is this many times larger than all others.
_LEAST_MASK, _LEAST_GAP = 1e4, 1e3
# Of what is usual in the middle of all places. One number alone may be near 0 by chance, being the rest of
# larger ones; that many are is the less likely.
_LEAST_OF_ONE = 0.1
# How many times as far as its weights' last bits move it a number may be: other sums may add up worse.
_ROUNDINGS = 4


def largest_apart(
    actual: NDArray[Any],
    expected: NDArray[Any],
    *,
    coarse: bool = False,
    rounding: NDArray[np.float64] | None = None,
) -> float:
    """How far the number that is farthest off is from the wanted one, as a share of what is usual in its
    place: of the largest with the same index in one of the dimensions behind the batch, whichever has the
    least of them. Infinite: another shape, a missing number, or, of what are no floats, any difference that
    `rounding` does not explain.

    `coarse`: it was rounded to few bits, and is off alike in all places: the largest of all is the scale.
    `rounding`: how far each number moves when the weights are off in their last bits (onnx/last_bits.py); a
    place in which that is far for its size has a scale on which it is little."""
    if actual.shape != expected.shape:
        return np.inf
    return float(np.max(shares_apart(actual, expected, coarse=coarse, rounding=rounding), initial=0.0))


def shares_apart(
    actual: NDArray[Any],
    expected: NDArray[Any],
    *,
    coarse: bool = False,
    rounding: NDArray[np.float64] | None = None,
) -> Floats:
    """Return how far each number is off, as `largest_apart` measures it; both arrays have one shape."""
    if expected.dtype.kind != "f":
        explained = np.zeros(expected.shape) if rounding is None else rounding
        return np.where((actual == expected) | (explained > 0), 0.0, np.inf)
    one, other = actual.astype(np.float64), expected.astype(np.float64)
    alike = one == other
    off = np.abs(np.subtract(one, other, out=np.zeros(one.shape), where=~alike))
    scale = _scale(np.where(np.isfinite(other), np.abs(other), 0.0), coarse)
    if rounding is not None:
        scale = np.maximum(scale, _in_places(rounding) * _ROUNDINGS / SAME_FLOATS)
    shares = np.divide(off, scale, out=np.where(alike, 0.0, np.inf), where=scale > 0)
    return np.asarray(np.nan_to_num(shares, nan=np.inf, posinf=np.inf))


def _scale(sizes: Floats, coarse: bool) -> Floats:
    """What is usual for each number, which is at least the number itself."""
    usual = np.where(sizes < _find_masks(sizes), sizes, 0.0)
    places = _in_places(usual)
    above = places[places > 0]
    if coarse or not above.size:
        return np.asarray(np.maximum(usual.max(initial=0), sizes))
    numbers = sizes.size // max(sizes.shape[1:], default=1)
    least = float(np.quantile(above, 0.5, method="lower")) * _LEAST_OF_ONE / max(1, numbers)
    return np.maximum(np.maximum(places, least), sizes)


def _in_places(sizes: Floats) -> Floats:
    """For each number what is largest in its place."""
    axes = range(1, sizes.ndim) or (None,)
    return reduce(np.minimum, (_largest(sizes, axis) for axis in axes))


def _largest(sizes: Floats, axis: int | None) -> Floats:
    """For each index of this axis, the largest number that has it."""
    others = tuple(other for other in range(sizes.ndim) if other != axis)
    return np.asarray(sizes.max(axis=others, keepdims=True, initial=0))


def _find_masks(sizes: Floats) -> float:
    """From which size on numbers are masks."""
    if not sizes.size or sizes.max() < _LEAST_MASK:
        # Sorting all numbers takes long.
        return np.inf
    rising = np.unique(sizes[sizes > 0])
    masks = (rising[1:] >= _LEAST_MASK) & (rising[1:] >= _LEAST_GAP * rising[:-1])
    return float(rising[1:][masks.argmax()]) if masks.any() else np.inf
