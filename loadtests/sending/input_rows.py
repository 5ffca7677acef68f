"""Reads real inputs from a file and checks them against the model's signature."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.errors import LoadTestError
from loadtests.sending.body import Arrays
from loadtests.sending.datatypes import DTYPES
from loadtests.sending.model_metadata import ModelMetadata, TensorMetadata
from serve.base.record import nearest


def read_rows(path: Path, metadata: ModelMetadata) -> Arrays:
    """Return an array of all rows (at least one) for each input. Raises LoadTestError."""
    stored = _read_texts(path, metadata) if path.suffix == ".txt" else _read_arrays(path)
    names = [spec.name for spec in metadata.inputs]
    for name in stored:
        if name not in names:
            raise LoadTestError(
                f"{path} contains {name!r}, which is not an input of {metadata.name}; {nearest(name, names)}"
            )
    rows = {spec.name: _fit(path, stored, spec) for spec in metadata.inputs}
    lengths = {name: len(array) for name, array in rows.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise LoadTestError(
            f"{path} holds {lengths} rows, expected the same number, at least 1, in every array"
        )
    return rows


def _read_texts(path: Path, metadata: ModelMetadata) -> Arrays:
    """Read one text per line."""
    if [spec.datatype for spec in metadata.inputs] != ["BYTES"]:
        inputs = ", ".join(f"{spec.name} of {spec.datatype}" for spec in metadata.inputs)
        raise LoadTestError(
            f"{path} holds texts, but {metadata.name} takes {inputs}, expected one input of BYTES; "
            "give --inputs an .npz file with one array for every input"
        )
    (spec,) = metadata.inputs
    try:
        lines = path.read_text("utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LoadTestError(f"{path} is not a UTF-8 text file: {error}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise LoadTestError(f"{path}: line {number} is empty, expected a text on every line; remove it")
    # Each row has one text, whatever the rank; a model that takes several texts per row is refused by its
    # shape.
    return {spec.name: np.array(lines).reshape(-1, *[1] * (len(spec.shape) - 1))}


def _read_arrays(path: Path) -> Arrays:
    try:
        # The file is opened here, because numpy leaves a broken file open.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise ValueError("it holds one array without a name")
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LoadTestError(f"{path} is not an .npz file of plain arrays: {error}") from None


def _fit(path: Path, stored: Arrays, spec: TensorMetadata) -> NDArray[Any]:
    """Convert the stored rows of one input to the input's datatype."""
    if spec.name not in stored:
        raise LoadTestError(
            f"{path} does not contain {spec.name!r}; save one array for every input of the model"
        )
    array = stored[spec.name]
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
