"""Selects real rows on which a graph is tried, in batches and lengths that its export has not seen."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.data.inputs import TOKENS
from export.data.several_sizes import split_by_shape
from export.errors import InvalidData
from serve.base.tensor import Arrays

BATCH = "batch"
# Numbers of rows, with the share of the longest row's tokens: all different, and only the first is 1.
PROBES = ((1, Fraction(1, 4)), (2, Fraction(3, 8)), (3, Fraction(1, 2)), (8, Fraction(1)))
# torch treats a dimension of 0 or 1 as a constant, so the example has more rows.
EXAMPLE = (4, Fraction(3, 4))
# With fewer tokens, the lengths above are not all different and at least 2.
_FEWEST_TOKENS = 8


def probe(split: Split, rows: int, share: Fraction) -> Arrays:
    """Return inputs of this number of rows, cut to this share of the longest row's tokens; rows of a small
    split are repeated. Rows of several shapes give other shapes for other shares.

    Raises InvalidData if no row is long enough to test a length."""
    numbers = np.arange(rows, dtype=np.int64)
    if split.sizes:
        # The larger the share, the later the shape.
        groups = split_by_shape(split.shapes, np.arange(len(split)))
        return split.take(np.resize(groups[round(share * (len(groups) - 1))], rows))
    if split.lengths is None:
        return split.take(numbers % len(split))
    longest = int(split.lengths.max())
    if longest < _FEWEST_TOKENS:
        raise InvalidData(
            f"the longest row of the calibration split has {longest} tokens; to show that any length works, "
            f"one must have {_FEWEST_TOKENS} or more: add longer rows"
        )
    # Start with the longest row, so that no batch is shorter than its share.
    arrays = split.take((numbers + int(split.lengths.argmax())) % len(split))
    width = int(longest * share)
    return {
        name: np.ascontiguousarray(array[:, :width]) if TOKENS in split.dims[name] else array
        for name, array in arrays.items()
    }


def distance(actual: NDArray[np.generic], expected: NDArray[np.generic]) -> float:
    """Return the largest absolute difference between two arrays; infinite if their shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    one, other = actual.astype(np.float64), expected.astype(np.float64)
    # Equal infinities do not differ.
    return float(np.max(np.abs(np.subtract(one, other, out=np.zeros(one.shape), where=one != other))))
