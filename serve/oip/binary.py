"""Binary: a tensor as bytes, to an array and back: little-endian, row-major, no gaps. Both wires carry it.

An element of BYTES is its length in 4 bytes, then the bytes themselves."""

import math
import struct

import numpy as np
from numpy.typing import NDArray

from serve.base.errors import InvalidRequest
from serve.base.tensor import TensorSpec

_LENGTH = struct.Struct("<I")


def read_binary(content: bytes, spec: TensorSpec, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """The array that `content` holds, read-only. Raises InvalidRequest: how much came and was expected."""
    if spec.datatype == "BYTES":
        return _read_bytes(content, spec, math.prod(shape)).reshape(shape)
    size = math.prod(shape) * spec.dtype.itemsize
    if len(content) != size:
        raise InvalidRequest(
            f"input {spec.name!r} has {len(content)} bytes, "
            f"expected {size} for {spec.datatype} of shape {list(shape)}"
        )
    if spec.datatype == "BOOL" and content.translate(None, b"\0\1"):
        raise InvalidRequest(f"input {spec.name!r} has bytes other than 0 and 1, expected BOOL elements")
    return np.frombuffer(content, spec.dtype).reshape(shape)


def write_binary(array: NDArray[np.generic]) -> bytes:
    """`array` as bytes."""
    if array.dtype.kind != "O":
        return array.tobytes()
    parts: list[bytes] = []
    for element in array.ravel().tolist():
        parts += (_LENGTH.pack(len(element)), element)
    return b"".join(parts)


def _read_bytes(content: bytes, spec: TensorSpec, count: int) -> NDArray[np.generic]:
    elements: list[bytes] = []
    position = 0
    while position < len(content) and len(elements) < count:
        start = position + _LENGTH.size
        if start <= len(content):
            (length,) = _LENGTH.unpack_from(content, position)
            position = start + length
        if not start <= position <= len(content):
            raise InvalidRequest(
                f"input {spec.name!r} ends within element {len(elements)} of its BYTES, expected {count}, "
                "each as its length in 4 bytes, little-endian, and the bytes"
            )
        elements.append(content[start:position])
    if len(elements) < count or position < len(content):
        raise InvalidRequest(
            f"input {spec.name!r} has {len(elements)} BYTES elements in {position} of {len(content)} bytes, "
            f"expected {count} in all of them"
        )
    array = np.empty(count, np.object_)
    array[:] = elements
    return array
