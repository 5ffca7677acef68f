"""Convert the `data` of a tensor in JSON to an array and back."""

import math
import struct
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.base.error_text import kind, name_kind
from serve.base.errors import InvalidRequest, ModelFailed
from serve.base.tensor import BINARY_ONLY, TensorSpec

# numpy kind of a datatype -> the accepted JSON types.
_ACCEPTED: dict[str, set[type]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}, "O": {str}}
# Datatype -> its code in the module `struct`, except text.
_CODES = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP32": "f",
    "FP64": "d",
}


def read_elements(data: Any, spec: TensorSpec, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Convert `data`, flat or nested, to an array. Raises InvalidRequest."""
    if spec.datatype in BINARY_ONLY:
        raise InvalidRequest(
            f"input {spec.name!r} is {spec.datatype}, which JSON cannot represent; send it as binary data, "
            "with the parameter binary_data_size"
        )
    if not isinstance(data, list):
        raise InvalidRequest(f"input {spec.name!r} has {kind(data)} as 'data', expected a list")
    return _convert(_flatten(data, shape, spec), spec).reshape(shape)


def write_elements(array: NDArray[np.generic], name: str, model: str) -> Any:
    """`array` as flat `data` that orjson can encode.

    Raises ModelFailed on NaN and infinity, and InvalidRequest on BYTES that are not UTF-8."""
    if array.dtype.kind == "O":
        try:
            return [element.decode() for element in array.ravel().tolist()]
        except UnicodeDecodeError:
            raise InvalidRequest(
                f"{model} answered bytes in {name!r} that are not UTF-8, which JSON cannot represent; "
                "request binary data, with the parameter binary_data"
            ) from None
    # Counting is several times as fast as `all`.
    if array.dtype.kind == "f" and np.count_nonzero(np.isfinite(array)) < array.size:
        raise ModelFailed(
            f"{model} answered NaN or infinity in {name!r}, which JSON cannot represent; "
            "request binary data to see the values"
        )
    return array.ravel()


def _flatten(data: list[Any], shape: tuple[int, ...], spec: TensorSpec) -> list[Any]:
    """The elements in row-major order. `data` is flat, or nested exactly as in `shape`."""
    if len(shape) > 1 and data and type(data[0]) is list:
        if len(data) != shape[0]:
            raise InvalidRequest(
                f"input {spec.name!r} has {len(data)} rows of data, expected {shape[0]} for {list(shape)}"
            )
        for length in shape[1:]:
            if set(map(type, data)) != {list} or set(map(len, data)) != {length}:
                raise InvalidRequest(
                    f"input {spec.name!r} has 'data' whose nesting does not match its shape {list(shape)}"
                )
            data = list(chain.from_iterable(data))
    if len(data) != math.prod(shape):
        raise InvalidRequest(
            f"input {spec.name!r} has {len(data)} elements, expected {math.prod(shape)} for shape "
            f"{list(shape)}, flat or nested"
        )
    return data


def _convert(elements: list[Any], spec: TensorSpec) -> NDArray[np.generic]:
    if unexpected := set(map(type, elements)) - _ACCEPTED[spec.dtype.kind]:
        received = " and ".join(sorted(map(name_kind, unexpected)))
        # The JSON parser turns integers of more than 64 bits into floats.
        large = next(
            (element for element in elements if type(element) is float and abs(element) >= 2**63), None
        )
        more = "" if large is None or spec.dtype.kind not in "iu" else f"; {large:g} is out of its range"
        raise InvalidRequest(
            f"input {spec.name!r} has {received} in 'data', expected {spec.datatype} elements{more}"
        )
    if spec.datatype == "BYTES":
        return np.array([element.encode() for element in elements], np.object_)
    try:
        # Several times as fast as numpy. Little-endian, because only then is the range of floats checked.
        packed = struct.pack(f"<{len(elements)}{_CODES[spec.datatype]}", *elements)
    except (OverflowError, struct.error):
        raise InvalidRequest(
            f"input {spec.name!r} has elements from {min(elements)} to {max(elements)}, "
            f"which are out of the range of {spec.datatype}"
        ) from None
    return np.frombuffer(packed, spec.dtype)
