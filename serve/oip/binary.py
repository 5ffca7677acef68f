"""Convert tensors to bytes and back: little-endian, row-major, without gaps. Used over HTTP and gRPC.

An element of BYTES is its length in 4 bytes, followed by its content."""

import math
import struct

import numpy as np
from numpy.typing import NDArray

from serve.base.errors import InvalidRequest
from serve.base.tensor import TensorSpec

_LENGTH = struct.Struct("<I")


def read_binary(content: bytes, spec: TensorSpec, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Decode a read-only array. Raises InvalidRequest with the actual and the expected size."""
    if spec.datatype == "BYTES":
        return _read_bytes(content, spec, math.prod(shape)).reshape(shape)
    size = math.prod(shape) * spec.dtype.itemsize
    if len(content) != size:
        raise InvalidRequest(
            f"input {spec.name!r} has {len(content)} bytes, expected {size} for {spec.datatype} of shape "
            f"{list(shape)}"
        )
    if spec.datatype == "BOOL" and content.translate(None, b"\0\1"):
        raise InvalidRequest(f"input {spec.name!r} has bytes other than 0 and 1, expected BOOL elements")
    return np.frombuffer(content, spec.dtype).reshape(shape)


def write_binary(array: NDArray[np.generic]) -> bytes:
    """Encode `array` as bytes."""
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
                f"input {spec.name!r} ends within element {len(elements)} of its BYTES, expected {count} "
                "elements, each as a little-endian length in 4 bytes, followed by its content"
            )
        elements.append(content[start:position])
    if len(elements) < count or position < len(content):
        raise InvalidRequest(
            f"input {spec.name!r} has {len(elements)} BYTES elements in the first {position} of "
            f"{len(content)} bytes, expected {count} elements in all bytes"
        )
    array = np.empty(count, np.object_)
    array[:] = elements
    return array
