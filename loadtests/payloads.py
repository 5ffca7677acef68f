"""Payloads: valid inputs for any signature, real rows or made ones, encoded once before the run."""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.errors import LoadTestError
from loadtests.metadata import ModelMetadata, TensorMetadata
from loadtests.record import nearest

Arrays = Mapping[str, NDArray[Any]]

_MADE = 64
# What JSON carries exactly. BYTES is text here.
_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{
        f"{kind}{bits}": np.dtype(f"{kind.lower()}{bits}")
        for kind in ("INT", "UINT")
        for bits in (8, 16, 32, 64)
    },
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.str_),
}


@dataclass(frozen=True, kw_only=True)
class Payloads:
    """Inputs to choose from by index."""

    count: int
    # The arrays of one index, in the order of the signature.
    arrays: Callable[[int], Arrays]
    metadata: ModelMetadata

    def encode(self, index: int) -> bytes:
        """All of the request's body but its beginning: `with_id` adds the id of one request."""
        arrays = self.arrays(index)
        inputs = [
            {
                "name": spec.name,
                "shape": arrays[spec.name].shape,
                "datatype": spec.datatype,
                "data": [_plain(element) for element in arrays[spec.name].reshape(-1)],
            }
            for spec in self.metadata.inputs
        ]
        return b'"inputs":' + json.dumps(inputs, separators=(",", ":"), allow_nan=False).encode() + b"}"


def with_id(encoded: bytes, request_id: str) -> bytes:
    """The body of one request; `request_id` needs no escaping."""
    return b'{"id":"%b",%b' % (request_id.encode(), encoded)


def make_payloads(metadata: ModelMetadata, seed: int) -> Payloads:
    """Inputs made from the signature alone, one row each. Raises LoadTestError for what JSON cannot carry."""
    for spec in metadata.inputs:
        _dtype(spec)

    def arrays(index: int) -> Arrays:
        rng = np.random.default_rng([seed, index])
        return {spec.name: _draw(spec, rng) for spec in metadata.inputs}

    return Payloads(count=_MADE, arrays=arrays, metadata=metadata)


def read_payloads(path: Path, metadata: ModelMetadata) -> Payloads:
    """The rows of an `.npz` file whose keys are the input names: each payload is one row of every array.

    Raises LoadTestError when the file does not fit the signature."""
    stored = _load(path)
    names = [spec.name for spec in metadata.inputs]
    for name in stored:
        if name not in names:
            raise LoadTestError(
                f"{path} holds {name!r}, which is no input of {metadata.name}; {nearest(name, names)}"
            )
    rows = {spec.name: _fit(path, stored, spec) for spec in metadata.inputs}
    lengths = {name: len(array) for name, array in rows.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise LoadTestError(
            f"{path} holds {lengths} rows, expected the same number, at least 1, in every array"
        )

    def arrays(index: int) -> Arrays:
        return {name: array[index : index + 1] for name, array in rows.items()}

    return Payloads(count=lengths[names[0]], arrays=arrays, metadata=metadata)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Opened here, since numpy leaves a broken file open.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise ValueError("it holds one array without a name")
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LoadTestError(f"{path} is no .npz file of plain arrays: {error}") from None


def _fit(path: Path, stored: Arrays, spec: TensorMetadata) -> NDArray[Any]:
    """The stored rows of one input in the input's own datatype."""
    if spec.name not in stored:
        raise LoadTestError(f"{path} holds no {spec.name!r}; save one array for every input of the model")
    array, dtype = stored[spec.name], _dtype(spec)
    where = f"{path}: {spec.name!r}"
    fits = len(array.shape) == len(spec.shape) > 0 and spec.shape[0] in {-1, 1}
    if not fits or any(
        want not in {-1, came} for came, want in zip(array.shape[1:], spec.shape[1:], strict=True)
    ):
        raise LoadTestError(f"{where} has shape {list(array.shape)}, expected rows of {list(spec.shape)}")
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise LoadTestError(f"{where} has type {array.dtype}, which does not convert to {spec.datatype}")
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(converted).all():
        raise LoadTestError(
            f"{where} has elements that are not finite as {spec.datatype}; clean the data first"
        )
    if dtype.kind in "iu" and not np.array_equal(converted, array):
        raise LoadTestError(f"{where} has elements that {spec.datatype} cannot hold")
    return converted


def _dtype(spec: TensorMetadata) -> np.dtype[Any]:
    if spec.datatype not in _DTYPES:
        raise LoadTestError(
            f"input {spec.name!r} has datatype {spec.datatype!r}, which JSON cannot carry; "
            f"expected one of {', '.join(_DTYPES)}"
        )
    return _DTYPES[spec.datatype]


def _draw(spec: TensorMetadata, rng: np.random.Generator) -> NDArray[Any]:
    shape = [1 if dim == -1 else dim for dim in spec.shape]
    dtype = _dtype(spec)
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    # 0 and 1 are valid wherever whole numbers go in: token ids, masks, counts.
    bits = rng.integers(2, size=shape)
    return np.where(bits, "one", "zero") if dtype.kind == "U" else bits.astype(dtype)


def _plain(element: Any) -> Any:
    # A float's own shortest text: 0.1 as FP32 would else travel as 0.10000000149011612.
    return float(str(element)) if isinstance(element, np.floating) else element.item()
