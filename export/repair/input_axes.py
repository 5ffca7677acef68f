"""Describes how a file's inputs take rows: along which axis, and how many at a time."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.data.datasets import Split
from export.data.inputs import TOKENS
from export.errors import ExportFailed
from export.onnx.probe_rows import BATCH
from serve.base.tensor import Arrays

# Each dimension is a size, a name if it is free, or "" if it is free without a name.
Shape = tuple[int | str, ...]
BATCH_NAMES = re.compile(r"n|b|bs|.*batch.*", re.IGNORECASE)
# Maximum number of forms to try if the axis of the rows is not declared.
_MOST_FORMS = 16
_NAME = re.compile(r"(?!(None|unk\w*)$)[A-Za-z_]\w*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class InputForm:
    """How one input of the file takes rows, which are along the first axis in the data."""

    # The axis of the rows.
    axis: int
    # The fixed number of rows at a time; None: any number.
    fixed: int | None
    # Dimensions with the rows first: "batch", then a number if the file fixes it, "tokens", or a name for a
    # free size that is constant in the data.
    dims: Shape

    def turn(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Arrange the rows as the file takes them."""
        return np.ascontiguousarray(np.moveaxis(array, 0, self.axis))


def read_forms(graph: Any, rows: Split) -> list[dict[str, InputForm]]:
    """Return the possible forms of the inputs from their declared shapes and the data's, the most likely
    first.

    If several axes are free and none is called "batch", each may be the axis of the rows. Raises ExportFailed
    if the data has other inputs, types or shapes."""
    names = [item.name for item in graph.input]
    for item in graph.input:
        if item.type.tensor_type.HasField("shape") and not item.type.tensor_type.shape.dim:
            raise _one_for_all(item)
    if set(names) != set(rows.inputs):
        raise ExportFailed(
            f"the file takes {', '.join(names)}, the data has {', '.join(rows.inputs)}; "
            "name the data's inputs like the file's"
        )
    for item in graph.input:
        if not item.type.tensor_type.HasField("shape"):
            free = [None] * len(rows.dims[item.name])
            kind = item.type.tensor_type.elem_type
            item.CopyFrom(onnx.helper.make_tensor_value_info(item.name, kind, free))
    places = itertools.product(*(_read_axes(item, rows) for item in graph.input))
    each = [dict(zip(names, axes, strict=True)) for axes in itertools.islice(places, _MOST_FORMS)]
    return [_read_forms(graph, rows, axes) for axes in each]


def _read_forms(graph: Any, rows: Split, axes: Mapping[str, int]) -> dict[str, InputForm]:
    sizes = {item.name: read_shape(item)[axes[item.name]] for item in graph.input}
    fixed = {name: size if isinstance(size, int) else None for name, size in sizes.items()}
    if len(set(fixed.values()) - {None}) > 1:
        description = ", ".join(f"{name!r} {number or 'any number of'}" for name, number in fixed.items())
        raise ExportFailed(f"the inputs of the file take different numbers of rows at once: {description}")
    dims = _name_dims(graph, axes, rows)
    return {name: InputForm(axis=axes[name], fixed=fixed[name], dims=dims[name]) for name in axes}


def turn_all(inputs: Arrays, forms: Mapping[str, InputForm]) -> Arrays:
    """Arrange all inputs as the file takes them."""
    return {name: forms[name].turn(array) for name, array in inputs.items()}


def read_shape(item: Any) -> Shape:
    """Return the declared shape: numbers for fixed sizes, names for free ones, or ""."""
    dims = item.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.dim_value > 0 else str(dim.dim_param) for dim in dims)


def read_dtype(item: Any) -> np.dtype[Any]:
    """Return the numpy type of the elements."""
    kind = item.type.tensor_type.elem_type
    if kind == onnx.TensorProto.STRING:
        return np.dtype(object)
    dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(kind)
    return dtype


def _name_dims(graph: Any, axes: Mapping[str, int], rows: Split) -> dict[str, Shape]:
    """Return the dimensions of each input. Equal names mean equal sizes in the data."""
    free: dict[str, set[int]] = {}
    places: dict[str, list[int | str]] = {}
    for item in graph.input:
        shape = list(read_shape(item))
        del shape[axes[item.name]]
        places[item.name] = shape
        for size, length in zip(shape, rows.inputs[item.name].shape[1:], strict=True):
            if isinstance(size, str):
                free.setdefault(size, set()).add(length)
    shared = {
        name
        for name, sizes in free.items()
        if len(sizes) == 1 and _NAME.fullmatch(name) and name not in (BATCH, TOKENS)
    }
    named: dict[str, Shape] = {}
    for name, shape in places.items():
        dims: list[int | str] = [BATCH]
        for axis, (size, dim) in enumerate(zip(shape, rows.dims[name][1:], strict=True), start=1):
            own = size if size in shared else f"{name}_{axis}"
            dims.append(dim if isinstance(dim, str) or isinstance(size, int) else own)
        named[name] = tuple(dims)
    return named


def _read_axes(item: Any, rows: Split) -> list[int]:
    shape, dims = read_shape(item), rows.dims[item.name]
    _require_dtype(item.name, read_dtype(item), rows.inputs[item.name].dtype)
    axes = _find_axes(shape, dims)
    if not axes:
        raise ExportFailed(
            f"the input {item.name!r} has the shape {list(shape)}, the data {list(dims)}: no axis of the "
            "file is free for the rows with the others as in the data; correct the data, or convert the "
            "model again with None there"
        )
    return axes


def _one_for_all(item: Any) -> ExportFailed:
    return ExportFailed(
        f"the input {item.name!r} is one number for all rows, and each row may have its own; "
        "make it a constant of the file: model.graph.initializer.append(onnx.numpy_helper.from_array("
        f"np.array(VALUE, {str(read_dtype(item))!r}), {item.name!r})), and leave it out of the data"
    )


def _require_dtype(name: str, actual: np.dtype[Any], expected: np.dtype[Any]) -> None:
    if actual == expected:
        return
    how = f"convert it: astype('{actual}')"
    if "O" in (actual.kind, expected.kind):
        how = "give strings" if actual.kind == "O" else "give numbers"
    raise ExportFailed(f"the input {name!r} is {_say(actual)}, the data's is {_say(expected)}; {how}")


def _find_axes(shape: Shape, dims: Shape) -> list[int]:
    """Return the axes that may be the rows': the one called "batch", else all free axes, else the first if it
    is fixed."""
    if len(shape) != len(dims):
        return []
    fitting = [axis for axis in range(len(shape)) if _fits(shape[:axis] + shape[axis + 1 :], dims[1:])]
    free = [axis for axis in fitting if isinstance(shape[axis], str)]
    called = [axis for axis in free if BATCH_NAMES.fullmatch(str(shape[axis]))]
    # An axis other than the first is a fixed batch only if its size is 1.
    fixed = [axis for axis in fitting if axis == 0 or shape[axis] == 1]
    named = any(isinstance(size, str) and BATCH_NAMES.fullmatch(size) for size in shape)
    return called[:1] or free or ([] if named else fixed[:1])


def _fits(shape: Shape, dims: Shape) -> bool:
    """Whether the file's sizes allow the data's."""
    return all(isinstance(size, str) or size == dim for size, dim in zip(shape, dims, strict=True))


def _say(dtype: np.dtype[Any]) -> str:
    return "strings" if dtype.kind == "O" else str(dtype)
