"""Converts a column of a table to an array."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from export.errors import InvalidData


def read_column(place: str, column: Any, *, of_labels: bool = False) -> NDArray[Any]:
    """Return a pyarrow.ChunkedArray as numbers, or as text of the type object.

    Missing numbers are NaN. Lists of one length become [rows, length, ...]. Lists of several lengths are
    allowed only for labels, missing values only for inputs. Raises InvalidData, which names `place` and the
    row."""
    kinds = pa.types
    if kinds.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if kinds.is_decimal(column.type):
        column = column.cast(pa.float64())
    kind = column.type
    number = kinds.is_integer(kind) or kinds.is_floating(kind)
    if column.null_count and (of_labels or not number):
        row = int(np.argmax(column.is_null().to_numpy()))
        raise InvalidData(f"{place} has no value in row {row}; fill in or drop such rows")
    if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
        return _read_lists(place, column, of_labels)
    if len(column) == 0:
        return np.zeros(0, np.float32)
    if kinds.is_binary(kind) or kinds.is_large_binary(kind):
        raise InvalidData(f"{place} is {_find_bytes(column)}; save the file as text in UTF-8")
    if not (number or kinds.is_boolean(kind) or kinds.is_string(kind) or kinds.is_large_string(kind)):
        raise InvalidData(f"{place} is {kind}; expected numbers, true and false, text, or lists of them")
    values: NDArray[Any] = column.to_numpy()
    return values


def _read_lists(place: str, column: Any, of_labels: bool) -> NDArray[Any]:
    lengths = pc.list_value_length(column).to_numpy()
    if len(wrong := np.flatnonzero(lengths != lengths[:1])):
        if of_labels:
            return np.fromiter(column.to_pylist(), object, len(column))
        raise InvalidData(
            f"{place} has a list of {lengths[0]} values in row 0 and of {lengths[wrong[0]]} in row "
            f"{wrong[0]}; give all rows the same length"
        )
    values = pa.chunked_array([chunk.flatten() for chunk in column.chunks], column.type.value_type)
    inner = read_column(f"{place} (the values of its lists)", values, of_labels=of_labels)
    return inner.reshape(len(column), -1, *inner.shape[1:]) if len(column) else inner


def _find_bytes(column: Any) -> str:
    """Describe the first value that is not UTF-8, or bytes in general."""
    for row, value in enumerate(column.to_pylist()):
        try:
            value.decode()
        except UnicodeDecodeError as error:
            return f"not UTF-8 in row {row}: {error}"
    return "bytes, not text"
