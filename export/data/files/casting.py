"""Converts arrays to the types that a recipe demands."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.files.file_rows import is_text
from export.data.files.row_form import Dtype
from export.errors import InvalidData


def cast(place: str, array: NDArray[Any], dtype: Dtype | None) -> NDArray[Any]:
    """Return the array as `dtype` (None: as it is). Floats may be rounded to fewer bits; nothing else may
    change.

    Raises InvalidData, which names `place`, and the row and value that does not fit."""
    if dtype is None or array.dtype == dtype:
        return array
    target = np.dtype(dtype)
    numbers = _read_numbers(place, array, target) if is_text(array) else array
    if numbers.dtype.kind not in "biuf":
        raise InvalidData(f"{place} is {array.dtype}, which cannot become {dtype}; give numbers")
    # A value that does not fit changes, and is found by that.
    with np.errstate(all="ignore"):
        changed = numbers.astype(target)
    wrong = np.isinf(changed) & ~np.isinf(numbers) if target.kind == "f" else changed != numbers
    if wrong.any():
        where = tuple(np.argwhere(wrong)[0])
        raise _refusal(place, numbers[where], int(where[0]), target)
    return changed


def _read_numbers(place: str, array: NDArray[Any], target: np.dtype[Any]) -> NDArray[Any]:
    kind = np.float64 if target.kind == "f" else np.int64
    words = array.astype(object)
    try:
        return words.astype(kind)
    except (ValueError, OverflowError):
        for where, word in np.ndenumerate(words):
            try:
                kind(word)
            except (ValueError, OverflowError):
                raise _refusal(place, word, where[0], target) from None
        raise


def _refusal(place: str, value: Any, row: int, target: np.dtype[Any]) -> InvalidData:
    shown = repr(value.item() if isinstance(value, np.generic) else value)
    return InvalidData(
        f"{place} holds {shown:.60} in row {row}, which cannot become {target}; correct or drop such rows, "
        "or give another type in `dtypes`"
    )
