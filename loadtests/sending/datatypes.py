"""The protocol's datatypes in numpy, and the bytes of their tensors."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.base.tensor import DATATYPES

# How inputs are held until they are sent. Texts are strings; BF16, which numpy lacks, is held as FP32.
DTYPES: dict[str, np.dtype[Any]] = {
    **DATATYPES,
    "BF16": np.dtype(np.float32),
    "BYTES": np.dtype(np.str_),
}
LENGTH = struct.Struct("<I")


def to_bytes(array: NDArray[Any], datatype: str) -> bytes:
    """Encode a tensor for the binary extension: little-endian, row-major, with each text after its length."""
    if datatype == "BYTES":
        texts = [str(text).encode() for text in array.reshape(-1)]
        return b"".join(LENGTH.pack(len(text)) + text for text in texts)
    if datatype == "BF16":
        return to_bfloat16(array).astype("<u2").tobytes()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def to_bfloat16(array: NDArray[Any]) -> NDArray[np.uint16]:
    """Convert FP32 to the bits of BF16, rounding to nearest, ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bytes(content: bytes, datatype: str) -> NDArray[Any]:
    """Decode a tensor of any datatype except BYTES into a flat array; BF16 becomes FP32.

    Raises ValueError if `content` is not a whole number of elements."""
    if datatype == "BF16":
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    stored = np.dtype(np.uint8) if datatype == "BOOL" else DTYPES[datatype]
    return np.frombuffer(content, stored.newbyteorder("<"))
