"""A tensor of an ONNX model, whose data is in the model or in a file.

The data in a file has its place as onnx's `external_data`, except that in memory the location is an absolute
path, which no file may contain; so onnx's own functions never read it by mistake."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

# From here on, onnx names types by the bits of an element: INT4, UINT4, FLOAT4E2M1, INT2, ...
_BITS = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
# The fields of TensorProto with data.
DATA = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def tensors_of(graph: Any) -> Iterator[Any]:
    """Yield every initializer of the graph and of the graphs inside its nodes."""
    yield from graph.initializer
    yield from inner_tensors_of(graph)


def inner_tensors_of(graph: Any) -> Iterator[Any]:
    """Yield every initializer of the graphs inside the nodes of the graph."""
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from tensors_of(inner)


def count_stored(tensor: Any) -> int:
    """Return the size of the tensor's data in bytes, by its type and shape; 0 for strings."""
    kind = TensorProto.DataType.Name(tensor.data_type)
    if kind in ("UNDEFINED", "STRING"):
        return 0
    bits = _BITS.get(kind) or 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return int((math.prod(tensor.dims) * bits + 7) // 8)


def stored_in(tensor: Any) -> Path | None:
    """Return the file with the tensor's data; None if the model has it."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return None
    return Path(place_of(tensor)["location"])


def place_of(tensor: Any) -> dict[str, str]:
    """Return where the data is: location, offset and length, each if it is given."""
    return {item.key: item.value for item in tensor.external_data}


def refer(tensor: Any, location: str | Path, place: tuple[int, int] | None = None) -> None:
    """Change the tensor in place: its data is in the file at `location`, from the first number of `place` on,
    as many bytes as the second says. Without `place`, only the location changes."""
    if place is None:
        old = place_of(tensor)
        place = int(old.get("offset", 0)), int(old.get("length", count_stored(tensor)))
    for field in DATA:
        tensor.ClearField(field)
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", place[0]), ("length", place[1])):
        tensor.external_data.add(key=key, value=str(value))


def read_array(tensor: Any) -> NDArray[Any]:
    """Return the tensor's values."""
    path = stored_in(tensor)
    if path is None:
        array: NDArray[Any] = numpy_helper.to_array(tensor)
        return array
    if TensorProto.DataType.Name(tensor.data_type) in _BITS:
        whole = TensorProto(dims=tensor.dims, data_type=tensor.data_type, raw_data=read_data(tensor))
        packed: NDArray[Any] = numpy_helper.to_array(whole)
        return packed
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    offset = int(place_of(tensor)["offset"])
    return np.fromfile(path, dtype, math.prod(tensor.dims), offset=offset).reshape(tuple(tensor.dims))


def read_data(tensor: Any) -> bytes:
    """Return the tensor's data as `raw_data` has it."""
    path = stored_in(tensor)
    if path is not None:
        with path.open("rb") as file:
            file.seek(int(place_of(tensor)["offset"]))
            return file.read(count_stored(tensor))
    data: bytes = tensor.raw_data or numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data
    return data


def fill_tensor(tensor: Any) -> None:
    """Change the tensor in place: the model has its data."""
    if stored_in(tensor) is not None:
        data = read_data(tensor)
        del tensor.external_data[:]
        tensor.ClearField("data_location")
        tensor.raw_data = data
