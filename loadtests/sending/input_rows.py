"""Reads real inputs from a file and checks them against the model's signature."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.errors import LoadTestError
from loadtests.sending.body import Arrays
from loadtests.sending.datatypes import DTYPES
from loadtests.sending.input_files import Columns, read_inputs
from loadtests.sending.model_metadata import ModelMetadata, TensorMetadata


def read_rows(path: Path, metadata: ModelMetadata, columns: Columns) -> Arrays:
    """Return an array of all rows (at least one) for each input, from what `columns` names. Raises
    LoadTestError."""
    stored = read_inputs(path, metadata, columns)
    rows = {spec.name: _fit(path, stored[spec.name], spec) for spec in metadata.inputs}
    lengths = {name: len(array) for name, array in rows.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise LoadTestError(
            f"{path} holds {lengths} rows, expected the same number, at least 1, in every array"
        )
    return rows


def _fit(path: Path, array: NDArray[Any], spec: TensorMetadata) -> NDArray[Any]:
    """Convert the stored rows of one input to the input's datatype."""
    where = f"{path}: {spec.name!r}"
    fits = len(array.shape) == len(spec.shape) > 0 and spec.shape[0] in {-1, 1}
    if not fits or any(
        expected not in {-1, actual} for actual, expected in zip(array.shape[1:], spec.shape[1:], strict=True)
    ):
        raise LoadTestError(f"{where} has shape {list(array.shape)}, expected rows of {list(spec.shape)}")
    return _convert(where, array, spec.datatype)


def _convert(where: str, array: NDArray[Any], datatype: str) -> NDArray[Any]:
    dtype = DTYPES[datatype]
    castable = array.dtype.kind == "U" if dtype.kind == "U" else np.can_cast(array.dtype, dtype, "same_kind")
    if not castable:
        raise LoadTestError(f"{where} has type {array.dtype}, which does not convert to {datatype}")
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(converted).all():
        raise LoadTestError(f"{where} has elements that are not finite as {datatype}; clean the data first")
    if dtype.kind in "iu" and not np.array_equal(converted, array):
        raise LoadTestError(f"{where} has elements that {datatype} cannot hold")
    return converted
