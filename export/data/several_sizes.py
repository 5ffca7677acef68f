"""Holds rows of several shapes, such as images of several sizes, as one array that is padded with zeros.

No model sees the padding: rows of one shape run together, and rows of several shapes are cut to what they
have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import InvalidData
from serve.base.tensor import Arrays

# Input -> the sizes of each row, [rows, dimensions of a row].
Sizes = Mapping[str, NDArray[np.int64]]
# Input -> the dimensions whose size differs from row to row; the rows themselves are dimension 0.
FreeAxes = Mapping[str, frozenset[int]]


def pad_rows(place: str, raw: Any) -> tuple[Any, NDArray[np.int64] | None]:
    """Return arrays of several shapes as one, padded with zeros, with the sizes of each; anything else as it
    is, with None.

    Raises InvalidData, which names `place`, if they differ in type or in the number of dimensions."""
    rows = list(raw) if isinstance(raw, list | tuple) or _holds_objects(raw) else []
    if not rows or not all(isinstance(row, np.ndarray) and row.dtype.kind in "biuf" for row in rows):
        return raw, None
    shapes = [row.shape for row in rows]
    if len(set(shapes)) == 1:
        return np.stack(rows), None
    for number, row in enumerate(rows):
        if (row.dtype, row.ndim) != (rows[0].dtype, rows[0].ndim):
            raise InvalidData(
                f"{place} holds {row.dtype} {list(row.shape)} in row {number} and {rows[0].dtype} "
                f"{list(rows[0].shape)} in row 0; give all rows one type and one number of dimensions"
            )
    sizes = np.array(shapes, np.int64)
    padded = np.zeros((len(rows), *sizes.max(axis=0)), rows[0].dtype)
    for number, row in enumerate(rows):
        padded[number][tuple(map(slice, row.shape))] = row
    return padded, sizes


def _holds_objects(raw: Any) -> bool:
    return isinstance(raw, np.ndarray) and raw.dtype == object and raw.ndim == 1


def find_free_axes(sizes: Sizes) -> dict[str, frozenset[int]]:
    """Return the dimensions whose size differs from row to row."""
    return {
        name: frozenset((np.flatnonzero(np.ptp(each, axis=0)) + 1).tolist()) for name, each in sizes.items()
    }


def cut_rows(arrays: Arrays, sizes: Sizes, rows: NDArray[np.int64]) -> Arrays:
    """Return the arrays of these rows, cut to the least size of them in each dimension."""
    cut = dict(arrays)
    for name, array in arrays.items():
        if name in sizes:
            least = sizes[name][rows].min(axis=0)
            cut[name] = np.ascontiguousarray(array[(slice(None), *map(slice, least))])
    return cut


def number_shapes(sizes: Sizes, rows: int) -> NDArray[np.int64]:
    """Return a number for the shape of each row; rows of one shape in all inputs have the same."""
    if not sizes:
        return np.zeros(rows, np.int64)
    _, numbers = np.unique(np.concatenate(list(sizes.values()), axis=1), axis=0, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64)


def split_by_shape(shapes: NDArray[np.int64], order: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
    """Return the rows of `order`, in that order, in groups of one shape."""
    by_shape = order[np.argsort(shapes[order], kind="stable")]
    return np.split(by_shape, np.flatnonzero(np.diff(shapes[by_shape])) + 1)
