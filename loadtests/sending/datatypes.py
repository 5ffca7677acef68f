"""Datatypes: the protocol's datatypes in numpy, and their tensors as bytes."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.base.tensor import DATATYPES

# How inputs are held until they are sent. Text is text here; BF16, which numpy does not know, is FP32.
DTYPES: dict[str, np.dtype[Any]] = {
    **DATATYPES,
    "BF16": np.dtype(np.float32),
    "BYTES": np.dtype(np.str_),
}
LENGTH = struct.Struct("<I")


def to_bytes(array: NDArray[Any], datatype: str) -> bytes:
    """A tensor as the binary extension sends it: little-endian, row-major, each text behind its length."""
    if datatype == "BYTES":
        texts = [str(text).encode() for text in array.reshape(-1)]
        return b"".join(LENGTH.pack(len(text)) + text for text in texts)
    if datatype == "BF16":
        return to_bfloat16(array).astype("<u2").tobytes()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def to_bfloat16(array: NDArray[Any]) -> NDArray[np.uint16]:
    """FP32 as the bits of BF16, rounded to the nearest, halves to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bytes(content: bytes, datatype: str) -> NDArray[Any]:
    """The numbers that a tensor of any datatype but BYTES holds, flat; BF16 as FP32.

    Raises ValueError when `content` is no whole number of elements."""
    if datatype == "BF16":
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    stored = np.dtype(np.uint8) if datatype == "BOOL" else DTYPES[datatype]
    return np.frombuffer(content, stored.newbyteorder("<"))
