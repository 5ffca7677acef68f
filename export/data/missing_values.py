"""Finds missing values (NaN) in the rows of a model. Only some models take them, such as tree ensembles."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.base.tensor import Arrays


def blame_missing(inputs: Arrays, numbers: NDArray[np.int64], split: str) -> str | None:
    """Return the first input that holds NaN, with its row and what to do; None if no input holds NaN.

    `numbers` are those of the rows in the `split`, such as "held-out"."""
    for name, array in inputs.items():
        missing = _find_missing(array)
        if missing.any():
            row = numbers[int(missing.argmax())]
            return (
                f"the input {name!r} of {split} row {row} holds NaN (a missing value), which the model does "
                "not take: fill in or drop such rows"
            )
    return None


def _find_missing(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows hold NaN."""
    if array.dtype.kind != "f":
        return np.zeros(len(array), np.bool_)
    return np.asarray(np.isnan(array).reshape(len(array), -1).any(axis=1))
